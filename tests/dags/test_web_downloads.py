"""Downloads as clients get them: through a real server and the middlewares of Airflow's API server."""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import zlib
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

import psutil
import pytest

from project_export.errors import NotAvailable, ProjectExportError
from project_export.steps.downloads import GZIP, JSON, Download
from project_export.store import Glue, JobKey, LocalStore, Source, Store, StoredFile, StoredPiece, open_store
from tests.runs import wait_until
from tests.serving import Serving, serving

JOB = JobKey("source", 42, 7)
DATA = os.urandom(5 << 20)
SIZE = len(DATA)
MODIFIED = datetime(2026, 11, 28, 10, 30, 7, 123456, timezone.utc)


class Offered:
    """What the server offers. errors: what its routes raised."""

    def __init__(self, folder: Path) -> None:
        self.local = open_store(str(folder / "exports"))
        self.store: Store = self.local
        self.presigned = False
        self.errors: list[ProjectExportError] = []
        self.download = self.archive()

    def archive(self, data: bytes = DATA, **changed: str) -> Download:
        uri = self.store.archive(JOB, "ab" * 32)
        with self.store.writing(JOB, uri) as out:
            out.write(data)
        return self.of((StoredFile(uri, len(data), hashlib.sha256(data).hexdigest()),), **changed)

    def of(self, sources: tuple[Source, ...], kind: str = GZIP, name: str = "a_export.tar.gz") -> Download:
        size = sum(source.bytes for source in sources)
        return Download(name, kind, size, '"tag"', MODIFIED, None, sources, self.store)

    def answer(self, request):
        from fastapi.responses import JSONResponse

        from project_export.airflow.web.downloads import respond

        try:
            return respond(request, self.download, presigned=self.presigned)
        except ProjectExportError as error:
            self.errors.append(error)
            return JSONResponse({"message": "404"}, 404)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Offered, Serving]]:
    offered = Offered(tmp_path_factory.mktemp("offered"))
    with serving(offered.answer) as server:
        yield offered, server


@pytest.fixture
def offered(place: tuple[Offered, Serving]) -> Offered:
    offered, _ = place
    offered.presigned, offered.store = False, offered.local
    offered.download = offered.archive()
    offered.errors.clear()
    return offered


@pytest.fixture
def server(place: tuple[Offered, Serving]) -> Serving:
    return place[1]


def test_a_whole_file_arrives_with_its_exact_length_whatever_the_client_accepts(offered, server):
    for accepted in ("gzip", "identity", "gzip, deflate, br", "*"):
        status, headers, body = server.get(Accept_Encoding=accepted)
        assert (status, body == DATA, headers["content-length"]) == (200, True, str(SIZE))
        assert headers["content-encoding"] == "identity"
        assert headers["content-type"] == "application/gzip"
        assert headers["etag"] == '"tag"'
        assert headers["last-modified"] == "Sat, 28 Nov 2026 10:30:07 GMT"
        assert headers["accept-ranges"] == "bytes"
        assert headers["cache-control"] == "private, no-store"
        assert headers["x-content-type-options"] == "nosniff"
        disposition = "attachment; filename=\"a_export.tar.gz\"; filename*=UTF-8''a_export.tar.gz"
        assert headers["content-disposition"] == disposition
        assert "transfer-encoding" not in headers


@pytest.mark.parametrize("size", [1, 999, 1024, 200_000])
def test_a_manifest_of_any_size_is_not_compressed_on_the_way(offered, server, size):
    data = (b'{"a": 1}' * size)[:size]
    offered.download = offered.of((Glue(data),), JSON, "a.manifest.json")
    status, headers, body = server.get()
    assert (status, body, headers["content-length"]) == (200, data, str(size))
    assert headers["content-type"] == "application/json"
    status, headers, body = server.get(Range="bytes=0-0")
    assert (status, body, headers["content-length"]) == (206, data[:1], "1")


def test_a_head_request_gets_the_headers_of_the_whole_file_and_no_byte(offered, server):
    for asked in ({}, {"Range": "bytes=0-9"}):
        status, headers, body = server.get("HEAD", **asked)
        assert (status, body, headers["content-length"], headers["etag"]) == (200, b"", str(SIZE), '"tag"')
        assert headers["content-type"] == "application/gzip"


