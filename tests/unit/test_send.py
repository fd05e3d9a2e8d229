from __future__ import annotations

import io
import logging
import socket
import ssl
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from project_export.errors import BadRequest, DeliveryFailed, DeliveryRefused
from project_export.send import CHUNK, MOST_INTERIM, Place, public, send, shown
from tests.receiver import Receiver, receiving

GZIP = {"Content-Type": "application/gzip"}
PRIVATE = [
    "127.0.0.1",
    "localhost",
    "[::1]",
    "0.0.0.0",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.0.1",
    "100.64.0.1",
    "169.254.169.254",
    "224.0.0.1",
    "255.255.255.255",
    "2130706433",
    "0x7f.1",
    "127.1",
    "[::ffff:127.0.0.1]",
    "[fe80::1]",
    "[fd00:ec2::254]",
    "[ff02::1]",
    "[fec0::1]",
    "[64:ff9b::7f00:1]",
    "[2002:7f00:1::]",
    "[::127.0.0.1]",
    "[::ffff:169.254.169.254]",
    "[2001:0:7f00:1::]",
    "[100::1]",
    "[2001:db8::1]",
    "[3fff::1]",
    "192.0.0.192",
    "192.88.99.1",
    "198.18.0.1",
    "240.0.0.1",
]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


def put(url: str, body: bytes = b"archive", size: int | None = None, **options: Any) -> int:
    defaults: dict[str, Any] = {"allow_private": True, "timeout_seconds": 10}
    length = len(body) if size is None else size
    return send(url, "PUT", io.BytesIO(body), length, GZIP, **{**defaults, **options})


@pytest.mark.parametrize("method", ["PUT", "POST"])
def test_the_body_arrives_as_it_is_with_its_length_and_type(receiver: Receiver, method: str) -> None:
    body = bytes(range(256)) * 4096 + b"end"
    status = send(
        f"{receiver.url}/up?a=b", method, io.BytesIO(body), len(body), GZIP, allow_private=True, timeout_seconds=10
    )
    (request,) = receiver.received
    assert (status, request.method, request.target, request.body) == (200, method, "/up?a=b", body)
    assert request.headers["content-type"] == "application/gzip"
    assert request.headers["content-length"] == str(len(body))
    assert "transfer-encoding" not in request.headers
    assert request.headers["host"] == receiver.url.removeprefix("http://")


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_any_2xx_is_taken_as_yes(receiver: Receiver, status: int) -> None:
    receiver.answers = [(status, "")]
    assert put(receiver.url) == status


@pytest.mark.parametrize("interim", [[100], [102], [103], [102, 103, 100]])
@pytest.mark.parametrize("final", [200, 403])
def test_interim_answers_are_skipped(receiver: Receiver, interim: list[int], final: int) -> None:
    receiver.interim, receiver.answers = interim, [(final, "why")]
    if final == 200:
        assert put(receiver.url) == 200
    else:
        with pytest.raises(DeliveryRefused, match="answered with 403 Forbidden: why"):
            put(receiver.url)


def test_interim_answers_without_end_are_a_refusal(receiver: Receiver) -> None:
    receiver.interim = [102] * (MOST_INTERIM + 1)
    with pytest.raises(DeliveryRefused, match="answered with 102"):
        put(receiver.url)


@pytest.mark.parametrize("status", [500, 503, 429])
def test_an_overloaded_receiver_may_be_asked_again(receiver: Receiver, status: int) -> None:
    receiver.answers = [(status, "slow\n down")]
    with pytest.raises(DeliveryFailed, match=f"answered with {status} .*: slow down"):
        put(receiver.url)


def test_a_refusal_says_why_and_shows_no_secret(receiver: Receiver) -> None:
    receiver.answers = [(403, "signature X-Sig=s3cret is bad")]
    with pytest.raises(DeliveryRefused) as caught:
        put(receiver.url.replace("//", "//jane:pa55@") + "/up?X-Sig=s3cret")
    assert f"PUT to {receiver.url}/up was answered with 403 Forbidden: signature *** is bad" in str(caught.value)
    assert "pa55" not in str(caught.value)


def test_an_answer_that_repeats_parts_of_the_url_shows_no_secret_and_is_cut_after_they_are_gone(
    receiver: Receiver,
) -> None:
    signature, key = "ab/c+d&e" * 40, "AKIA1234"
    said = f"<Key>{key}</Key> <Signature>{signature.replace('&', '&amp;')}</Signature> for jane and pa55/word"
    receiver.answers = [(403, said + " x" * 500)]
    query = urlencode({"X-Amz-Signature": signature, "X-Amz-Credential": key, "v": "1"})
    with pytest.raises(DeliveryRefused) as caught:
        put(receiver.url.replace("//", "//jane:pa55%2Fword@") + f"/up?{query}")
    text = str(caught.value)
    assert "<Key>***</Key> <Signature>***</Signature> for *** and *** x x" in text
    assert len(text) < 700
    assert not any(secret in text for secret in ("ab/c", "AKIA", "jane", "pa55"))


def test_a_redirect_is_a_refusal_and_not_followed(receiver: Receiver) -> None:
    receiver.answers = [(302, "")]
    receiver.headers = {"Location": f"{receiver.url}/elsewhere"}
    with pytest.raises(DeliveryRefused, match="302"):
        put(receiver.url)
    assert len(receiver.received) == 1


