"""Merging: our merge of parts into one tar.gz, `cat` of the same parts, and tar with gzip or pigz of the same files."""

from __future__ import annotations

import logging
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from bench.peers import PEERS
from bench.proc import client_cpu
from bench.run import Cost
from project_export.archive.part import PartWriter
from project_export.archive.pieces import Member, StoredPart, archive_pieces
from project_export.store import LocalStore, assemble

log = logging.getLogger(__name__)

PART_BYTES = 64 << 20
COMMANDS = {
    "merge-cat": ("cat of the parts", "cat", "cat parts/* > out"),
    "merge-gzip": ("tar and gzip -6", "gzip", "tar -c -C tree . | gzip -6 > out"),
    "merge-pigz": ("tar and pigz -1", "pigz", "tar -c -C tree . | pigz -1 > out"),
}
TITLES = {
    "merge-ours": "project_export's merge, CRC-32 checked, SHA-256 of the archive",
    **{name: title for name, (title, _, _) in COMMANDS.items()},
}


class Merging:
    """`size` bytes of the sample's records, as parts and as plain files, in a separate folder."""

    def __init__(self, folder: Path, uri: str, size: int) -> None:
        self._folder = folder
        self._parts: list[StoredPart] = []
        self._store = LocalStore(folder)
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "parts").mkdir(parents=True)
        (folder / "tree").mkdir()
        self._fill(uri, size)

    def interleaved(self, rounds: int) -> dict[str, list[Cost]]:
        """Merge in each way in turn, for that many rounds; skip a way whose program is missing."""
        ways: dict[str, Callable[[], None]] = {"merge-ours": self._ours}
        for name, (title, program, command) in COMMANDS.items():
            if shutil.which(program):
                ways[name] = lambda command=command: self._shell(command)  # type: ignore[misc]
            else:
                log.warning("%s is skipped: the program %s is missing", title, program)
        costs: dict[str, list[Cost]] = {name: [] for name in ways}
        for _ in range(rounds):
            for name, way in ways.items():
                costs[name].append(self._measured(way))
                log.info("%-10s %.2f s", name, costs[name][-1].client)
        return costs

    def remove(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self._folder)

    def _fill(self, uri: str, size: int) -> None:
        read = PEERS["ours"].load()
        written = 0
        with (self._folder / "tree" / "issues.ndjson").open("wb") as raw:
            while written < size:
                part: list[bytes] = []
                for chunk in read(uri, 1):
                    part.append(chunk)
                    written += len(chunk)
                    raw.write(chunk)
                    if sum(map(len, part)) >= PART_BYTES or written >= size:
                        self._part(part)
                        part = []
                    if written >= size:
                        return
                self._part(part)

    def _part(self, chunks: Sequence[bytes]) -> None:
        path = self._folder / "parts" / f"{len(self._parts):05}"
        with path.open("wb") as out:
            writer = PartWriter(out, level=1)
            for chunk in chunks:
                writer.write(chunk, chunk.count(b"\n"))
            facts = writer.finish()
        self._parts.append(StoredPart("issues", len(self._parts), facts, path.as_uri()))

    def _ours(self) -> None:
        with (self._folder / "out").open("wb") as out:
            pieces = archive_pieces([Member("issues.ndjson", tuple(self._parts))], mtime=0)
            assemble(pieces, self._store.open, out)

    def _shell(self, command: str) -> None:
        subprocess.run(["/bin/sh", "-c", command], cwd=self._folder, check=True)

    def _measured(self, way: Callable[[], None]) -> Cost:
        out = self._folder / "out"
        out.unlink(missing_ok=True)
        client, wall = client_cpu(), time.perf_counter()
        way()
        client, wall = client_cpu() - client, time.perf_counter() - wall
        raw = (self._folder / "tree" / "issues.ndjson").stat().st_size
        return Cost(client, 0.0, wall, 0.0, 0.0, raw, out.stat().st_size)