@pytest.mark.parametrize(
    ("asked", "first", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=0-", 0, SIZE),
        ("bytes=1000000-2999999", 1_000_000, 3_000_000),
        (f"bytes={SIZE - 1}-", SIZE - 1, SIZE),
        ("bytes=-10", SIZE - 10, SIZE),
        (f"bytes=-{SIZE + 1}", 0, SIZE),
        pytest.param(f"bytes=5-{'9' * 5000}", 5, SIZE, id="5000 digits"),
        ("Bytes= 1-2 ", 1, 3),
    ],
)
def test_a_range_is_sent_alone(offered, server, asked, first, end):
    status, headers, body = server.get(Range=asked)
    assert (status, body == DATA[first:end]) == (206, True)
    assert headers["content-range"] == f"bytes {first}-{end - 1}/{SIZE}"
    assert headers["content-length"] == str(end - first)


@pytest.mark.parametrize(
    "asked", [f"bytes={SIZE}-", f"bytes={SIZE + 5}-{SIZE + 9}", "bytes=-0", f"bytes={'9' * 5000}-"]
)
def test_a_range_outside_the_file_is_refused_with_its_size(offered, server, asked):
    status, headers, body = server.get(Range=asked)
    assert (status, body, headers["content-range"]) == (416, b"", f"bytes */{SIZE}")


@pytest.mark.parametrize("asked", ["bytes=0-1,5-6", "bytes=5-2", "bytes=a-b", "bytes=-", "lines=1-2", "bytes", ""])
def test_several_ranges_and_what_is_no_range_give_the_whole_file(offered, server, asked):
    status, headers, body = server.get(Range=asked)
    assert (status, body == DATA) == (200, True)
    assert "content-range" not in headers


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ({"If_None_Match": '"tag"'}, 304),
        ({"If_None_Match": 'W/"tag"'}, 304),
        ({"If_None_Match": '"x", "tag"'}, 304),
        ({"If_None_Match": "*"}, 304),
        ({"If_None_Match": '"x"'}, 200),
        ({"If_None_Match": '"tag"', "Range": "bytes=0-9"}, 304),
        ({"If_Match": '"tag"'}, 200),
        ({"If_Match": 'W/"tag"'}, 412),
        ({"If_Match": '"x"'}, 412),
        ({"If_Match": '"x"', "Range": "bytes=0-9"}, 412),
        ({"If_Range": '"tag"', "Range": "bytes=0-9"}, 206),
        ({"If_Range": '"x"', "Range": "bytes=0-9"}, 200),
        ({"If_Range": 'W/"tag"', "Range": "bytes=0-9"}, 200),
        ({"If_Range": "Sat, 28 Nov 2026 10:30:07 GMT", "Range": "bytes=0-9"}, 200),
        ({"If_Range": '"x"', "Range": "bytes=99999999-"}, 200),
    ],
)
def test_validators_decide_whether_a_file_is_sent_again(offered, server, asked, status):
    found, headers, body = server.get(**asked)
    assert (found, headers["etag"]) == (status, '"tag"')
    assert len(body) == {200: SIZE, 206: 10}.get(status, 0)


def test_a_name_of_any_characters_is_safe(offered, server):
    offered.download = offered.archive(name='ö"\r\nX-Evil: 1;/%.gz')
    _, headers, _ = server.get()
    assert "x-evil" not in headers
    ascii_name, encoded = re.fullmatch(
        r"attachment; filename=\"([\w.-]+)\"; filename\*=UTF-8''([\w.%-]+)", headers["content-disposition"], re.ASCII
    ).groups()
    assert ascii_name == "____X-Evil__1___.gz"
    assert encoded == "%C3%B6%22%0D%0AX-Evil%3A%201%3B%2F%25.gz"


def test_an_interrupted_download_is_resumed_and_the_whole_is_the_file(offered, server):
    got = b""
    while len(got) < SIZE:
        with server.slowly(Range=f"bytes={len(got)}-", If_Range='"tag"') as response:
            assert response.status == 206
            got += response.read(700_000)
    assert got == DATA


def test_a_client_that_goes_away_closes_the_file(offered, server):
    offered.download = offered.archive(os.urandom(20 << 20))
    (source,) = offered.download.sources
    path = str(offered.store.local_path(source.uri))
    with server.slowly() as response:
        assert response.read(10)
        assert path in open_files()
    wait_until(lambda: path not in open_files())
    assert server.get("HEAD")[0] == 200
    assert path not in open_files()


