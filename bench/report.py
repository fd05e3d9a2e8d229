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

from bench import targets
from bench.coders import SEVERAL, USUAL
from bench.discard import OURS, WAYS
from bench.merge import TITLES
from bench.peers import PEERS
from bench.run import Cost

Costs = Mapping[str, Sequence[Cost]]
_MIN_SECONDS = 0.001  # less than a tick of the server's clock is measured as 0


@dataclass(frozen=True)
class Workload:
    """The measurements of one relation in one shape.

    title: what it is. peers: costs of each way. floors: CPU seconds per MB that the bytes cost alone. cold: costs of
    our export with a cold cache, or why they could not be measured.
    """

    title: str
    records: int
    peers: Costs
    floors: Mapping[str, float] = field(default_factory=dict)
    cold: Sequence[Cost] | str = ()


@dataclass(frozen=True)
class Results:
    """All measurements.

    workloads: by the names of bench.targets. sizes: number of issues → costs of our export, smallest first.
    files: costs by relation. coders: microseconds of a position, by how it is read.
    """

    issues: int
    workloads: Mapping[str, Workload]
    merging: Costs
    sizes: Mapping[int, Sequence[Cost]]
    machine: str
    files: Mapping[str, Costs] = field(default_factory=dict)
    coders: Mapping[str, float] = field(default_factory=dict)


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


def ratio(
    costs: Costs, one: str, other: str, of: Callable[[Cost], float], against: Callable[[Cost], float] | None = None
) -> float:
    """Return the median ratio of two peers' costs, computed per round, because a busy minute affects both.

    against: the cost of the other one, if another is compared.
    """
    under = against or of
    return median(of(a) / max(under(b), _MIN_SECONDS) for a, b in zip(costs[one], costs[other], strict=True))


def verdicts(results: Results) -> list[Verdict]:
    """Compare the results with the targets; skip targets that were not measured."""
    measured = {name: workload.peers for name, workload in results.workloads.items()} | {"merge": results.merging}
    found = []
    for target in targets.RATIOS:
        costs = measured.get(target.workload, {})
        if target.one in costs and target.other in costs:
            value = ratio(costs, target.one, target.other, _OF[target.of], _OF[target.against or target.of])
            found.append(Verdict(target.title, value, target.limit, target.at_least))
    ours = [cost for costs in measured.values() for cost in costs.get("ours", ())]
    ours += [cost for costs in results.sizes.values() for cost in costs]
    if ours:
        most = max(map(_memory, ours))
        found.append(Verdict("memory of the process that exports records, MB", most, targets.MEMORY_MB))
    if len(results.sizes) > 1:
        (before, cheaper), (last, dearer) = list(results.sizes.items())[-2:]
        grown = median(map(_cpu, dearer)) / median(map(_cpu, cheaper)) * 10 * before / last
        found.append(Verdict(f"CPU from {before:,} to {last:,} issues, per tenfold", grown, targets.GROWTH))
    if results.files:
        most = max(max(map(_memory, costs[OURS])) for costs in results.files.values())
        found.append(Verdict("memory of the process that exports files, MB", most, targets.FILES_MB))
    for title in (USUAL, SEVERAL):
        if title in results.coders:
            found.append(Verdict(f"a position {title}, microseconds", results.coders[title], targets.POSITION_MICROS))
    return found


def markdown(results: Results) -> str:
    """Return the report."""
    rounds = max(len(costs) for workload in results.workloads.values() for costs in workload.peers.values())
    lines = [
        f"Interleaved rounds: {rounds}. {results.machine}. {datetime.date.today().isoformat()}.",
        "",
        "CPU in seconds, median (min to max); the server's includes all processes of PostgreSQL. Memory in MB: the",
        "client's peak resident memory, and the peak private memory of a backend. All ways to export issues returned",
        "the same records in the same order.",
    ]
    for workload in results.workloads.values():
        lines += ["", f"### {workload.title}", "", *_workload(workload)]
    sampled = [f"`{PEERS[name].title}`" for name in PEERS if (PEERS[name].sample or results.issues) < results.issues]
    if sampled:
        lines += ["", f"Extrapolated from {PEERS['orm'].sample:,} issues, spread evenly: {', '.join(sampled)}."]
    if results.merging:
        size = results.merging["merge-ours"][0].raw_bytes / 1e6
        lines += [
            "",
            f"### Merging {size:,.0f} MB of records, already compressed",
            "",
            *_table(results.merging, TITLES, "merge-cat"),
        ]
    if results.files:
        lines += ["", *files(results.files)]
    if results.coders:
        lines += ["", "A position of a note on a diff takes:", ""]
        lines += [f"- {title}: {micros:.1f} microseconds of CPU" for title, micros in results.coders.items()]
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


def _workload(workload: Workload) -> list[str]:
    """Return the tables of a workload: its peers, how far we are from the limit, and a cold cache."""
    lines = _table(workload.peers, {name: peer.title for name, peer in PEERS.items()}, "copy")
    lines += ["", *_limits(workload)]
    if isinstance(workload.cold, str):
        lines += ["", f"A cold cache was not measured: {workload.cold}."]
    elif workload.cold:
        cold, warm = ([*map(_cpu, costs)] for costs in (workload.cold, workload.peers["ours"]))
        walls = [median(cost.wall for cost in costs) for costs in (workload.cold, workload.peers["ours"])]
        lines += [
            "",
            f"With a cold cache, project_export takes {walls[0]:.1f} s and {median(cold):.1f} s of CPU, instead of"
            f" {walls[1]:.1f} s and {median(warm):.1f} s.",
        ]
    return lines


def _limits(workload: Workload) -> list[str]:
    """Return a table of what nothing can go below: reading the rows, and what the bytes cost alone."""
    ours, copy = workload.peers["ours"], workload.peers["copy"]
    megabytes = ours[0].raw_bytes / 1e6
    rows = [("raw COPY of this project's rows alone", median(map(_client, copy)), median(map(_server, copy)))]
    rows += [(f"{name} of {megabytes:,.0f} MB", cost * megabytes, 0.0) for name, cost in workload.floors.items()]
    limit = sum(row[1] for row in rows), sum(row[2] for row in rows)
    rows += [("the limit, together", *limit)]
    rows += [("project_export", median(map(_client, ours)), median(map(_server, ours)))]
    lines = ["| limits | client CPU | server CPU | total |", "| --- | ---: | ---: | ---: |"]
    lines += [f"| {name} | {client:.2f} | {server:.2f} | {client + server:.2f} |" for name, client, server in rows]
    client, server, whole = (a / max(b, _MIN_SECONDS) for a, b in zip(
        (*rows[-1][1:], sum(rows[-1][1:])), (*limit, sum(limit)), strict=True
    ))  # fmt: skip
    return [*lines, f"| times the limit | {client:.1f} | {server:.1f} | {whole:.1f} |"]


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


_OF: Mapping[targets.Of, Callable[[Cost], float]] = {
    "cpu": _cpu,
    "client": _client,
    "server": _server,
    "wall": lambda cost: cost.wall,
}
