"""Update what is derived from the tree and from the second reader's data, and print what is left to a person.

    python -m tests.update [--structure FILE]

Run it after a change to include/project_export/trees/gitlab.yaml or tests/reader/relations.yaml. It writes the facts
about tables that are new in the tree, the evidence of its keys, what the importer accepts, the golden files and
docs/relations.md. It exits with 1 if the engine and the second reader disagree, or if a key has no value in the sample.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg

from dev.postgres import Server
from project_export import trees
from project_export.archive.importer import SHIPPED
from project_export.sample import schema
from project_export.sample.generate import COMPLETE, generate
from project_export.source import Limits, Reader, Session
from project_export.source.coverage import coverage
from project_export.tree import bind, load, load_all, tables
from project_export.tree.describe import document
from tests import specimen
from tests.archives import exported
from tests.reader import read_project
from tests.runs import FROM_GIT
from tests.update import evidence, importer, structure

REPO = Path(__file__).parents[2]
TREES = Path(trees.__file__).parent
GOLDEN = REPO / "tests" / "golden"
EXPORTS = REPO / "tests" / "facts" / "tools" / "keys_by_relation.json"
RELATIONS = REPO / "docs" / "relations.md"
RECORDING = REPO / "docs" / "images" / "export.svg"
IMPORTER = SHIPPED / "gitlab.yaml"


def main() -> int:
    """Write the derived files, print what is left to do, and return the exit code."""
    options = argparse.ArgumentParser(prog="python -m tests.update", description=(__doc__ or "").partition("\n\n")[0])
    options.add_argument("--structure", type=Path, help="GitLab's db/structure.sql, or its statements for new tables")
    given = options.parse_args()
    add_tables(given.structure.read_text(encoding="utf-8") if given.structure else "")
    tree = load_all("gitlab")
    evidence.write(tree, evidence.real(EXPORTS.read_text(encoding="utf-8")))
    accepted = importer.update(IMPORTER)
    RELATIONS.write_text(document(tree), encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder), durable=False)
        server.start()
        try:
            problems = [*write_golden(server), *check_sample(server)]
        finally:
            server.stop()
    for name in accepted:
        print(f"importers/gitlab.yaml accepts {name} as it is exported: add what the importer's model rejects")
    for name in not_recorded():
        print(f"docs/images/export.svg does not show {name}: `make recording` draws it")
    for problem in problems:
        print(f"WRONG: {problem}")
    print("The derived files are current. Read the changes: git diff")
    return 1 if problems else 0


def not_recorded() -> list[str]:
    """Return the relations that the recording in the README does not show."""
    shown = RECORDING.read_text(encoding="utf-8").replace("&#160;", "")
    return [relation.name for relation in load("gitlab").relations if f">{relation.name}<" not in shown]


def add_tables(sql: str) -> None:
    """Add tables that the tree names and the facts lack, from GitLab's statements."""
    text = (TREES / "gitlab.yaml").read_text(encoding="utf-8")
    free, paid = structure.named(text)
    files = {name: TREES / f"gitlab-{name}.tsv" for name in ("columns", "paid", "layouts", "keys")}
    known = {
        line.partition("\t")[0]
        for name in ("columns", "paid", "layouts")
        for line in files[name].read_text(encoding="utf-8").splitlines()
    }
    for table in sorted((free | paid) - known):
        columns = structure.columns(sql, table)
        if not columns:
            sys.exit(f"The tree names the table {table}, which is new: give its CREATE TABLE by --structure FILE")
        if table in free:
            structure.add(files["columns"], columns, structure.by_table)
            structure.add(files["keys"], list(structure.keys(sql, table, known | {table})), structure.by_kind)
        else:
            structure.add(files["paid"], [column[:3] for column in columns], structure.by_table)


def write_golden(server: Server) -> Iterator[str]:
    """Write the export of the specimen into the golden files; yield where the second reader disagrees."""
    uri = server.create_database("specimen")
    with psycopg.connect(uri) as conn:
        schema.create(conn)
    specimen.write(uri, load("gitlab"))
    _, found = specimen.export(uri)
    for old in GOLDEN.glob("*.ndjson"):
        old.unlink()
    for name, lines in found.items():
        (GOLDEN / f"{name}.ndjson").write_bytes(lines)
    records = {
        name: [json.loads(line) for line in lines.splitlines() if line != b"null"] for name, lines in found.items()
    }
    with psycopg.connect(uri) as conn:
        yield from differences(records, read_project(conn, specimen.PROJECT), "specimen")


def check_sample(server: Server) -> Iterator[str]:
    """Yield where the engine and the second reader disagree on the sample, and which keys have no value in it."""
    uri = server.create_database("sample")
    with psycopg.connect(uri) as conn:
        schema.create(conn)
        generate(conn, *COMPLETE)
    with psycopg.connect(uri) as conn:
        expected = read_project(conn, 1)
    yield from differences({name: [] for name in expected} | exported(uri, 1), expected, "sample")
    tree = load("gitlab")
    with Session(lambda: psycopg.connect(uri), "update", Limits()) as session:
        bound = bind(tree, session.catalogue(tables(tree)))
        for key in coverage(Reader(session, bound, 1), bound):
            if key.unseen:
                yield f"{key.path}.{key.key} has no value in the sample: give it one in include/project_export/sample/"


def differences(found: Any, expected: Any, path: str) -> Iterator[str]:
    """Yield where the engine's values, or the order of its keys, differ from the second reader's."""
    if isinstance(found, dict) and isinstance(expected, dict):
        its = {key: value for key, value in found.items() if key not in FROM_GIT}
        if list(its) != list(expected):
            yield f"{path} has the keys {list(its)} from the engine and {list(expected)} from the second reader"
        for key in its.keys() & expected.keys():
            yield from differences(its[key], expected[key], f"{path}.{key}")
    elif isinstance(found, list) and isinstance(expected, list) and len(found) == len(expected):
        for place, (one, other) in enumerate(zip(found, expected, strict=True)):
            yield from differences(one, other, f"{path}[{place}]")
    elif found != expected:
        yield f"{path} is {found!r} from the engine and {expected!r} from the second reader"


if __name__ == "__main__":
    sys.exit(main())
