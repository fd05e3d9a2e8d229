"""One HTTP request to a URL of a user: no redirects, no proxy, constant memory, no private addresses.

The name is resolved once, every address is checked, and the connection goes to a checked address, so a name that
resolves to another address a moment later changes nothing. No message contains the parts of a URL that may be secret
(user, password, query); messages show URLs by `shown`.
"""

from __future__ import annotations

import http.client
import ipaddress
import logging
import socket
import ssl
from base64 import b64encode
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from html import escape
from typing import BinaryIO
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit

from project_export.errors import BadRequest, DeliveryFailed, DeliveryRefused

log = logging.getLogger(__name__)

CHUNK = 256 << 10
TOO_MANY_REQUESTS = 429
MOST_INTERIM = 100
MOST_READ = 64 << 10
MOST_SHOWN = 500
LEAST_SECRET = 4
"""Minimum length of a secret to remove from a text; shorter values (`v=1`) are in every text."""

# Networks that is_global calls public in some versions of Python, although they are not: those whose addresses contain
# an IPv4 address that a gateway may reach (6to4, Teredo, NAT64, 6to4 relays), those of protocols (a cloud has its
# metadata at 192.0.0.192), and those for documentation.
_NOT_PUBLIC = tuple(
    ipaddress.ip_network(one)
    for one in (
        "2002::/16",
        "2001::/32",
        "64:ff9b::/96",
        "64:ff9b:1::/48",
        "192.88.99.0/24",
        "192.0.0.0/24",
        "3fff::/20",
    )
)


