"""Read a project's repository or uploads in one way, ours or another, and print the cost as one line of JSON.

python -m bench.discard RELATION WAY URI FOLDER
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import psycopg

from bench import PROJECT_ID, proc
from bench.folder import Folder
from project_export.archive.part import PartFacts, PartWriter
from project_export.external import Locations
from project_export.producers import Project, kind_of
from project_export.settings import Settings
from project_export.source import Allowed, Limits, Session, Tables
from project_export.tree import bind, load, tables

OURS = "ours"


@dataclass(frozen=True)
class Way:
    """One way to read a repository or uploads. command: of a shell, whose programs do all the work; empty: ours.

    programs: the names of those whose memory counts, apart from our process.
    """

    title: str
    command: str
    programs: Sequence[str]


_BUNDLE = 'git --git-dir="$REPOSITORY" {} bundle create -q - --all >/dev/null'
# GNU tar does not read any file if its output is /dev/null, but /dev/zero is written as any other device.
WAYS: Mapping[str, Mapping[str, Way]] = {
    "repository": {
        "bundle": Way("`git bundle create - --all`", _BUNDLE.format(""), ["git"]),
        "walk": Way("the same without bitmaps", _BUNDLE.format("-c pack.useBitmaps=false"), ["git"]),
        OURS: Way("project_export", "", ["git"]),
        "tar": Way("tar and gzip -6", 'tar -cC "$REPOSITORY" . | gzip -6 >/dev/null', ["tar", "gzip"]),
    },
    "uploads": {
        "tar": Way("`tar -cf`", 'tar -cf /dev/zero -C "$UPLOADS" .', ["tar"]),
        OURS: Way("project_export", "", []),
    },
}
"""By the relation; the first way is what the others are compared with."""


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("relation", choices=WAYS)
    parser.add_argument("way")
    parser.add_argument("uri")
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    folder = Folder(arguments.uri, arguments.folder)
    own, tools, wall = proc.own_cpu(), proc.children_cpu(), time.perf_counter()
    if arguments.way == OURS:
        facts = export(folder, arguments.relation)
        size = {"client_mb": proc.peak_mb(), "raw_bytes": facts.raw_bytes, "stored_bytes": facts.stored_bytes}
    else:
        run(folder, WAYS[arguments.relation][arguments.way].command)
        size = {"client_mb": 0, "raw_bytes": 0, "stored_bytes": 0}
    own, tools, wall = proc.own_cpu() - own, proc.children_cpu() - tools, time.perf_counter() - wall
    print(json.dumps({"client": own, "server": tools, "wall": wall, **size}))


def export(folder: Folder, relation: str) -> PartFacts:
    """Export a relation as a worker does, with default settings, and discard its part."""
    tree = load("gitlab")
    locations = ",".join(f"{name}={folder.path / name}" for name in ("repositories", "uploads"))
    with (
        Session(lambda: psycopg.connect(folder.uri), "bench", Limits()) as session,
        Path(os.devnull).open("wb") as out,
    ):
        bound = bind(tree, session.catalogue(tables(tree)))
        project = Project(
            session,
            bound,
            Tables(session, bound, Allowed()),
            PROJECT_ID,
            locations=Locations.of(locations, tree.locations),
        )
        producer = kind_of(tree.relation(relation)).producer(project, relation, 0, 1)
        writer = PartWriter(out, Settings().compress_level)
        with closing(producer.chunks()) as chunks:
            for chunk in chunks:
                writer.write(chunk.data, chunk.records, packed=chunk.packed)
        return writer.finish()


def run(folder: Folder, command: str) -> None:
    """Run a command of a shell, with the folders of repository and uploads as $REPOSITORY and $UPLOADS."""
    places = {"REPOSITORY": str(folder.repository), "UPLOADS": str(folder.uploads)}
    subprocess.run(["/bin/sh", "-c", command], env={**os.environ, **places}, check=True)


if __name__ == "__main__":
    main()
