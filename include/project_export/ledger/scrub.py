"""Texts that may be kept: credentials taken out, nothing else shortened."""

from __future__ import annotations

import re

# Between :// and the last @: a password may hold an unescaped @, / or ?, so more is taken rather than less.
_USERINFO = re.compile(r"""://(?:[^\s:/?#@'"]*:[^\s'"]*|[^\s/?#'"]*)@""")

# libpq's quoting: '...' with backslashes (to the end of the line when it never ends), or anything up to a space that
# no backslash precedes.
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

    What PostgreSQL cannot keep (NUL, lone surrogates) is written as an escape, for an error must never be lost for
    its own text.

    >>> scrub("no answer from postgresql://jane:s3cret@db.example/gitlab")
    'no answer from postgresql://***@db.example/gitlab'
    >>> scrub("bad DSN: host=db password='it\\'s secret' user=jane")
    'bad DSN: host=db password=*** user=jane'
    """
    text = _USERINFO.sub("://***@", text)
    text = _NAMED.sub(r"\1***", text)
    text = _BEARER.sub(r"\1 ***", text)
    return text.encode("utf-8", "backslashreplace").decode().replace("\x00", "\\x00")
