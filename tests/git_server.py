"""A server of git repositories over https with a password, as GitLab's; it keeps what git shows of it."""

from __future__ import annotations

import ssl
import subprocess
import threading
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import psutil
import pytest

from tests.repositories import ENVIRONMENT, filled

SECRET = "glpat-s3cr/et %"
"""The password of the user oauth2."""


class Server(ThreadingHTTPServer):
    """GitLab's part: git's own server behind a password. seen: the command lines of git during requests."""

    def __init__(self, root: Path, certificate: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        self.socket = context.wrap_socket(self.socket, server_side=True)
        self.root = root
        self.seen: set[str] = set()
        self.paths: list[str] = []
        self.elsewhere = ""

    def url(self, name: str, user: str = "") -> str:
        return f"https://{user}localhost:{self.server_port}/{name}"


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self.server.paths.append(self.path)
        # Only what this process has started: other workers of the tests call git at the same time.
        commands = []
        for process in psutil.Process().children(recursive=True):
            with suppress(psutil.Error):  # it has just ended
                commands.append(process.cmdline())
        programs = ((Path(words[0]).name, words) for words in commands if words)
        self.server.seen |= {" ".join(words) for name, words in programs if name.startswith("git")}
        expected = "Basic " + b64encode(f"oauth2:{SECRET}".encode()).decode()
        if self.server.elsewhere:
            self._answer(302, {"Location": self.server.elsewhere + self.path})
        elif self.headers["Authorization"] != expected:
            self._answer(401, {"WWW-Authenticate": 'Basic realm="GitLab"'})
        else:
            self._backend()

    do_POST = do_GET

    def _backend(self) -> None:
        parts = urlsplit(self.path)
        environment = {
            **ENVIRONMENT,
            "GIT_PROJECT_ROOT": str(self.server.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_PROTOCOL": self.headers["Git-Protocol"] or "",
            "REQUEST_METHOD": self.command,
            "PATH_INFO": unquote(parts.path),
            "QUERY_STRING": parts.query,
            "CONTENT_TYPE": self.headers["Content-Type"] or "",
            "HTTP_CONTENT_ENCODING": self.headers["Content-Encoding"] or "",
        }
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        done = subprocess.run(["git", "http-backend"], env=environment, input=body, capture_output=True, check=True)
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        self._answer(int(headers.pop("Status", "200").split()[0]), headers, content)

    def _answer(self, status: int, headers: dict[str, str], content: bytes = b"") -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("tls") / "both.pem"
    key = file.with_name("key.pem")
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *subject]
    subprocess.run([*words, "-keyout", key, "-out", file], check=True, capture_output=True)
    file.write_text(file.read_text() + key.read_text())
    return file


@contextmanager
def serving(root: Path, certificate: Path) -> Iterator[Server]:
    with Server(root, certificate) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def git_server(tmp_path: Path, certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    filled(tmp_path / "root")
    monkeypatch.setenv("GIT_SSL_CAINFO", str(certificate))
    with serving(tmp_path / "root", certificate) as server:
        yield server
