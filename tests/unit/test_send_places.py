"""Where something is sent to: public addresses only, the one that was judged, no proxy, the certificate's name."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from project_export.errors import BadRequest, DeliveryFailed
from project_export.send import public
from tests.receiver import Receiver
from tests.unit.sending import certificate, put, resolve, tls_server

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


@pytest.mark.parametrize("host", PRIVATE)
def test_private_places_are_refused(host: str) -> None:
    with pytest.raises(BadRequest, match="not a public address"):
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
