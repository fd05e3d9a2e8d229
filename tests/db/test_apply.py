"""A full archive with its deltas is the full archive that is exported afterwards, as far as deltas show changes."""

from __future__ import annotations

import hashlib
import json
import shutil
import tarfile
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from project_export.archive import keyed
from project_export.archive.manifest import Manifest
from project_export.archive.verify import verify
from project_export.request import Request
from project_export.steps import Context, create
from project_export.tree import load_all
from tests.archives import Records, read_archive
from tests.commands import run
from tests.databases import Databases, locations_of
from tests.runs import assert_equal, context, merge, path_of, work


class Exports:
    """Exports of project 1 into a folder."""

    def __init__(self, ctx: Context, conn: psycopg.Connection[Any]) -> None:
        self.ctx = ctx
        self.conn = conn
        self._runs = 0

    def full(self) -> Path:
        return self._run(Request(1))

    def changes(self) -> Path:
        """Export what changed since the last export until now."""
        end = datetime.now(timezone.utc)
        time.sleep(0.01)
        return self._run(Request(1, mode="changes", window_start=end - timedelta(seconds=1), window_end=end))

    def _run(self, request: Request) -> Path:
        self._runs += 1
        created = create(self.ctx, request, run_id=f"run {self._runs}", requested_by="jane", run_alive=lambda _: True)
        assert work(self.ctx, created) == []
        return path_of(merge(self.ctx, created))

    def copied(self, table: str, where: str, **values: Any) -> None:
        """Insert a copy of a row with other values."""
        names, row = sql.Identifier(table), sql.Identifier(f"copy_{table}")
        with self.conn.transaction():
            self.conn.execute(sql.SQL("CREATE TEMP TABLE {} AS SELECT * FROM {} {}").format(row, names, sql.SQL(where)))
            assign = sql.SQL(", ").join(sql.SQL("{} = %s").format(sql.Identifier(name)) for name in values)
            self.conn.execute(sql.SQL("UPDATE {} SET {}").format(row, assign), list(values.values()))
            self.conn.execute(sql.SQL("INSERT INTO {} SELECT * FROM {}").format(names, row))
            self.conn.execute(sql.SQL("DROP TABLE {}").format(row))


FIRST = """
    UPDATE issues SET title = 'changed once', updated_at = now() AT TIME ZONE 'UTC'
        WHERE project_id = 1 AND iid IN (2, 3);
    UPDATE notes SET note = 'changed', updated_at = now() AT TIME ZONE 'UTC'
        WHERE id = (SELECT max(id) FROM notes WHERE noteable_type = 'MergeRequest' AND project_id = 1);
    UPDATE projects SET description = 'changed' WHERE id = 1;
    UPDATE project_features SET wiki_access_level = 10 WHERE project_id = 1;
    UPDATE p_ci_builds SET status = 'canceled', updated_at = now() AT TIME ZONE 'UTC'
        WHERE id = (SELECT min(id) FROM p_ci_builds WHERE project_id = 1);
"""
SECOND = """
    UPDATE issues SET title = 'changed twice', updated_at = now() AT TIME ZONE 'UTC'
        WHERE project_id = 1 AND iid IN (3, 4);
    UPDATE milestones SET title = 'changed', updated_at = now() AT TIME ZONE 'UTC' WHERE project_id = 1;
    UPDATE boards SET name = 'changed', updated_at = now() AT TIME ZONE 'UTC' WHERE project_id = 1;
    DELETE FROM releases WHERE project_id = 1 AND tag = (SELECT min(tag) FROM releases WHERE project_id = 1);
"""


