"""A route in a real server, behind the middlewares of Airflow's API server or without them."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

Answer = Callable[[Any], Any]


@dataclass(frozen=True)
class Serving:
    """The server. port: on the loopback address."""

    port: int

    def get(self, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
        """Return status, headers (in small letters) and body of one request. headers: with `_` for `-`."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, "/mounted/file", headers=named(headers))
            response = connection.getresponse()
            return response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()
        finally:
            connection.close()

    @contextmanager
    def slowly(self, **headers: str) -> Iterator[http.client.HTTPResponse]:
        """Yield the response to a GET, to be read; the connection buffers little and is closed at the end."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.sock = socket.socket()
        connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 10)
        connection.sock.settimeout(30)
        connection.sock.connect(("127.0.0.1", self.port))
        try:
            connection.request("GET", "/mounted/file", headers=named(headers))
            with connection.getresponse() as response:
                yield response
        finally:
            connection.close()


def named(headers: dict[str, str]) -> dict[str, str]:
    """Return headers with their names as on the wire; gzip is accepted unless another encoding is named."""
    return {"Accept-Encoding": "gzip"} | {name.replace("_", "-"): value for name, value in headers.items()}


@contextmanager
def serving(answer: Answer, *, airflow: bool = True) -> Iterator[Serving]:
    """Answer requests for a file with `answer`, a route that is not async, in an app that another one has mounted.

    airflow: the other one has the middlewares of Airflow's.
    """
    import uvicorn
    from fastapi import FastAPI, Request

    def route(request: Request):  # type: ignore[no-untyped-def]
        return answer(request)

    route.__annotations__ = {"request": Request}
    mounted, app = FastAPI(), FastAPI()
    mounted.add_api_route("/file", route, methods=["GET", "HEAD"], response_model=None)
    app.mount("/mounted", mounted)
    with _middlewares(app) if airflow else nullcontext(), socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(app, log_level="critical", access_log=False, lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            while not server.started:
                time.sleep(0.01)
            yield Serving(listening.getsockname()[1])
        finally:
            server.should_exit = True
            thread.join(30)


@contextmanager
def _middlewares(app: Any) -> Iterator[None]:
    """Add the middlewares of Airflow's API server; while the block lasts, its access log is silent."""
    from airflow.api_fastapi.app import create_auth_manager, init_access_logging
    from airflow.api_fastapi.common import http_access_log
    from airflow.api_fastapi.core_api.app import init_middlewares

    create_auth_manager()
    init_middlewares(app)
    init_access_logging(app)
    with patch.object(http_access_log, "logger"):
        yield
