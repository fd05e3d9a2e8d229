"""Notices as mail and as webhook, without a running Airflow: connections come from the environment."""

from __future__ import annotations

import json
import os
import socketserver
import threading
from collections.abc import Iterator
from email import message_from_string
from types import SimpleNamespace
from typing import Any

import pytest

from project_export.errors import DeliveryFailed, DeliveryRefused
from project_export.settings import Settings
from tests.receiver import Receiver, receiving

TEXT = "Project 42 couldn't be exported:\n  notes: {{ 7 * 7 }} <script>&\nRun dag/run"


@pytest.fixture
def notice() -> Any:
    from project_export.steps import Notice

    return Notice("failed", "Project export error", TEXT, {"outcome": "failed", "job_id": 7, "errors": ["notes: no"]})


@pytest.fixture
def mails(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What an SMTP server on a port of the loopback address, which is the default connection, was given."""
    taken: list[str] = []

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.say("220 here")
            while line := self.rfile.readline().decode().strip():
                if line.upper() == "DATA":
                    self.say("354 go on")
                    taken.append("".join(iter(lambda: self.rfile.readline().decode(), ".\r\n")))
                self.say("550 no such user" if "nobody@" in line else "250 fine")

        def say(self, line: str) -> None:
            self.wfile.write(f"{line}\r\n".encode())

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        connection = {
            "conn_type": "smtp",
            "host": "127.0.0.1",
            "port": server.server_address[1],
            "extra": {"from_email": "exports@shop.example", "disable_ssl": True, "disable_tls": True, "retry_limit": 0},
        }
        monkeypatch.setenv("AIRFLOW_CONN_SMTP_DEFAULT", json.dumps(connection))
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield taken
        server.shutdown()
        thread.join()


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    with receiving() as receiver:
        monkeypatch.setenv("AIRFLOW_CONN_HOOK", receiver.url.replace("//", "//jane:pa55@") + "/in/box")
        yield receiver


def channel(name: str, **settings: str) -> Any:
    from project_export.airflow.notify import channels

    return channels(Settings(**settings))[name]


def test_nothing_is_configured_by_default() -> None:
    from project_export.airflow.notify import channels

    assert channels(Settings()) == {}


def test_a_mail_holds_the_text_as_it_is(mails: list[str], notice: Any) -> None:
    channel("email", notify_email="jane@shop.example, joe@shop.example")(notice)
    mail = message_from_string(mails[0])
    assert mail["Subject"] == "Project export error"
    assert mail["From"] == "exports@shop.example"
    assert {address.strip() for address in mail["To"].split(",")} == {"jane@shop.example", "joe@shop.example"}
    (part,) = mail.get_payload()
    body = part.get_payload(decode=True).decode()
    assert body.strip() == (
        "<pre>Project 42 couldn&#x27;t be exported:\n  notes: {{ 7 * 7 }} &lt;script&gt;&amp;\nRun dag/run</pre>"
    )


@pytest.mark.parametrize(
    "extra", [{"port": 9}, {"extra": {"disable_ssl": True, "disable_tls": True}}], ids=["no server", "no sender"]
)
def test_a_mail_that_cannot_be_sent_is_undelivered(
    mails: list[str], notice: Any, monkeypatch: pytest.MonkeyPatch, extra: dict[str, Any]
) -> None:
    connection = json.loads(os.environ["AIRFLOW_CONN_SMTP_DEFAULT"]) | extra
    monkeypatch.setenv("AIRFLOW_CONN_SMTP_DEFAULT", json.dumps(connection))
    with pytest.raises(DeliveryFailed, match=r"no mail was sent by connection 'smtp_default': .*from_email"):
        channel("email", notify_email="jane@shop.example")(notice)
    assert mails == []


def test_a_refused_recipient_is_undelivered(mails: list[str], notice: Any) -> None:
    with pytest.raises(DeliveryFailed, match="no such user"):
        channel("email", notify_email="nobody@shop.example")(notice)


def test_a_webhook_gets_text_and_facts_as_json(receiver: Receiver, notice: Any) -> None:
    channel("webhook", notify_webhook="hook")(notice)
    (request,) = receiver.received
    assert (request.method, request.target) == ("POST", "/in/box")
    assert request.headers["content-type"] == "application/json"
    assert request.headers["authorization"] == "Basic amFuZTpwYTU1"
    assert json.loads(request.body) == {
        "text": f"Project export error\n{TEXT}",
        "subject": "Project export error",
        "outcome": "failed",
        "job_id": 7,
        "errors": ["notes: no"],
    }


def test_headers_of_a_webhook_are_in_the_connections_extra(
    receiver: Receiver, notice: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = {"conn_type": "http", "host": f"{receiver.url}/x", "extra": {"headers": {"X-Token": "abc"}}}
    monkeypatch.setenv("AIRFLOW_CONN_HOOK", json.dumps(connection))
    channel("webhook", notify_webhook="hook")(notice)
    (request,) = receiver.received
    assert (request.target, request.headers["x-token"]) == ("/x", "abc")


def test_a_webhook_that_refuses_is_undelivered(receiver: Receiver, notice: Any) -> None:
    receiver.answers = [(404, "no such box")]
    with pytest.raises(DeliveryRefused, match="404 Not Found: no such box"):
        channel("webhook", notify_webhook="hook")(notice)


@pytest.mark.parametrize("uri", ["", "file:///etc/passwd", "https://"])
def test_a_connection_that_leads_nowhere_is_named(notice: Any, monkeypatch: pytest.MonkeyPatch, uri: str) -> None:
    if uri:
        monkeypatch.setenv("AIRFLOW_CONN_HOOK", uri)
    with pytest.raises(DeliveryFailed, match="connection 'hook' is unusable"):
        channel("webhook", notify_webhook="hook")(notice)


@pytest.mark.parametrize(
    ("parts", "url"),
    [
        ({"host": "https://hooks.example/a/b"}, "https://hooks.example/a/b"),
        ({"host": "hooks.example", "conn_type": "https", "schema": "a/b"}, "https://hooks.example/a/b"),
        ({"host": "hooks.example", "conn_type": "http", "schema": "https"}, "https://hooks.example/"),
        ({"host": "hooks.example", "conn_type": "http", "port": 8080}, "http://hooks.example:8080/"),
        ({"host": "hooks.example", "conn_type": "generic"}, "https://hooks.example/"),
    ],
)
def test_the_url_of_a_connection_is_in_its_host_or_in_its_parts(parts: dict[str, Any], url: str) -> None:
    from project_export.airflow.notify import webhook_url

    assert webhook_url(SimpleNamespace(**{"conn_type": "", "schema": "", "port": None, **parts})) == url


@pytest.mark.parametrize(
    ("name", "alive"),
    [
        ("dag/running", True),
        ("dag/queued", True),
        ("dag/success", False),
        ("dag/failed", False),
        ("shell:host:1", True),
    ],
)
def test_a_run_that_has_ended_is_not_alive(name: str, alive: bool) -> None:
    from project_export.airflow.runs import run_alive

    ti = SimpleNamespace(get_dagrun_state=lambda dag_id, run_id: run_id)
    assert run_alive(ti, name) is alive


def test_a_deleted_run_is_not_alive_but_one_that_cannot_be_asked_for_may_be() -> None:
    from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
    from airflow.sdk.execution_time.comms import ErrorResponse

    from project_export.airflow.runs import run_alive

    def refusing(status: int) -> Any:
        def ask(**_: str) -> None:
            raise AirflowRuntimeError(ErrorResponse(error=ErrorType.API_SERVER_ERROR, detail={"status_code": status}))

        return SimpleNamespace(get_dagrun_state=ask)

    assert run_alive(refusing(404), "dag/deleted") is False
    with pytest.raises(AirflowRuntimeError):
        run_alive(refusing(500), "dag/unknown")