@dataclass(frozen=True)
class Url:
    """A parsed http or https URL; its repr shows no secrets. name: the host, with the port if the URL has one."""

    scheme: str
    host: str
    port: int
    name: str
    target: str = field(repr=False)
    authorization: str | None = field(repr=False)

    @classmethod
    def parse(cls, url: str) -> Url:
        """Parse a URL. Raises BadRequest, which does not show the URL's secrets."""
        parts, port = _split(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise BadRequest(f"{shown(url)} is not a URL to send to. Give http://... or https://... with a host.")
        if any(not 0x20 < ord(letter) < 0x7F for letter in url):
            raise BadRequest(
                f"{shown(url)} contains blanks, control or non-ASCII characters. Encode them (%20, punycode)."
            )
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        authorization = None
        if parts.username is not None:
            login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            authorization = f"Basic {b64encode(login.encode()).decode()}"
        port_or_default = port or (443 if parts.scheme == "https" else 80)
        return cls(parts.scheme, parts.hostname, port_or_default, _name(parts.hostname, port), target, authorization)

    def addresses(self, *, allow_private: bool) -> list[str]:
        """Resolve the host, check every address, and return them.

        Raises BadRequest if an address is not public (private, loopback, link-local, multicast, ...) and that is not
        allowed, DeliveryFailed if the name cannot be resolved.
        """
        try:
            found = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise DeliveryFailed(f"The host {self.host} cannot be resolved: {error}. Is its name right?") from error
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        for address in addresses:
            if not allow_private and not public(address):
                raise BadRequest(
                    f"{self.host} is at {address}, which is not a public address, so nothing is sent there. "
                    "To allow it, set PROJECT_EXPORT_UPLOAD_ALLOW_PRIVATE=true for the tasks."
                )
        return addresses


def public(address: str) -> bool:
    """Return whether an IP address belongs to the public internet and does not contain another address.

    >>> [public(one) for one in ("93.184.216.34", "127.0.0.1", "169.254.169.254", "::ffff:10.0.0.1", "224.0.0.1")]
    [True, False, False, False, False]
    """
    ip = ipaddress.ip_address(address)
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            return public(str(ip.ipv4_mapped))
        if ip.is_site_local:
            return False
    special = ip.is_multicast or ip.is_reserved or any(ip in network for network in _NOT_PUBLIC)
    return ip.is_global and not special


def shown(url: str) -> str:
    """Return the part of a URL that may be shown: without user, password, query and fragment.

    >>> shown("https://jane:s3cret@files.example:8443/up/project.tar.gz?X-Amz-Signature=abc")
    'https://files.example:8443/up/project.tar.gz'
    """
    try:
        parts, port = _split(url)
    except BadRequest:
        return "the URL"
    return f"{parts.scheme}://{_name(parts.hostname or '', port)}{parts.path}"


def send(
    url: str,
    method: str,
    body: BinaryIO,
    size: int,
    headers: Mapping[str, str],
    *,
    allow_private: bool,
    timeout_seconds: float,
) -> int:
    """Send exactly `size` bytes of `body` and return the status, which is 2xx.

    timeout_seconds: time limit of each step (connecting, each write, the answer), not of the whole.
    Raises BadRequest if the URL is invalid or its address is private; DeliveryFailed if there is no answer, or an
    answer of 5xx or 429; DeliveryRefused for any other answer, including redirects.
    """
    parsed = Url.parse(url)
    connection = _connect(parsed, parsed.addresses(allow_private=allow_private), timeout_seconds)
    with closing(connection):
        try:
            response = _exchange(connection, parsed, method, body, size, headers)
            status, text = response.status, response.read(MOST_READ).decode("utf-8", "replace")
        except (OSError, http.client.HTTPException) as error:
            reason = str(error) or type(error).__name__
            raise DeliveryFailed(f"{parsed.host} closed the connection: {reason}. Is it reachable?") from error
    if 200 <= status < 300:
        return status
    text = _without_secrets(" ".join(text.split()), url)[:MOST_SHOWN]
    answer = f"{method} to {shown(url)} was answered with {status} {response.reason}: {text}"
    if status >= 500 or status == TOO_MANY_REQUESTS:
        raise DeliveryFailed(f"{answer}. It may work later.")
    raise DeliveryRefused(f"{answer}. Correct the URL or the receiver, then try again.")


def _without_secrets(text: str, url: str) -> str:
    """Return an answer without the possible secrets of the URL: an answer may repeat what it was asked."""
    parts, _ = _split(url)
    values = [value for _, value in parse_qsl(parts.query)]
    said = [parts.query, *values, *(unquote(one) for one in (parts.username or "", parts.password or ""))]
    forms = {form for one in said for form in (one, quote(one, safe=""), escape(one)) if len(one) >= LEAST_SECRET}
    for form in sorted(forms, key=len, reverse=True):
        text = text.replace(form, "***")
    return text


class _Final(http.client.HTTPResponse):
    """The final answer to a request. It skips all interim answers (1xx, RFC 9110); http.client skips only 100."""

    def begin(self) -> None:
        """Read status and headers, as HTTPConnection.getresponse expects; skip at most MOST_INTERIM interim answers."""
        super().begin()
        for _ in range(MOST_INTERIM):
            if not 100 <= self.status < 200:
                return
            self.headers = self.msg = None  # type: ignore[assignment] # so it starts from the beginning
            super().begin()


def _split(url: str) -> tuple[SplitResult, int | None]:
    try:
        parts = urlsplit(url)
        return parts, parts.port
    except ValueError:
        raise BadRequest("The URL cannot be read: its host or port is malformed.") from None


def _name(host: str, port: int | None) -> str:
    """Return the value of the Host header. It has a port only if the URL has one: signed URLs depend on that."""
    return (f"[{host}]" if ":" in host else host) + (f":{port}" if port else "")


def _connect(url: Url, addresses: list[str], timeout_seconds: float) -> http.client.HTTPConnection:
    """Connect to the first address that answers. TLS verifies the name, not the address."""
    failed: list[str] = []
    for address in addresses:
        try:
            raw = socket.create_connection((address, url.port), timeout_seconds)
        except OSError as error:
            failed.append(f"{address}: {error}")
            continue
        connection = http.client.HTTPConnection(url.host, url.port, timeout=timeout_seconds)
        connection.sock = raw
        if url.scheme == "https":
            try:
                connection.sock = ssl.create_default_context().wrap_socket(raw, server_hostname=url.host)
            except OSError as error:
                raw.close()
                failed.append(f"{address}: {error}")
                continue
        return connection
    raise DeliveryFailed(f"No connection to {url.host}, port {url.port} ({'; '.join(failed)}). Is it reachable?")


def _exchange(
    connection: http.client.HTTPConnection,
    url: Url,
    method: str,
    body: BinaryIO,
    size: int,
    headers: Mapping[str, str],
) -> http.client.HTTPResponse:
    connection.response_class = _Final
    connection.putrequest(method, url.target, skip_host=True, skip_accept_encoding=True)
    connection.putheader("Host", url.name)
    for name, value in headers.items():
        connection.putheader(name, value)
    if url.authorization and "Authorization" not in headers:
        connection.putheader("Authorization", url.authorization)
    connection.putheader("Content-Length", str(size))
    connection.putheader("Connection", "close")
    connection.endheaders()
    try:
        left = size
        while left and (chunk := body.read(min(CHUNK, left))):
            connection.send(chunk)
            left -= len(chunk)
        if left:
            raise DeliveryFailed(f"The file ends {left} of {size} bytes too early; it was changed during the upload.")
    except (BrokenPipeError, ConnectionResetError) as error:
        log.info("%s stopped reading (%s); its answer says why", url.host, error)
    return connection.getresponse()
