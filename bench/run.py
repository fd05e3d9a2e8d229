"""Run each peer in a separate process, and record its cost."""

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
    """A peer returned other records than the reference, so their costs cannot be compared."""


@dataclass(frozen=True)
class Cost:
    """The cost of one run: CPU and wall seconds, peak memory in MB, bytes of output before and after compression."""

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
        """Return the cost of `factor` times the work, in the same memory."""
        return Cost(
            self.client * factor, self.server * factor, self.wall * factor, self.client_mb, self.server_mb,
            round(self.raw_bytes * factor), round(self.stored_bytes * factor),
        )  # fmt: skip


def agree(uri: str, names: Sequence[str], issues: int) -> int:
    """Check that all peers return the same records, and return how many; raise PeersDiffer if one returns others.

    A peer that is measured on a sample is compared on that sample.
    """
    steps = sorted({_every(name, issues) for name in names})
    reference = _call(REFERENCE, uri, "--check", *map(str, steps))
    for name in names:
        if name == REFERENCE or not PEERS[name].records:
            continue
        every = str(_every(name, issues))
        log.info("comparing the records of %s", name)
        if _call(name, uri, "--every", every, "--check", "1")["1"] != reference[every]:
            raise PeersDiffer(f"{name} does not return the records of {REFERENCE}; nothing was measured. Fix the peer.")
    return int(reference["records"])


def measure(uri: str, name: str, issues: int, relation: str = "issues") -> Cost:
    """Run a peer once and return its cost; that of a sample is scaled to all issues. relation: the one it reads."""
    with psycopg.connect(uri) as conn:
        postmaster = proc.parent(conn.info.backend_pid)
    every = _every(name, issues)
    with proc.BackendWatch(postmaster) as watch:
        answer = _call(name, uri, "--every", str(every), "--relation", relation)
    cost = Cost(**answer, server_mb=watch.peak_mb)
    log.info("%-10s client %.2f s, server %.2f s, %.0f MB", name, cost.client, cost.server, cost.client_mb)
    return cost.times(issues / len(range(0, issues, every)))


def interleaved(
    uri: str, names: Sequence[str], issues: int, rounds: int, relation: str = "issues"
) -> dict[str, list[Cost]]:
    """Run the peers in turn, for that many rounds."""
    costs: dict[str, list[Cost]] = {name: [] for name in names}
    for number in range(rounds):
        log.info("round %d of %d", number + 1, rounds)
        for name in names:
            costs[name].append(measure(uri, name, issues, relation))
    return costs


def floors(uri: str, relation: str) -> dict[str, float]:
    """Return CPU seconds per MB of a relation that its bytes cost alone, by what is done with them."""
    return _figures("bench.floors", uri, relation)


def coders() -> dict[str, float]:
    """Return what `coders.measure` returns in a process of its own, as everything else is measured."""
    return _figures("bench.coders", "--json")


def _figures(module: str, *arguments: str) -> dict[str, float]:
    done = subprocess.run([sys.executable, "-m", module, *arguments], stdout=subprocess.PIPE, check=True, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def _every(name: str, issues: int) -> int:
    """Return the step N such that reading every Nth issue gives the peer its sample; 1 to read all."""
    return max(issues // (PEERS[name].sample or issues), 1)


def _call(name: str, uri: str, *arguments: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "bench.peers", name, uri, *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer
