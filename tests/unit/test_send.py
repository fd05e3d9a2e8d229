from __future__ import annotations

import io
import logging
from urllib.parse import urlencode

import pytest

from project_export.errors import DeliveryFailed, DeliveryRefused
from project_export.send import CHUNK, MOST_INTERIM, Url, send, shown
from tests.receiver import Receiver
from tests.unit.sending import GZIP, early, put


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
    with early(b"") as url, pytest.raises(DeliveryFailed, match="closed the connection: timed out"):
        put(url, timeout_seconds=0.2)


def test_a_host_header_has_no_default_port() -> None:
    assert Url.parse("https://files.example/a?b").name == "files.example"
    assert Url.parse("https://[2606::1]:444/").name == "[2606::1]:444"
    assert Url.parse("http://files.example").target == "/"


def test_nothing_secret_is_in_any_text(caplog: pytest.LogCaptureFixture, receiver: Receiver) -> None:
    caplog.set_level(logging.DEBUG)
    url = receiver.url.replace("//", "//jane:pa55@") + "/up?sig=s3cret#frag"
    put(url)
    texts = caplog.text + repr(Url.parse(url)) + shown(url)
    assert not any(secret in texts for secret in ("jane", "pa55", "s3cret", "frag"))
    assert shown("http://[bad") == "the URL"
