"""An HTTP server for tests that keeps what it is sent and answers as it is told."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

CHUNK = 64 << 10


@dataclass
class Received:
    """One request. body: as many bytes as came, at most as Content-Length said."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """answers: status and body of the next answers, in turn; 200 without a body when there are none left.

    interim: statuses (1xx) that are sent before each answer.
    """

    url: str = ""
    answers: list[tuple[int, str]] = field(default_factory=list)
    received: list[Received] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    interim: list[int] = field(default_factory=list)


@contextmanager
def receiving() -> Iterator[Receiver]:
    """Run a receiver on a port of the loopback address."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            left = int(self.headers.get("Content-Length", 0))
            body = bytearray()
            while left and (chunk := self.rfile.read(min(CHUNK, left))):
                body += chunk
                left -= len(chunk)
            headers = {name.lower(): value for name, value in self.headers.items()}
            receiver.received.append(Received(self.command, self.path, headers, bytes(body)))
            for status in receiver.interim:
                self.send_response_only(status)
                self.send_header("Link", "</style.css>; rel=preload")
                self.end_headers()
            status, text = receiver.answers.pop(0) if receiver.answers else (200, "")
            self.send_response(status)
            for name, value in receiver.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        do_PUT = do_POST = do_GET = _answer

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        def handle_error(self, request: Any, client_address: Any) -> None:
            """Print what failed here; a client that gives up before it has its answer is not an error."""
            if not isinstance(sys.exc_info()[1], ConnectionError):
                super().handle_error(request, client_address)

    with Server(("127.0.0.1", 0), Handler) as server:
        receiver.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield receiver
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver that runs during the test."""
    with receiving() as receiver:
        yield receiver
