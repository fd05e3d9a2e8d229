"""The report: medians, ratios compared with the targets, tables, and a plot of cost by project size."""

from __future__ import annotations

import datetime
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import psycopg

from bench.discard import OURS, WAYS
from bench.merge import TITLES
from bench.peers import PEERS
from bench.run import Cost

Costs = Mapping[str, Sequence[Cost]]
_MIN_SECONDS = 0.001  # less than a tick of the server's clock is measured as 0


@dataclass(frozen=True)
class Results:
    """All measurements. sizes: number of issues → costs of our export, smallest first. files: costs by relation."""

    issues: int
    records: int
    peers: Costs
    merging: Costs
    sizes: Mapping[int, Sequence[Cost]]
    machine: str
    files: Mapping[str, Costs] = field(default_factory=dict)


@dataclass(frozen=True)
class Verdict:
    """A target, the measured ratio or figure, and its limit: an upper one, or a lower one if `at_least`."""

    target: str
    measured: float
    limit: float
    at_least: bool = False

    @property
    def met(self) -> bool:
        """Whether the target is met."""
        return self.measured >= self.limit if self.at_least else self.measured <= self.limit


def ratio(costs: Costs, one: str, other: str, of: Callable[[Cost], float]) -> float:
    """Return the median ratio of two peers' costs, computed per round, because a busy minute affects both."""
    return median(of(a) / max(of(b), _MIN_SECONDS) for a, b in zip(costs[one], costs[other], strict=True))


def verdicts(results: Results) -> list[Verdict]:
    """Compare the results with the targets; skip targets that were not measured."""
    peers, merging = results.peers, results.merging
    found = [
        Verdict("CPU against binary COPY", ratio(peers, "ours", "copy", _cpu), 5),
        Verdict("CPU on the server against binary COPY", ratio(peers, "ours", "copy", _server), 3.5),
        Verdict("CPU of the ORM against ours", ratio(peers, "orm", "ours", _cpu), 8, at_least=True),
        Verdict("CPU of psycopg and orjson against ours", ratio(peers, "rows", "ours", _cpu), 1.2, at_least=True),
        Verdict("CPU in 8 parts against one", ratio(peers, "ours-split", "ours", _cpu), 1.1),
    ]
    if merging:
        found.append(Verdict("CPU of the merge against cat", ratio(merging, "merge-ours", "merge-cat", _client), 3))
        by_gzip = ratio(merging, "merge-gzip", "merge-ours", _client)
        found.append(Verdict("CPU of tar and gzip -6 against the merge", by_gzip, 100, at_least=True))
    sizes = {size: [median(map(_cpu, costs)), max(map(_memory, costs))] for size, costs in results.sizes.items()}
    if len(sizes) > 1:
        (_, (_, least_mb)), *_, (before, (cheaper, _)), (last, (cost, most_mb)) = [
            next(iter(sizes.items())),
            *sizes.items(),
        ]
        found.append(Verdict("memory of the exporting process, MB", max(mb for _, mb in sizes.values()), 120))
        found.append(Verdict("memory of the largest project against the smallest", most_mb / least_mb, 1.1))
        found.append(
            Verdict(f"CPU from {before:,} to {last:,} issues, per tenfold", cost / cheaper * 10 * before / last, 10.5)
        )
    if results.files:
        most_mb = max(max(map(_memory, costs[OURS])) for costs in results.files.values())
        found.append(Verdict("memory of the process that exports files, MB", most_mb, 200))
    return found


