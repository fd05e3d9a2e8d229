"""Files of the store as responses: exact lengths, ranges, validators, and constant memory.

Airflow compresses what its apps send. It would drop the length and make the strong validator wrong, so each response
says that it has an encoding: none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timezone
from email.utils import format_datetime
from urllib.parse import quote

import anyio
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from project_export.errors import NotAvailable
from project_export.steps.downloads import Download
from project_export.store import Contents

PRESIGNED_SECONDS = 300
"""How long a presigned URL can be used to start a download, which may take longer."""

_RANGE = re.compile(r"bytes=\s*([0-9]*)-([0-9]*)\s*", re.IGNORECASE)
_TAG = re.compile(r'(W/)?("[^"]*")')
_LONGEST_NUMBER = 20
"""Digits of a number that is larger than any file; Python refuses to read numbers of several thousand digits."""


def respond(request: Request, download: Download, *, presigned: bool = False) -> Response:
    """Return the response that sends a download: whole or one range of it, or that the client has it already.

    presigned: redirect to a URL of the store if it can make one. It reads from the store, so call it in a route that is
    not async. Raises NotAvailable and StoreRefused before anything is sent. An error while sending breaks the
    connection, so the client gets fewer bytes than announced. If the file was replaced since the ledger was read, the
    response has the new one.
    """
    try:
        return _respond(request, download, presigned)
    except NotAvailable:
        newer = download.newer()
        if newer is None:
            raise
        return respond(request, newer, presigned=presigned)


def _respond(request: Request, download: Download, presigned: bool) -> Response:
    headers = _headers(download)
    match, none_match = (request.headers.get(name) for name in ("if-match", "if-none-match"))
    if match is not None and not _names(match, download.etag, strong=True):
        return Response(status_code=412, headers=_validators(headers))
    if none_match is not None and _names(none_match, download.etag):
        return Response(status_code=304, headers=_validators(headers))
    if request.method == "HEAD":
        download.open().close()
        return Response(headers=headers)
    if presigned and (url := download.presigned(PRESIGNED_SECONDS)) is not None:
        return Response(status_code=302, headers={"Location": url, "Cache-Control": headers["Cache-Control"]})
    wanted = _range(request.headers.get("range", ""), download.bytes)
    if wanted is None or request.headers.get("if-range", download.etag) != download.etag:
        return _Stream(download.open(), 200, headers)
    first, length = wanted
    if not length:
        return Response(status_code=416, headers={"Content-Range": f"bytes */{download.bytes}", **_validators(headers)})
    headers["Content-Range"] = f"bytes {first}-{first + length - 1}/{download.bytes}"
    headers["Content-Length"] = str(length)
    return _Stream(download.open(first, length), 206, headers)


class _Stream(StreamingResponse):
    """Sends contents block by block, each read in a thread, and closes them however that ends."""

    def __init__(self, contents: Contents, status: int, headers: Mapping[str, str]) -> None:
        super().__init__(contents, status, headers)
        self._contents = contents

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response; ends when the client goes away."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            with anyio.CancelScope(shield=True):
                await run_in_threadpool(self._contents.close)


def _headers(download: Download) -> dict[str, str]:
    name = re.sub(r"[^A-Za-z0-9_.-]", "_", download.name)
    return {
        "Content-Type": download.content_type,
        "Content-Length": str(download.bytes),
        "Content-Encoding": "identity",
        "Content-Disposition": f"attachment; filename=\"{name}\"; filename*=UTF-8''{quote(download.name, safe='')}",
        "Accept-Ranges": "bytes",
        "ETag": download.etag,
        "Last-Modified": format_datetime(download.modified.astimezone(timezone.utc), usegmt=True),
        "Cache-Control": "private, no-store",
        "X-Content-Type-Options": "nosniff",
    }


def _validators(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers of a response without the file."""
    return {name: headers[name] for name in ("ETag", "Last-Modified", "Cache-Control", "X-Content-Type-Options")}


def _names(condition: str, etag: str, *, strong: bool = False) -> bool:
    """Return whether a list of entity tags, or `*`, names this one. strong: weak tags do not count.

    >>> _names('"a", W/"b"', '"b"'), _names("*", '"b"'), _names('W/"b"', '"b"', strong=True)
    (True, True, False)
    """
    return condition.strip() == "*" or any(
        tag == etag and not (weak and strong) for weak, tag in _TAG.findall(condition)
    )


def _range(asked: str, size: int) -> tuple[int, int] | None:
    """Return start and length of the only range that is asked for, None for the whole file; length 0: there is none.

    A header of another form, and one with several ranges, counts as none (RFC 9110, 14.2).

    >>> _range("bytes=2-5", 10), _range("bytes=8-99", 10), _range("bytes=-3", 10), _range("bytes=10-", 10)
    ((2, 4), (8, 2), (7, 3), (10, 0))
    >>> _range("bytes=0-1,3-4", 10), _range("bytes=5-2", 10), _range("lines=1-2", 10)
    (None, None, None)
    """
    match = _RANGE.fullmatch(asked)
    if match is None or match.group(1, 2) == ("", ""):
        return None
    first, last = (_number(digits) for digits in match.groups())
    if first is None:
        length = min(last or 0, size)
        return size - length, length
    if last is not None and last < first:
        return None
    first = min(first, size)
    return first, min(size - 1 if last is None else last, size - 1) - first + 1


def _number(digits: str) -> int | None:
    return int(digits.lstrip("0")[:_LONGEST_NUMBER] or "0") if digits else None
