"""Remove credentials from texts before they are stored; nothing else is shortened."""

from __future__ import annotations

import re

# Between :// and the last @: a password may contain an unescaped @, / or ?, so rather too much is removed.
_USERINFO = re.compile(r"""://(?:[^\s:/?#@'"]*:[^\s'"]*|[^\s/?#'"]*)@""")

# libpq's quoting: '...' with backslashes (up to the end of the line if it is never closed), or anything up to a space
# that is not escaped.
_NAMED = re.compile(
    r"""(?ix)
    ( (?: password | passwd | passphrase | pwd | token | signature | credential | secret (?: [_-] key )?
        | api [_-]? key | access [_-]? key | account [_-]? key | \b sig ) ['"]? \s* [:=] \s* )
    (?: '(?: \\. | [^'\\\n] )*'? | "(?: \\. | [^"\\\n] )*"? | (?: \\. | \S )+ )
    """,
    re.DOTALL,
)
_BEARER = re.compile(r"\b(Bearer|Basic)\s+[\w.~+/=-]+")


def scrub(text: str) -> str:
    r"""Return the text with the credentials in URLs, DSNs and headers replaced by ***, fit for a text column.

    Characters that PostgreSQL cannot store (NUL, lone surrogates) are escaped, because no error may be lost on account
    of its text.

    >>> scrub("no answer from postgresql://jane:s3cret@db.example/gitlab")
    'no answer from postgresql://***@db.example/gitlab'
    >>> scrub("bad DSN: host=db password='it\\'s secret' user=jane")
    'bad DSN: host=db password=*** user=jane'
    """
    text = _USERINFO.sub("://***@", text)
    text = _NAMED.sub(r"\1***", text)
    text = _BEARER.sub(r"\1 ***", text)
    return text.encode("utf-8", "backslashreplace").decode().replace("\x00", "\\x00")
