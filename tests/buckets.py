"""An S3-compatible server whose buckets are folders, and which checks credentials; each request may take longer."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fsspec
import pytest

from project_export.credentials import Credentials, Opened

nanio = pytest.importorskip("nanio", reason="nanio needs Python 3.11")

KEY, SECRET = "AKIACANARYKEY", "s3cr3t/CANARY+secret"
SEEN = "/-/seen"
"""The path that answers how many requests there were of each method, and at the same time."""


class Buckets:
    """The server. folder: whose folders are the buckets. latency_seconds: that each request takes longer."""

    def __init__(self, folder: Path, latency_seconds: float = 0) -> None:
        self.folder = folder
        self._latency_seconds = latency_seconds
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The endpoint."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> Buckets:
        """Start it, and wait until it answers."""
        words = [sys.executable, "-m", "tests.buckets", self.folder, str(self.port), str(self._latency_seconds)]
        environment = {**os.environ, "NANIO_ACCESS_KEY": KEY, "NANIO_SECRET_KEY": SECRET}
        self._process = subprocess.Popen(words, env=environment, cwd=Path(__file__).resolve().parents[1])
        for _ in range(600):
            try:
                self.seen()
                return self
            except OSError:
                assert self._process.poll() is None
                time.sleep(0.05)
        raise TimeoutError(self.url)

    def stop(self) -> None:
        """Stop it at once; connections to it end."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    @contextmanager
    def silent(self) -> Iterator[None]:
        """Let it accept connections and answer nothing while the block lasts."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def __enter__(self) -> Buckets:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def seen(self) -> dict[str, Any]:
        """Return the number of requests of each method since the last call, and `most` at the same time."""
        with urllib.request.urlopen(self.url + SEEN, timeout=30) as answer:
            return json.load(answer)

    def credentials(self, **others: Any) -> Held:
        """Return credentials with one connection, `bucket`. others: of its options."""
        return Held({"key": KEY, "secret": SECRET, "endpoint_url": self.url, **others})

    def in_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Put the credentials and the endpoint into the environment, and forget file systems of another one."""
        for name, value in {"ACCESS_KEY_ID": KEY, "SECRET_ACCESS_KEY": SECRET, "ENDPOINT_URL": self.url}.items():
            monkeypatch.setenv(f"AWS_{name}", value)
        fsspec.get_filesystem_class("s3").clear_instance_cache()


class Held(Credentials):
    """Credentials that are given. asked: the connections that were asked for."""

    def __init__(self, options: dict[str, Any]) -> None:
        self.options = options
        self.asked: list[str] = []

    def filesystem(self, scheme: str, connection: str, setting: str) -> Opened:
        self.asked.append(connection)
        fs = fsspec.filesystem(scheme, skip_instance_cache=True, **self.options)
        return Opened(fs, frozenset({self.options["key"], self.options["secret"]}))


class _Watched:
    """An ASGI application that counts and delays the requests to another one."""

    def __init__(self, app: Any, latency_seconds: float) -> None:
        self._app, self._latency_seconds = app, latency_seconds
        self._seen: Counter[str] = Counter()
        self._now = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif scope["path"] == SEEN:
            seen, self._seen = self._seen, Counter()
            headers = [(b"content-type", b"application/json")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": json.dumps(seen).encode()})
        else:
            self._seen[scope["method"]] += 1
            self._now += 1
            self._seen["most"] = max(self._seen["most"], self._now)
            try:
                await asyncio.sleep(self._latency_seconds)
                await self._app(scope, receive, send)
            finally:
                self._now -= 1


def _serve(folder: str, port: str, latency_seconds: str) -> None:
    import uvicorn
    from nanio.app import build_app
    from nanio.config import Settings
    from nanio.storage.filesystem import FilesystemStorage

    class Storage(FilesystemStorage):
        """Cuts a range that ends after the object, as S3 does; nanio refuses it."""

        async def get_object(self, bucket: str, key: str, *, range_start: Any = None, range_end: Any = None) -> Any:
            if range_end is not None:
                range_end = min(range_end, self.head_object(bucket, key).size - 1)
            return await super().get_object(bucket, key, range_start=range_start, range_end=range_end)

    inner = build_app(Settings(data_dir=Path(folder)))
    inner.state.storage = Storage(Path(folder))
    app = _Watched(inner, float(latency_seconds))
    uvicorn.run(app, host="127.0.0.1", port=int(port), access_log=False, log_level="error")


if __name__ == "__main__":
    _serve(*sys.argv[1:])
