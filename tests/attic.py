"""A schema of its own with files and repositories, what is in it, and an export of it."""

from __future__ import annotations

import hashlib
import random
import tarfile
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from project_export.archive.manifest import Manifest
from project_export.merged import Merged
from project_export.steps import Context
from project_export.store.uris import path_of
from tests.runs import context, held, merge, started, work

TREE = """
name: attic
format: plain
locations: {boxes: what is in the boxes, shelves: Git repositories}
root: {relation: attic, table: attics, keys: [name]}
relations:
  - relation: notes
    table: notes
    join: {attic_id: id}
    keys: [text]
  - relation: things
    kind: files
    table: things
    join: {attic_id: id}
    keys: [path, size, digest, kind]
    content:
      location: boxes
      name: "things/{path}"
      paths: ["{path}", "old/{path}"]
      bytes: size
      sha256: digest
      index: {file: things.json, key: kind}
  - relation: diary
    kind: bundle
    one: true
    table: attics
    join: {id: id}
    keys: [id, shelf, diary]
    content:
      location: shelves
      part_of: shelf
      present: diary
      name: diary.bundle
      paths: ["{diary}.git"]
  - relation: letters
    kind: bundle
    table: letters
    join: {attic_id: id}
    keys: [id, name]
    content:
      location: shelves
      present: name
      name: "letters/{name}.bundle"
      paths: ["letters/{id|sha256|0:2}/{id|sha256}.git"]
"""

SQL = """
CREATE TABLE attics (id int PRIMARY KEY, name text, shelf text, diary text);
CREATE TABLE notes (id serial PRIMARY KEY, attic_id int, text text);
CREATE TABLE things (id serial PRIMARY KEY, attic_id int, path text, size bigint, digest text, kind int);
CREATE TABLE letters (id serial PRIMARY KEY, attic_id int, name text);
INSERT INTO attics VALUES (1, 'under the roof', 'top', NULL);
INSERT INTO notes (attic_id, text) VALUES (1, 'mind the beam');
"""


@dataclass
class Attic:
    """The source, and the folder with its files. things: those that were added, by path."""

    database: str
    ledger_dsn: str
    folder: Path
    things: dict[str, bytes] = field(default_factory=dict)

    @property
    def boxes(self) -> Path:
        """The folder of the files."""
        return self.folder / "boxes"

    @property
    def shelves(self) -> Path:
        """The folder of the repositories."""
        return self.folder / "shelves"

    def make(self) -> Attic:
        """Create the tables, the tree and the folders."""
        with psycopg.connect(self.database) as conn:
            conn.execute(SQL)
        (self.folder / "attic.yaml").write_text(TREE)
        self.boxes.mkdir()
        self.shelves.mkdir()
        return self

    def sql(self, text: str, *values: Any) -> None:
        """Change the source."""
        with psycopg.connect(self.database) as conn:
            conn.execute(text, values)

    def row(self, path: str, size: int | None, digest: str | None = None, kind: int | None = None) -> None:
        """Add a row of the table that names the files."""
        values = (path, size, digest, kind)
        self.sql("INSERT INTO things (attic_id, path, size, digest, kind) VALUES (1, %s, %s, %s, %s)", *values)

    def add(self, path: str, data: bytes, *, digest: bool = True, kind: int | None = None, at: str = "") -> None:
        """Add a file and its row. at: another path of the file than that of the row."""
        file = self.boxes / (at or path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
        self.row(path, len(data), hashlib.sha256(data).hexdigest() if digest else None, kind)
        self.things[path] = data

    def context(self, **settings: Any) -> Context:
        """Return the steps' context."""
        defaults = {
            "tree": str(self.folder / "attic.yaml"),
            "locations": f"boxes={self.boxes}, shelves={self.shelves}",
            "part_bytes": 1 << 20,
        }
        return context(self.database, self.ledger_dsn, self.folder / "store", **{**defaults, **settings})

    def export(self, ctx: Context | None = None, **settings: Any) -> Exported:
        """Export it; raise the first error of a worker, if the merge does not."""
        ctx = ctx or self.context(**settings)
        created = started(ctx, run_id=f"dag/{random.random()}", consistency=settings.get("consistency"))
        with held(ctx, created) if created.shared else nullcontext():
            work(ctx, created)
        return Exported(ctx, created.job_id, merge(ctx, created))


@dataclass
class Exported:
    """A published archive, read by others than those who wrote it."""

    ctx: Context
    job_id: int
    merged: Merged

    @property
    def path(self) -> Path:
        """The archive's file."""
        return path_of(self.merged.uri)

    @property
    def manifest(self) -> Manifest:
        """Its manifest."""
        return Manifest.from_json(self.path.with_name("project.manifest.json").read_bytes())

    def contents(self, prefix: str = "") -> dict[str, bytes]:
        """Return the content of each file by its name, without the prefix."""
        with tarfile.open(self.path) as tar:
            members = [member for member in tar if member.isfile()]
            found = {member.name.removeprefix("./"): tar.extractfile(member).read() for member in members}  # type: ignore[union-attr]
        return {name.removeprefix(prefix): data for name, data in found.items() if name.startswith(prefix)}