def markdown(results: Results) -> str:
    """Return the report."""
    lines = [
        f"{results.issues:,} issues, {results.records:,} lines; interleaved rounds: {len(results.peers['ours'])}."
        f" {results.machine}. {datetime.date.today().isoformat()}.",
        "",
        "CPU in seconds, median (min to max); the server's includes all processes of PostgreSQL. Memory in MB: the",
        "client's peak resident memory, and the peak private memory of a backend. All peers returned the same records",
        "in the same order.",
        "",
        *_table(results.peers, {name: peer.title for name, peer in PEERS.items()}, "copy"),
    ]
    sampled = [
        f"`{PEERS[name].title}`" for name in results.peers if (PEERS[name].sample or results.issues) < results.issues
    ]
    if sampled:
        lines += ["", f"Extrapolated from {PEERS['orm'].sample:,} issues, spread evenly: {', '.join(sampled)}."]
    if results.merging:
        size = results.merging["merge-ours"][0].raw_bytes / 1e6
        lines += [
            "",
            f"Merging {size:,.0f} MB of records, already compressed:",
            "",
            *_table(results.merging, TITLES, "merge-cat"),
        ]
    if results.files:
        lines += ["", *files(results.files)]
    lines += [
        "",
        "By project size:",
        "",
        "| issues | client CPU | server CPU | wall | client MB | server MB |",
        "| ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for size, costs in results.sizes.items():
        cells = [_spread(costs, of) for of in (_client, _server, lambda c: c.wall)]
        cells += [f"{max(c.client_mb for c in costs):.0f}", f"{max(c.server_mb for c in costs):.0f}"]
        lines.append(f"| {size:,} | {' | '.join(cells)} |")
    lines += ["", "| target | limit | measured | met |", "| --- | ---: | ---: | --- |"]
    for verdict in verdicts(results):
        limit = f"{'≥' if verdict.at_least else '≤'} {verdict.limit:g}"
        lines.append(f"| {verdict.target} | {limit} | {verdict.measured:.2f} | {'yes' if verdict.met else '**no**'} |")
    return "\n".join(lines) + "\n"


def files(found: Mapping[str, Costs]) -> list[str]:
    """Return a table for each relation of files."""
    lines = ["Files, read and discarded; the tools are git, tar and gzip, apart from the process that calls them:"]
    for relation, costs in found.items():
        titles = {name: way.title for name, way in WAYS[relation].items()}
        lines += ["", *_table(costs, titles, next(iter(titles)), relation, ("own", "tools'"))]
    return lines


def draw(results: Results, file: Path) -> None:
    """Plot CPU and memory by project size as a PNG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    sizes = list(results.sizes)
    figure, (cpu, memory) = pyplot.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for label, of in (("exporting process", _client), ("PostgreSQL", _server), ("both", _cpu)):
        cpu.plot(sizes, [median(map(of, costs)) for costs in results.sizes.values()], marker="o", label=label)
    cpu.plot(
        sizes, [median(map(_cpu, results.sizes[sizes[-1]])) * size / sizes[-1] for size in sizes], "k:", label="linear"
    )
    cpu.set(xscale="log", yscale="log", xlabel="issues", ylabel="CPU seconds", title="CPU")
    memory.plot(sizes, [max(map(_memory, costs)) for costs in results.sizes.values()], marker="o")
    memory.set(xscale="log", ylim=(0, 130), xlabel="issues", ylabel="MB", title="memory of the exporting process")
    memory.axhline(120, color="grey", linestyle=":")
    cpu.legend()
    figure.savefig(file, dpi=120)
    pyplot.close(figure)


def machine(uri: str) -> str:
    """Return a description of the machine and the versions."""
    with psycopg.connect(uri) as conn:
        version = conn.info.parameter_status("server_version")
    cpuinfo = Path("/proc/cpuinfo").read_text().splitlines()
    model = next(
        (line.partition(":")[2].strip() for line in cpuinfo if line.startswith("model name")), platform.machine()
    )
    return f"{model}, {os.cpu_count()} cores; Python {platform.python_version()}, PostgreSQL {version}"


def _table(
    costs: Costs, titles: Mapping[str, str], base: str, head: str = "way", sides: tuple[str, str] = ("client", "server")
) -> list[str]:
    """Return a table of costs. base: the way that all are compared with. sides: who has `client` and `server`."""
    one, other = sides
    lines = [
        f"| {head} | {one} CPU | {other} CPU | total | ratio | wall | {one} MB | {other} MB | MB | gzip MB |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, runs in costs.items():
        first = runs[0]
        cells = [titles[name], *(_spread(runs, of) for of in (_client, _server, _cpu))]
        cells += [f"{ratio(costs, name, base, _cpu):.1f}", f"{median(run.wall for run in runs):.1f}"]
        cells += [f"{max(run.client_mb for run in runs):.0f}", f"{max(run.server_mb for run in runs):.0f}"]
        cells += [f"{size / 1e6:.0f}" if size else "" for size in (first.raw_bytes, first.stored_bytes)]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _spread(costs: Sequence[Cost], of: Callable[[Cost], float]) -> str:
    values = [of(cost) for cost in costs]
    digits = 1 if median(values) >= 10 else 2
    shown = (f"{value:.{digits}f}" for value in (median(values), min(values), max(values)))
    return "{} ({} to {})".format(*shown)


def _cpu(cost: Cost) -> float:
    return cost.cpu


def _client(cost: Cost) -> float:
    return cost.client


def _server(cost: Cost) -> float:
    return cost.server


def _memory(cost: Cost) -> float:
    return cost.client_mb