class Made:
    """A full archive, two deltas, and a full archive after them. deleted: the tag of a release that is gone."""

    def __init__(self, exports: Exports, files: Path) -> None:
        conn = exports.conn
        self.base = exports.full()
        conn.execute(FIRST)
        stamp = datetime.now(timezone.utc).replace(tzinfo=None)
        exports.copied(
            "issues", "WHERE project_id = 1 AND iid = 2", id=900001, iid=900001, title="new", created_at=stamp,
            updated_at=stamp,
        )  # fmt: skip
        self._upload(exports, files, stamp)
        self.first = exports.changes()
        self.deleted = conn.execute("SELECT min(tag) FROM releases WHERE project_id = 1").fetchone()[0]  # type: ignore[index]
        conn.execute(SECOND)
        self.second = exports.changes()
        self.after = exports.full()

    @staticmethod
    def _upload(exports: Exports, files: Path, stamp: datetime) -> None:
        row = exports.conn.execute(
            "SELECT id, path FROM uploads WHERE model_id = 1 AND model_type = 'Project'"
            " AND uploader <> 'AvatarUploader' ORDER BY id LIMIT 1"
        ).fetchone()
        assert row is not None
        found = next(path for path in (files / "uploads").rglob(Path(row[1]).name) if str(path).endswith(row[1]))
        secret = hashlib.sha256(b"new").hexdigest()[:32]
        copy = found.parent.with_name(secret) / "new.txt"
        copy.parent.mkdir()
        copy.write_bytes(b"a new upload")
        exports.copied(
            "uploads", f"WHERE id = {row[0]}", id=900001, path=f"{secret}/new.txt", size=12, created_at=stamp,
            checksum=hashlib.sha256(b"a new upload").hexdigest(),
        )  # fmt: skip


@pytest.fixture(scope="module")
def made(
    databases: Databases, generated_template: str, generated_files: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Made]:
    folder = tmp_path_factory.mktemp("apply")
    files = shutil.copytree(generated_files, folder / "files", symlinks=True)
    with databases.new(generated_template) as uri, psycopg.connect(uri, autocommit=True) as conn:
        settings = {"window_margin_seconds": 0.1, "window_overlap_seconds": 1, "locations": locations_of(files)}
        ctx = context(uri, f"sqlite:///{folder}/ledger.sqlite", folder / "store", units=1, part_rows=100, **settings)
        yield Made(Exports(ctx, conn), files)


@pytest.fixture(scope="module")
def merged(made: Made, tmp_path_factory: pytest.TempPathFactory) -> Path:
    to = tmp_path_factory.mktemp("merged") / "project.tar.gz"
    done = run(["apply", str(made.base), str(made.second), str(made.first), "--out", str(to)])  # in any order
    assert done.exit_code == 0, done.output
    assert done.stdout.endswith(f"archive: {to}\n")
    return to


def sorted_records(records: Records) -> Records:
    """Return records in an order that does not depend on when they changed."""
    return {name: sorted(its, key=lambda one: json.dumps(one, sort_keys=True)) for name, its in records.items()}


def contents(archive: Path) -> dict[str, bytes]:
    """Return the files of an archive that are not made of records."""
    with tarfile.open(archive) as tar:
        named = {member.name: member for member in tar if member.isfile() and "/tree/" not in member.name}
        return {name: tar.extractfile(member).read() for name, member in named.items()}  # type: ignore[union-attr]


def manifest(archive: Path) -> Manifest:
    return Manifest.from_json(archive.with_name("project.manifest.json").read_bytes())


def test_a_base_with_its_deltas_is_the_next_full_export_but_for_what_was_deleted(made: Made, merged: Path) -> None:
    found, expected = read_archive(merged), read_archive(made.after)
    gone = [release for release in found["releases"] if release["tag"] == made.deleted]
    assert len(gone) == 1
    expected["releases"] = [*expected.get("releases", ()), *gone]
    assert_equal(sorted_records(found), sorted_records(expected))
    titles = [issue["title"] for issue in found["issues"]]
    assert titles.count("changed once") == 1  # issue 2
    assert titles.count("changed twice") == 2
    assert titles[-1] == "new"
    assert contents(merged) == contents(made.after)
    assert b"a new upload" in contents(merged).values()


def test_a_delta_is_much_smaller_and_has_only_what_changed(made: Made) -> None:
    first = read_archive(made.first)
    assert sorted(issue["iid"] for issue in first["issues"]) == [2, 3, 900001]
    assert len(first["merge_requests"]) == 1
    assert len(first["ci_pipelines"]) == 1
    assert "labels" not in first
    assert first["project"][0]["description"] == "changed"
    assert [name for name in contents(made.first) if "uploads/" in name] == [
        name for name, data in contents(made.first).items() if data == b"a new upload"
    ]