def test_user_and_password_of_the_url_are_sent_as_a_header_only(receiver: Receiver) -> None:
    put(receiver.url.replace("//", "//jane:p%40ss@"))
    (request,) = receiver.received
    assert request.headers["authorization"] == "Basic amFuZTpwQHNz"
    assert "@" not in request.headers["host"] + request.target


@pytest.mark.parametrize("host", PRIVATE)
def test_private_places_are_refused(host: str) -> None:
    with pytest.raises(BadRequest, match="no public address"):
        put(f"http://{host}/", allow_private=False)


def test_nothing_is_sent_to_a_refused_place(receiver: Receiver) -> None:
    with pytest.raises(BadRequest, match="PROJECT_EXPORT_UPLOAD_ALLOW_PRIVATE"):
        put(receiver.url, allow_private=False)
    assert receiver.received == []


def test_public_addresses_are_public() -> None:
    assert all(public(address) for address in ("93.184.216.34", "8.8.8.8", "2606:2800:220:1::1"))


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://files.example/x",
        "gopher://files.example/",
        "//files.example/x",
        "http://",
        "http:///x",
        "files.example",
        "",
        "http://files.example:99999/",
        "http://[::1/",
        "http://files.example/a b",
        "http://files.example/\r\nX: y",
        "http://files.example/\u00e9",
    ],
)
def test_other_schemes_and_malformed_urls_are_refused(url: str) -> None:
    with pytest.raises(BadRequest):
        put(url)


def test_a_name_with_one_private_address_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    resolve(monkeypatch, ["93.184.216.34", "10.0.0.1"])
    with pytest.raises(BadRequest, match=r"files.example is at 10\.0\.0\.1"):
        put("http://files.example/", allow_private=False)


def test_the_connection_goes_to_the_address_that_was_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = resolve(monkeypatch, ["93.184.216.34"], ["127.0.0.1"])
    connected = []

    def connect(address: tuple[str, int], timeout: float) -> socket.socket:
        connected.append(address)
        raise ConnectionRefusedError("no")

    monkeypatch.setattr(socket, "create_connection", connect)
    with pytest.raises(DeliveryFailed, match=r"No connection to files.example, port 80 \(93\.184\.216\.34: no\)"):
        put("http://files.example/", allow_private=False)
    assert connected == [("93.184.216.34", 80)]
    assert asked == ["files.example"]


def test_the_second_address_is_tried_when_the_first_does_not_answer(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve(monkeypatch, ["127.0.0.2", "127.0.0.1"])
    assert put(receiver.url.replace("127.0.0.1", "files.example")) == 200


def test_an_unknown_host_may_be_known_later(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: Any, **__: Any) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(DeliveryFailed, match="cannot be resolved"):
        put("https://files.example/")


def test_proxies_of_the_environment_are_not_asked(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert put(receiver.url) == 200


def test_the_body_is_read_in_chunks(receiver: Receiver) -> None:
    asked = []

    class Counting(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            asked.append(size)
            return super().read(size)

    size = 5 * CHUNK + 1
    send(receiver.url, "PUT", Counting(bytes(size)), size, GZIP, allow_private=True, timeout_seconds=10)
    assert asked == [CHUNK] * 5 + [1]


def test_a_body_that_is_too_short_is_not_taken_for_whole(receiver: Receiver) -> None:
    with pytest.raises(DeliveryFailed, match="ends 3 of 10 bytes too early"):
        put(receiver.url, b"archive", size=10)


def test_no_more_than_the_size_is_sent(receiver: Receiver) -> None:
    put(receiver.url, b"archive and more", size=7)
    assert receiver.received[0].body == b"archive"


def test_an_answer_before_the_end_of_the_body_is_read() -> None:
    with (
        early(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig") as url,
        pytest.raises(DeliveryRefused, match="413"),
    ):
        put(url, bytes(64 << 20))


def test_a_receiver_that_does_not_answer_is_given_up() -> None:
    with early(b"") as url, pytest.raises(DeliveryFailed, match="broke the connection off"):
        put(url, timeout_seconds=0.2)


def test_tls_is_checked_against_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chain = certificate(tmp_path, "files.example")
    served: list[str] = []
    resolve(monkeypatch, ["127.0.0.1"])
    with tls_server(chain, served) as port:
        with pytest.raises(DeliveryFailed, match="CERTIFICATE_VERIFY_FAILED"):
            put(f"https://files.example:{port}/up")
        monkeypatch.setenv("SSL_CERT_FILE", str(chain))
        with pytest.raises(DeliveryFailed, match="CERTIFICATE_VERIFY_FAILED"):
            put(f"https://other.example:{port}/up")
        assert put(f"https://files.example:{port}/up") == 200
    assert served == ["files.example"]


def test_a_host_header_has_no_default_port() -> None:
    assert Place.parse("https://files.example/a?b").name == "files.example"
    assert Place.parse("https://[2606::1]:444/").name == "[2606::1]:444"
    assert Place.parse("http://files.example").target == "/"


def test_nothing_secret_is_in_any_text(caplog: pytest.LogCaptureFixture, receiver: Receiver) -> None:
    caplog.set_level(logging.DEBUG)
    url = receiver.url.replace("//", "//jane:pa55@") + "/up?sig=s3cret#frag"
    put(url)
    texts = caplog.text + repr(Place.parse(url)) + shown(url)
    assert not any(secret in texts for secret in ("jane", "pa55", "s3cret", "frag"))
    assert shown("http://[bad") == "the URL"


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
