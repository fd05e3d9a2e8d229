"""What tests of sending need: a request, and servers and resolvers that answer as they are told."""

from __future__ import annotations

import io
import socket
import ssl
import threading
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from project_export.send import CHUNK, send

GZIP = {"Content-Type": "application/gzip"}


def put(url: str, body: bytes = b"archive", size: int | None = None, **options: Any) -> int:
    defaults: dict[str, Any] = {"allow_private": True, "timeout_seconds": 10}
    length = len(body) if size is None else size
    return send(url, "PUT", io.BytesIO(body), length, GZIP, **{**defaults, **options})


def resolve(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> list[str]:
    """Have each resolution answered by the next list; return the names that are asked for."""
    left, asked = list(answers), []

    def answer(host: str, port: int, **_: Any) -> list[Any]:
        asked.append(host)
        addresses = left.pop(0) if len(left) > 1 else left[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    monkeypatch.setattr(socket, "create_connection", plain_connection)
    return asked


def plain_connection(address: tuple[str, int], timeout: float) -> socket.socket:
    """What socket.create_connection does for an address, without resolving it."""
    connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    connection.settimeout(timeout)
    connection.connect(address)
    return connection


class early:
    """A server that sends an answer before it has read the request, then closes; an empty one keeps it waiting."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer
        self._server = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve)

    def _serve(self) -> None:
        connection, _ = self._server.accept()
        with connection:
            connection.recv(1)
            if self._answer:
                connection.sendall(self._answer)
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(CHUNK):
                    pass
            else:
                self._done.wait(10)

    def __enter__(self) -> str:
        self._done = threading.Event()
        self._thread.start()
        return f"http://127.0.0.1:{self._server.getsockname()[1]}/"

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()
        self._server.close()


class tls_server:
    """A TLS server that answers 200 to whoever completes the handshake, and keeps the names it was asked for."""

    def __init__(self, chain: Path, served: list[str]) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(chain)
        self._context.sni_callback = lambda sock, name, _: self._names.append(str(name))
        self._names: list[str] = []
        self._served = served
        self._server = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve)

    def _serve(self) -> None:
        while True:
            connection, _ = self._server.accept()
            with connection:
                try:
                    with self._context.wrap_socket(connection, server_side=True) as secure:
                        secure.recv(CHUNK)
                        self._served.append(self._names[-1])
                        secure.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                        while secure.recv(CHUNK):  # a close before the rest has come would take the answer back
                            pass
                except OSError:
                    if self._closing:
                        return

    def __enter__(self) -> int:
        self._closing = False
        self._thread.start()
        return int(self._server.getsockname()[1])

    def __exit__(self, *_: object) -> None:
        self._closing = True
        plain_connection(("127.0.0.1", self._server.getsockname()[1]), 1).close()
        self._thread.join()
        self._server.close()


def certificate(folder: Path, name: str) -> Path:
    """Make a self-signed certificate for a name and return the file that holds it and its key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(timezone.utc)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path = folder / "chain.pem"
    path.write_bytes(private + made.public_bytes(pem))
    return path