def test_the_merged_archive_is_whole_and_names_its_parts(made: Made, merged: Path) -> None:
    report = verify(merged, manifest(merged), tree=load_all("gitlab"))
    assert (report.problems, report.warnings) == ((), ())
    for archive in (merged, made.first, made.second):
        assert run(["verify", str(archive), "--strict"]).exit_code == 0
    parts = [manifest(path) for path in (made.base, made.first, made.second)]
    own = manifest(merged)
    assert (own.mode, own.window, own.next_window_start) == ("full", None, parts[-1].next_window_start)
    assert [(one.job_id, one.mode, one.window, one.sha256) for one in own.made_of] == [
        (one.job_id, one.mode, one.window, one.archive.sha256) for one in parts
    ]
    assert own.remarks == ("merged from 3 archives; records that were deleted meanwhile may be in it",)
    assert sorted(path.name for path in merged.parent.iterdir()) == ["project.manifest.json", "project.tar.gz"]


def test_what_was_merged_can_be_continued(made: Made, merged: Path, tmp_path: Path) -> None:
    step = tmp_path / "step" / "project.tar.gz"
    for base, delta, to in ((made.base, made.first, step), (step, made.second, tmp_path / "project.tar.gz")):
        assert run(["apply", str(base), str(delta), "--out", str(to)]).exit_code == 0
    assert read_archive(tmp_path / "project.tar.gz") == read_archive(merged)
    assert manifest(tmp_path / "project.tar.gz").made_of == manifest(merged).made_of


def test_large_records_pass_through_a_file(
    made: Made, merged: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keyed, "_IN_MEMORY", 40)
    to = tmp_path / "project.tar.gz"
    assert run(["apply", str(made.base), str(made.first), str(made.second), "--out", str(to)]).exit_code == 0
    assert read_archive(to) == read_archive(merged)


def refused(tmp_path: Path, *archives: Path) -> str:
    """Return why archives cannot be merged; nothing is written then."""
    done = run(["apply", *map(str, archives), "--out", str(tmp_path / "out" / "project.tar.gz")])
    assert done.exit_code in (1, 2)
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())
    return done.stderr


def altered(path: Path, folder: Path, **values: Any) -> Path:
    """Return a copy of an archive with another manifest."""
    folder.mkdir()
    shutil.copy(path, folder)
    document = json.loads(path.with_name("project.manifest.json").read_text())
    (folder / "project.manifest.json").write_text(json.dumps({**document, **values}))
    return folder / path.name


def test_a_gap_is_refused(made: Made, tmp_path: Path) -> None:
    said = refused(tmp_path, made.base, made.second)
    assert f"{made.second}: its window starts at {manifest(made.first).window.end}" in said  # type: ignore[union-attr]
    assert "the changes between are missing" in said


def test_archives_that_do_not_belong_together_are_refused(made: Made, tmp_path: Path) -> None:
    others = {"project_id": 2, "source": "another", "tree": "library", "relations": []}
    for name, value in others.items():
        strange = altered(made.first, tmp_path / name, **{name: value})
        said = refused(tmp_path, made.base, strange)
        assert f"{strange}: it" in said, name
    assert "it only has changes; the first archive must have everything" in refused(tmp_path, made.first, made.second)
    assert "it is not an archive of changes" in refused(tmp_path, made.base, made.after)
    assert f"it was exported before {made.after}" in refused(tmp_path, made.after, made.first)
    later = (datetime.now(timezone.utc) + timedelta(days=1)).isoformat()
    again = altered(made.base, tmp_path / "again", next_window_start=later)  # it was exported again after the deltas
    assert f"{made.first}: {again} has everything in it" in refused(tmp_path, again, made.first)
    old = altered(made.base, tmp_path / "old", next_window_start=None)
    assert "its manifest does not say what continues it" in refused(tmp_path, old, made.first)
    assert "there is no such file" in refused(tmp_path, made.base, tmp_path / "nothing.tar.gz")


def test_the_manifest_of_an_archive_is_not_replaced(made: Made) -> None:
    before = manifest(made.base)
    done = run(["apply", str(made.base), str(made.first), "--out", str(made.base.with_name("merged.tar.gz"))])
    assert (done.exit_code, "whose manifest would be replaced" in done.stderr) == (2, True)
    assert manifest(made.base) == before


def test_an_archive_that_is_not_that_of_its_manifest_is_refused(made: Made, tmp_path: Path) -> None:
    for number, (base, delta) in enumerate(((True, False), (False, True))):
        archives = []
        for path, broken in ((made.base, base), (made.first, delta)):
            facts = {"bytes": path.stat().st_size, "sha256": "0" * 64}
            archives.append(altered(path, tmp_path / f"{number}{broken}", **({"archive": facts} if broken else {})))
        strange = archives[0 if base else 1]
        assert f"{strange}: it is not the archive that its manifest describes" in refused(tmp_path, *archives)
