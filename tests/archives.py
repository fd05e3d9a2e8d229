"""Archives for tests: written from plain records, read back, and what the engine exports of a database."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import psycopg

from project_export.sample.load import load
from project_export.source import Limits, Reader, Session
from project_export.tree import bind, tables
from project_export.tree import load as load_tree

Record = dict[str, Any]
Records = dict[str, list[Record]]


def write_archive(path: Path, records: Records) -> Path:
    """Write an archive of these records by relation, `project` among them."""
    lines = {name: "".join(json.dumps(record) + "\n" for record in of) for name, of in records.items()}
    root = lines.pop("project", "{}")
    return write_files(
        path, {"tree/project.json": root, **{f"tree/project/{name}.ndjson": lines[name] for name in lines}}
    )


def write_files(path: Path, files: Mapping[str, str | bytes]) -> Path:
    """Write a tar.gz of these files, with ./ before their names as tar does it."""
    with tarfile.open(path, "w:gz") as tar:
        for name, content in files.items():
            data = content.encode() if isinstance(content, str) else content
            member = tarfile.TarInfo(f"./{name}")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


def read_archive(path: Path) -> Records:
    """Return the records of each relation that has any."""
    found: Records = {}
    with tarfile.open(path) as tar:
        for member in tar:
            if member.name.endswith(("tree/project.json", ".ndjson")):
                records = [json.loads(line) for line in tar.extractfile(member) if line.strip() not in (b"", b"null")]
                if records:
                    found[Path(member.name).stem] = records
    return found


def load_into(database: str, archive: Path) -> int:
    """Load an archive into a database with the sample's schema; return the project's id."""
    with psycopg.connect(database) as conn:
        return load(conn, archive)


def exported(
    database: str, project_id: int, edition: str = "", version: str = "", relations: Collection[str] = ()
) -> Records:
    """Return what the engine exports of a project, for each relation that has records.

    version: as of `bind`. relations: only these of them, when any are named.
    """
    tree = load_tree("gitlab", edition)
    found: Records = {}
    with Session(lambda: psycopg.connect(database), "test", Limits()) as session:
        bound = bind(tree, session.catalogue(tables(tree)), version)
        reader = Reader(session, bound, project_id)
        for name in relations or bound.tree.names:
            data = b"".join(chunk.data for chunk in reader.read(name))
            records = [json.loads(line) for line in data.split(b"\n") if line not in (b"", b"null")]
            if records:
                found[name] = records
    return found
