"""What a database's encoding can hold: PostgreSQL refuses a statement that has a character which its database lacks."""

from __future__ import annotations

import codecs
import re


def known(characters: str, encoding: str) -> str:
    """Return those of the characters that an encoding, by PostgreSQL's name, has for certain.

    In SQL_ASCII a character of several bytes is as many characters, and other codecs than Python's are not looked for:
    there, those of ASCII.

    >>> known("a\\xa0\\u3000", "LATIN1"), known("a\\xa0\\u3000", "EUC_CN"), known("a\\xa0\\u3000", "SQL_ASCII")
    ('a\\xa0', 'a\\u3000', 'a')
    """
    try:
        name = codecs.lookup(re.sub("^KOI8", "koi8_", re.sub("^WIN", "cp", encoding))).name
    except LookupError:
        name = "ascii"
    return "".join(character for character in characters if character.encode(name, "ignore"))
