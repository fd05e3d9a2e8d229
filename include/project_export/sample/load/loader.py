"""Load one archive into one database, in one transaction."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from pathlib import Path
from typing import Any

import psycopg
from psycopg import Connection

from project_export.errors import ArchiveBroken, BadRequest, SourceChanged
from project_export.sample.disk import Disk, written
from project_export.sample.load.files import Files
from project_export.sample.load.rows import Row, Rows
from project_export.sample.load.unpack import Unpacked
from project_export.sample.load.walk import Identity, Walk, identify, is_above, nested_records
from project_export.source import translate
from project_export.tree import Relation, Tree
from project_export.tree import load as load_tree

_ARCHIVES_FAULT = (
    psycopg.DataError,
    psycopg.IntegrityError,
    psycopg.errors.CannotCoerce,
    psycopg.errors.DatatypeMismatch,
    UnicodeEncodeError,
)

log = logging.getLogger(__name__)


def load(conn: Connection[Any], archive: Path, tree: Tree | None = None, files: Path | None = None) -> int:
    """Load the records of an archive (tar.gz) into a database with the sample's schema; return the project's id.

    Everything is done in one transaction, the caller's if there is one. The project gets the id that the records name,
    so that an export returns the same records. Keys and relations that the tree does not know, or does not read from
    the database, are counted and logged instead of stored.

    files: the folder for the archive's repositories, uploads and LFS objects, which get rows as well; what is there
    under other names stays. None: neither is stored.

    Raises ArchiveBroken, with file and line; BadRequest if there is no such file, if existing rows conflict, or if the
    folder has files that no sample wrote; SourceChanged if the database lacks the schema; SourceBusy or SourceRefused
    if it fails; StoreRefused if the archive cannot be unpacked.
    """
    disk = Disk(files) if files else None
    with Unpacked(archive, disk.folder if disk else None) as unpacked:
        try:
            with conn.transaction(), written():
                conn.execute("SET LOCAL TimeZone = 'UTC'")
                _require_schema(conn)
                loader = _Loader(conn, tree or load_tree("gitlab"), unpacked, disk)
                project = loader.load()
        except psycopg.Error as error:
            raise translate(error, f"loading {archive}") from error
    if loader.left_out:
        lines = "".join(f"\n  {path}: {count}" for path, count in sorted(loader.left_out.items()))
        log.warning("%s: the sample cannot store these keys and relations:%s", archive, lines)
    return project


class _Loader:
    def __init__(self, conn: Connection[Any], tree: Tree, unpacked: Unpacked, disk: Disk | None) -> None:
        self._conn = conn
        self._tree = tree
        self._unpacked = unpacked
        self._rows = Rows(conn)
        self._walk = Walk(self._rows)
        self._files = Files(disk, self._rows, unpacked.archive, unpacked.others) if disk else None
        self.left_out: Counter[str] = self._walk.left_out

    def load(self) -> int:
        project = self._project()
        self._keep_ids()
        # Rows whose ids the records name come first; other rows get higher ids.
        for relation in sorted(self._tree.relations, key=lambda relation: not _names_ids(relation)):
            for where, record in self._unpacked.records(relation.name):
                if not relation.table:
                    self.left_out[relation.name] += 1
                    continue
                with self._at(where):
                    fixed = {own: project[parent] for own, parent in relation.join}
                    row = self._walk.put(relation, record, fixed, relation.name)
                if self._files and relation.table == "snippets":
                    self._files.note_snippet(record, row["id"])
        for name in self._unpacked.names():
            if name not in self._tree.names:
                self.left_out.update(name for _ in self._unpacked.records(name))
        if self._files:
            self._files.add(project["id"])
            self.left_out.update(self._files.left_out)
            if self._unpacked.unsafe:
                self.left_out["unsafe names (never written)"] = self._unpacked.unsafe
        self._rows.finish()
        return int(project["id"])

    def _project(self) -> Row:
        """Store the root, in a group and with its own namespace."""
        root = self._tree.root
        number = self._named_project()
        if number and self._rows.find(root.table, {"id": number}):
            message = f"{self._unpacked.archive} contains project {number}, but the database has one with this id"
            raise BadRequest(f"{message}. Load into an empty database.")
        where, record = self._unpacked.root()
        name = self._unpacked.archive.name.partition(".tar")[0]
        with self._at(where):
            group = self._namespace("loaded", "Group", [])
            own = self._namespace(name, "Project", [group])
            fixed = {
                "path": name,
                "namespace_id": group,
                "project_namespace_id": own,
                **({"id": number} if number else {}),
            }
            project = self._walk.put(root, {"name": name, **record}, fixed, root.name)
        self._rows.known.update(project_id=project["id"], namespace_id=own)
        return project

    def _namespace(self, name: str, kind: str, above: list[int]) -> int:
        number = self._rows.next_id("namespaces")
        row = {"id": number, "name": name, "path": name, "type": kind, "traversal_ids": [*above, number]}
        self._rows.insert("namespaces", {**row, "parent_id": above[-1] if above else None})
        return number

    def _named_project(self) -> int | None:
        """Return the id that most relations name, None if none does; records of one relation agree."""
        named: Counter[int] = Counter()
        for relation in self._tree.relations:
            keys = {key.column: key.name for key in relation.keys}
            for own, parent in relation.join:
                if parent == "id" and own in keys:
                    first = next(self._unpacked.records(relation.name), ("", {}))[1]
                    named.update(value for value in [first.get(keys[own])] if isinstance(value, int))
        return named.most_common(1)[0][0] if named else None

    def _keep_ids(self) -> None:
        """Number the rows whose ids determine the order of records that refer to them: the milestones of a release.

        Such a row, for example a group's milestone, may have no file and still precede rows that have one.
        """
        for relation in self._tree.relations:
            for link in relation.children:
                for child in link.children:
                    ordering = {order.column for order in link.order}
                    if is_above(child) and ordering & {parent for _, parent in child.join}:
                        self._walk.kept_ids.update(self._ids_in_order(relation, link, child))

    def _ids_in_order(self, relation: Relation, link: Relation, child: Relation) -> dict[Identity, int]:
        """Return ids for all records of a shared relation, in an order that fits every place where they appear."""
        files = [other.name for other in self._tree.relations if other.table == child.table]
        chains = [[record for name in files for _, record in self._unpacked.records(name)]]
        for where, record in self._unpacked.records(relation.name):
            with self._at(where):
                links = nested_records(link, record, relation.name)
                chains.append([one for item in links for one in nested_records(child, item, link.name)])
        graph: dict[Identity, set[Identity]] = {}
        for chain in chains:
            found = [identify(child, record) for record in chain]
            graph.update((one, set()) for one in found if one not in graph)
            for before, after in pairwise(found):
                graph[after].add(before)
        try:
            order = list(TopologicalSorter(graph).static_order())
        except CycleError as error:
            message = f"the {child.name} records of {relation.name} are in contradictory orders"
            raise ArchiveBroken(f"{self._unpacked.archive}: {message}") from error
        return {one: self._rows.next_id(child.table) for one in order}

    @contextmanager
    def _at(self, where: str) -> Iterator[None]:
        """Name the record in errors; its rows are sent to the database in a pipeline."""
        try:
            with self._conn.pipeline():
                yield
        except ArchiveBroken as error:
            raise ArchiveBroken(f"{where}: {error}") from error
        except _ARCHIVES_FAULT as error:
            text = " ".join(str(error).split())
            raise ArchiveBroken(f"{where}: the database refuses a row of this record: {text}") from error


def _require_schema(conn: Connection[Any]) -> None:
    if not conn.execute("SELECT FROM pg_tables WHERE schemaname = 'public' AND tablename = 'projects'").rowcount:
        raise SourceChanged(
            f"Database {conn.info.dbname} has no table projects. Create the sample's schema in it first."
        )


def _names_ids(relation: Relation) -> bool:
    return any(key.name == "id" for key in relation.keys)