def open_files() -> list[str]:
    return [str(one.readlink()) for one in Path("/proc/self/fd").iterdir() if one.is_symlink()]


@pytest.mark.parametrize("kind", ["archive", "part"])
def test_altered_content_breaks_the_connection(offered, server, kind):
    download = offered.download
    (source,) = download.sources
    if kind == "part":
        piece = StoredPiece("issues", 0, source.uri, SIZE, zlib.crc32(DATA), "")
        download = offered.download = offered.of((Glue(b"head"), piece, Glue(b"tail")))
    with offered.store.writing(JOB, source.uri) as out:
        out.write(bytes([DATA[0] ^ 1]) + DATA[1:])
    with pytest.raises(http.client.IncompleteRead) as caught:
        server.get()
    assert 0 < len(caught.value.partial) < download.bytes
    assert offered.errors == []
    assert server.get(Range="bytes=10-19")[0] == 206


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_missing_file_is_an_error_before_the_first_byte(offered, server, method):
    (source,) = offered.download.sources
    offered.store.remove(source.uri)
    assert server.get(method)[0] == 404
    assert [type(error) for error in offered.errors] == [NotAvailable]


def test_a_file_that_was_replaced_since_the_ledger_was_read_is_answered_with_the_new_one(offered, server):
    new = offered.download
    gone = StoredFile(offered.store.archive(JOB, "cd" * 32), 3, "ef" * 32)
    offered.download = replace(offered.of((gone,)), etag='"old"', newer=lambda: new)
    status, headers, body = server.get()
    assert (status, body == DATA, headers["etag"]) == (200, True, '"tag"')
    status, headers, body = server.get(Range="bytes=0-1", If_Range='"old"')
    assert (status, body == DATA) == (200, True)


def test_memory_does_not_grow_with_the_file(offered, server, tmp_path):
    size = 200 << 20
    whole = hashlib.sha256()
    uri = offered.store.archive(JOB, "ef" * 32)
    with offered.store.writing(JOB, uri) as out:
        for number in range(200):
            block = bytes([number]) * (1 << 20)
            whole.update(block)
            out.write(block)
    offered.download = offered.of((StoredFile(uri, size, whole.hexdigest()),))
    got, most = hashlib.sha256(), 0
    with server.slowly() as response:
        process = psutil.Process()
        before = process.memory_info().rss
        while data := response.read(1 << 20):
            got.update(data)
            most = max(most, process.memory_info().rss)
    assert got.digest() == whole.digest()
    assert most - before < 40 << 20


def test_a_store_that_cannot_sign_sends_the_file_itself(offered, server):
    offered.presigned = True
    status, _, body = server.get()
    assert (status, body == DATA) == (200, True)


class Signing(LocalStore):
    """Signs as a store in a bucket does."""

    def presigned(self, uri: str, seconds: int, name: str, content_type: str) -> str:
        return f"https://bucket.example/?key={uri.rpartition('/')[2]}&for={seconds}&as={name}&type={content_type}"


def test_a_store_that_signs_is_redirected_to_if_that_is_set_and_the_file_is_checked_before(offered, server, tmp_path):
    offered.store = Signing(tmp_path)
    offered.download = offered.archive()
    assert server.get()[0] == 200
    offered.presigned = True
    for asked in ({}, {"Range": "bytes=0-9"}):  # the client repeats its range there
        status, headers, body = server.get(**asked)
        assert (status, body, headers["cache-control"]) == (302, b"", "private, no-store")
        there = "key=project.tar.gz&for=300&as=a_export.tar.gz&type=application/gzip"
        assert headers["location"] == f"https://bucket.example/?{there}"
    assert server.get("HEAD")[1]["content-length"] == str(SIZE)
    assert server.get(If_None_Match='"tag"')[0] == 304
    (source,) = offered.download.sources
    offered.download = offered.of((Glue(b"head"), source))
    assert server.get()[2] == b"head" + DATA  # the store has no such file
    offered.download = offered.of((source,))
    with offered.store.writing(JOB, source.uri) as out:
        out.write(b"cut")
    assert server.get()[0] == 404
