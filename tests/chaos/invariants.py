"""What must be true after any fault, and the undisturbed export to compare with."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
from sqlalchemy import text

from project_export.archive.manifest import Manifest
from project_export.archive.verify import verify
from project_export.ledger import Job, Ledger, make_engine
from project_export.tree import load
from tests.archives import read_archive
from tests.runs import assert_equal, context, files, merge, path_of, started, wait_until, work

GONE_SECONDS = 20
TREE = load("gitlab")
OURS = "starts_with(application_name, 'project_export')"


class Undisturbed:
    """Exports projects of a source with one worker and no fault; an export with a fault must give the same.

    folder: for these exports only. facts: a folder with tools that also check archives; None if they reject the data.
    locations: the setting.
    """

    def __init__(self, source: str, folder: Path, facts: Path | None, locations: str = "") -> None:
        self.facts = facts
        self.locations = locations
        self._source = source
        self._folder = folder
        self._archives: dict[tuple[object, ...], Path] = {}
        self._same: set[tuple[object, ...]] = set()

    def archive(self, project_id: int, relations: Sequence[str] = (), description: str | None = None) -> Path:
        """Return the archive; the first call makes it."""
        key = (project_id, *relations, description)
        if key not in self._archives:
            self._folder.mkdir(exist_ok=True)
            ledger, own = f"sqlite:///{self._folder}/ledger.sqlite", {"units": 1, "locations": self.locations}
            ctx = context(self._source, ledger, self._folder, **own)
            run_id = f"undisturbed/{len(self._archives)}"
            created = started(ctx, *relations, project_id=project_id, run_id=run_id, description=description)
            assert work(ctx, created) == []
            self._archives[key] = path_of(merge(ctx, created))
            ctx.ledger.close()
        return self._archives[key]

    def assert_same(
        self, archive: Path, project_id: int, relations: Sequence[str] = (), description: str | None = None
    ) -> Manifest:
        """Compare an archive with the undisturbed one and verify it in every way; return its manifest."""
        manifest = Manifest.from_json(archive.with_name("project.manifest.json").read_bytes())
        key = (digest(archive), project_id, *relations, description)
        if key not in self._same:
            assert verify(archive, manifest).problems == ()
            read = [relation for relation in manifest.relations if TREE.relation(relation.relation).kind != "bundle"]
            assert len({part.generation for relation in read for part in relation.parts}) == 1
            other = self.archive(project_id, relations, description)
            assert_equal(read_archive(archive), read_archive(other))
            self._tool("check_archive.py", "--strict", *["--partial"] * bool(relations), archive)
            self._tool("diff_exports.py", other, archive)
            self._same.add(key)
        return manifest

    def _tool(self, name: str, *arguments: str | Path) -> None:
        if self.facts is not None:
            command = [sys.executable, self.facts / "tools" / name, *arguments]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout + done.stderr


class Invariants:
    """A place where projects are exported, and what must be so in it after every fault.

    To be mixed into a class that sets source and ledger_uri (libpq URIs; the ledger may be SQLite's), store and
    undisturbed, and exports a project before the first fault on it.
    """

    source: str
    ledger_uri: str
    store: Path
    undisturbed: Undisturbed

    @contextmanager
    def surviving(self, project_id: int = 1, *, replaced: bool = False) -> Iterator[None]:
        """Hold, when the block ends, what must be so after every fault on a project:

        Its last good archive lies where it was, byte for byte; replaced: unless a cleared run has replaced it. The one
        that is offered now is what the ledger says, passes all checks, and is the same as an undisturbed export. No
        session, and with them no transaction and no lock, is left on the source, no transaction on the ledger, and no
        temporary file in the store.
        """
        good = self.offered(project_id)
        yield
        if not replaced:
            assert digest(path(good)) == good.archive_sha256, f"{good.archive_uri} is not what it was"
        self.assert_nothing_left()
        now = self.offered(project_id)
        assert digest(path(now)) == now.archive_sha256
        self.undisturbed.assert_same(path(now), project_id, now.params["relations"], now.params.get("description"))

    def offered(self, project_id: int) -> Job:
        """Return the job whose archive is offered for a project: the last one that has any."""
        query = "SELECT max(id) FROM project_export_job WHERE project_id = :project AND archive_uri IS NOT NULL"
        engine = make_engine(self.ledger_uri)
        with engine.connect() as connection:
            job_id = connection.execute(text(query), {"project": project_id}).scalar_one()
        with closing(Ledger(engine)) as ledger:
            return ledger.queries.job(job_id)

    def assert_nothing_left(self) -> None:
        """Hold that no session on the source, no open transaction on the ledger and no temporary file is left."""
        wait_until(lambda: not sessions(self.source, OURS), GONE_SECONDS)
        if not self.ledger_uri.startswith("sqlite:"):
            wait_until(lambda: not sessions(self.ledger_uri, "state LIKE 'idle in transaction%'"), GONE_SECONDS)
        assert [name for name in files(self.store) if name.endswith(".tmp") or ".probe" in name] == []


def path(job: Job) -> Path:
    """Return where the archive of a job lies."""
    return Path(urlsplit(str(job.archive_uri)).path)


def digest(archive: Path) -> str:
    """Return the SHA-256 of a file."""
    return hashlib.sha256(archive.read_bytes()).hexdigest()


def sessions(database: str, condition: str) -> list[str]:
    """Return the names of the sessions on a database, but this one, for which an SQL condition holds."""
    query = (
        "SELECT application_name FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    with psycopg.connect(database) as conn:
        return [name for (name,) in conn.execute(f"{query} AND {condition}".encode())]
