"""A StatsD server for tests: keeps the names of the metrics that it receives."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Metrics:
    """port: of the loopback address, for UDP. values: the last value of each metric, as it was sent."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port = int(self._socket.getsockname()[1])

    def names(self) -> set[str]:
        """Return the names of this package's metrics, without the prefixes of Airflow and of the package."""
        prefix = "airflow.project_export."
        return {name.removeprefix(prefix) for name in list(self.values) if name.startswith(prefix)}

    def receive(self) -> None:
        """Receive until the socket is closed."""
        while datagram := self._socket.recv(65536):
            for line in datagram.decode().splitlines():
                name, _, value = line.partition(":")
                self.values[name] = value

    def close(self) -> None:
        """End `receive`: an empty datagram does."""
        self._socket.sendto(b"", ("127.0.0.1", self.port))

    @property
    def settings(self) -> dict[str, str]:
        """The settings with which Airflow sends its metrics here."""
        return {
            "AIRFLOW__METRICS__STATSD_ON": "True",
            "AIRFLOW__METRICS__STATSD_HOST": "127.0.0.1",
            "AIRFLOW__METRICS__STATSD_PORT": str(self.port),
        }


@contextmanager
def measured() -> Iterator[Metrics]:
    """Run a server until the block ends."""
    metrics = Metrics()
    thread = threading.Thread(target=metrics.receive)
    thread.start()
    try:
        yield metrics
    finally:
        metrics.close()
        thread.join()
