"""Airflow's notifiers as channels of a notice.

Their `notify` is called directly. Called as callbacks, they would render the text as a template, and the text can
contain messages of a database.
"""

from __future__ import annotations

import io
import json
import smtplib
from base64 import b64encode
from collections.abc import Mapping
from html import escape
from typing import Any

from airflow.sdk import BaseHook, BaseNotifier
from airflow.sdk.exceptions import AirflowException, AirflowRuntimeError

from project_export.errors import BadRequest, DeliveryFailed
from project_export.send import send
from project_export.settings import Settings
from project_export.steps import Channel, Notice

_TIMEOUT_SECONDS = 30
_UNDELIVERED = (smtplib.SMTPException, OSError, ValueError, AirflowException, AirflowRuntimeError)


class WebhookNotifier(BaseNotifier):
    """Posts a JSON object to a webhook.

    conn_id: a connection whose host is the URL, or that has host, port and path as separate fields. Login and password
    are sent as basic authentication, the object `headers` in its extra as headers. The address may be private.
    """

    def __init__(self, *, conn_id: str, message: Mapping[str, Any]) -> None:
        super().__init__()
        self.conn_id = conn_id
        self.message = message

    def notify(self, context: Any) -> None:
        """Post the message. Raises DeliveryFailed, DeliveryRefused, BadRequest, AirflowNotFoundException."""
        connection = BaseHook.get_connection(self.conn_id)
        body = json.dumps(self.message).encode()
        headers = {"Content-Type": "application/json", **connection.extra_dejson.get("headers", {})}
        if connection.login:
            login = f"{connection.login}:{connection.password or ''}"
            headers["Authorization"] = f"Basic {b64encode(login.encode()).decode()}"
        url = webhook_url(connection)
        send(url, "POST", io.BytesIO(body), len(body), headers, allow_private=True, timeout_seconds=_TIMEOUT_SECONDS)


def channels(settings: Settings) -> dict[str, Channel]:
    """Return the channels that the settings name. None of them connects before it has a notice to deliver."""
    found: dict[str, Channel] = {}
    if settings.notify_email:
        found["email"] = lambda notice: _mail(settings.notify_email, notice)
    if settings.notify_webhook:
        found["webhook"] = lambda notice: _post(settings.notify_webhook, notice)
    return found


def webhook_url(connection: Any) -> str:
    """Return the URL of a connection: its host if that is a URL, else put together from its fields."""
    host = connection.host or ""
    if "://" in host:
        return str(host)
    schemes = ("http", "https")
    scheme = next((word for word in (connection.schema, connection.conn_type) if word in schemes), "https")
    path = "" if connection.schema in schemes else connection.schema or ""
    return f"{scheme}://{host}{f':{connection.port}' if connection.port else ''}/{path}"


def _mail(to: str, notice: Notice) -> None:
    from airflow.providers.smtp.notifications.smtp import SmtpNotifier

    notifier = SmtpNotifier(to=to, subject=notice.subject, html_content=f"<pre>{escape(notice.text)}</pre>")
    try:
        notifier.notify({})
    except _UNDELIVERED as error:
        message = f"no mail was sent by connection {notifier.smtp_conn_id!r}: {error or type(error).__name__}"
        raise DeliveryFailed(f"{message}. The connection needs a host, and from_email in its extra.") from error


def _post(conn_id: str, notice: Notice) -> None:
    message = {"text": f"{notice.subject}\n{notice.text}", "subject": notice.subject, **notice.facts}
    try:
        WebhookNotifier(conn_id=conn_id, message=message).notify({})
    except (BadRequest, *_UNDELIVERED) as error:
        raise DeliveryFailed(f"connection {conn_id!r} is unusable: {error}") from error
