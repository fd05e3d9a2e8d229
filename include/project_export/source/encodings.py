"""Characters of a database's encoding: PostgreSQL rejects a statement with a character that the encoding lacks."""

from __future__ import annotations

import codecs
import re


def known(characters: str, encoding: str) -> str:
    """Return those of the characters that an encoding, by PostgreSQL's name, is known to have.

    For SQL_ASCII, where each byte is a character, and for encodings that Python does not know: those of ASCII.

    >>> known("a\\xa0\\u3000", "LATIN1"), known("a\\xa0\\u3000", "EUC_CN"), known("a\\xa0\\u3000", "SQL_ASCII")
    ('a\\xa0', 'a\\u3000', 'a')
    """
    try:
        name = codecs.lookup(re.sub("^KOI8", "koi8_", re.sub("^WIN", "cp", encoding))).name
    except LookupError:
        name = "ascii"
    return "".join(character for character in characters if character.encode(name, "ignore"))
