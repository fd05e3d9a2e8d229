"""Run peers, each in a process of its own, and keep what they cost."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from bench import proc
from bench.peers import PEERS

log = logging.getLogger(__name__)

REFERENCE = "ours"


class PeersDiffer(RuntimeError):
    """A peer gives other records than the reference, so there is nothing to compare."""


@dataclass(frozen=True)
class Cost:
    """What one run cost: CPU and wall seconds, the most memory in MB, bytes that came out before and after gzip."""

    client: float
    server: float
    wall: float
    client_mb: float
    server_mb: float
    raw_bytes: int
    stored_bytes: int

    @property
    def cpu(self) -> float:
        """CPU seconds of client and server."""
        return self.client + self.server

    def times(self, factor: float) -> Cost:
        """Return the cost of so many times the work, in the same memory."""
        return Cost(
            self.client * factor, self.server * factor, self.wall * factor, self.client_mb, self.server_mb,
            round(self.raw_bytes * factor), round(self.stored_bytes * factor),
        )  # fmt: skip


def agree(uri: str, names: Sequence[str], issues: int) -> int:
    """Let all peers give their records, and return how many; raise PeersDiffer where one gives others.

    A peer that is measured by a sample is compared by that sample.
    """
    steps = sorted({_every(name, issues) for name in names})
    reference = _call(REFERENCE, uri, "--check", *map(str, steps))
    for name in names:
        if name == REFERENCE or not PEERS[name].records:
            continue
        every = str(_every(name, issues))
        log.info("does %s give the same records?", name)
        if _call(name, uri, "--every", every, "--check", "1")["1"] != reference[every]:
            raise PeersDiffer(f"{name} does not give the records of {REFERENCE}; nothing was measured. Mend the peer.")
    return int(reference["records"])


def measure(uri: str, name: str, issues: int) -> Cost:
    """Run a peer once; what a sample cost is scaled to all issues."""
    with psycopg.connect(uri) as conn:
        postmaster = proc.parent(conn.info.backend_pid)
    every = _every(name, issues)
    with proc.BackendWatch(postmaster) as watch:
        said = _call(name, uri, "--every", str(every))
    cost = Cost(**said, server_mb=watch.peak_mb)
    log.info("%-10s client %.2f s, server %.2f s, %.0f MB", name, cost.client, cost.server, cost.client_mb)
    return cost.times(issues / len(range(0, issues, every)))


def interleaved(uri: str, names: Sequence[str], issues: int, rounds: int) -> dict[str, list[Cost]]:
    """Run the peers one after the other, and that so many times."""
    costs: dict[str, list[Cost]] = {name: [] for name in names}
    for number in range(rounds):
        log.info("round %d of %d", number + 1, rounds)
        for name in names:
            costs[name].append(measure(uri, name, issues))
    return costs


def _every(name: str, issues: int) -> int:
    """Return of how many issues a peer reads one: it is enough that it reads its sample."""
    return max(issues // (PEERS[name].sample or issues), 1)


def _call(name: str, uri: str, *arguments: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "bench.peers", name, uri, *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    said: dict[str, Any] = json.loads(done.stdout)
    return said
