"""What every step needs: the settings, the ledger, the store, the tree, and connections to the source."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from project_export.access import Access
from project_export.credentials import Credentials
from project_export.external import Locations
from project_export.ledger import Job, Ledger
from project_export.settings import REQUIRED, Settings
from project_export.source import Connect, Limits, Session, Temporary
from project_export.steps.metrics import Metrics, NoMetrics
from project_export.steps.notice import Channel
from project_export.store import JobKey, Store, open_store
from project_export.tree import Tree, load


@dataclass(frozen=True)
class Context:
    """What a step runs with.

    source: the name of the database that `connect` opens, in the ledger and in the store.
    channels: deliver the notices of how jobs ended, by name.
    credentials: for content outside the database, and for the store.
    page: URL of the page that shows jobs, None if there is none.
    others: make the contexts of the other sources that share this ledger, by name.
    metrics: receives gauges; what is counted reaches it through the ledger.
    """

    settings: Settings
    ledger: Ledger
    source: str
    connect: Connect
    channels: Mapping[str, Channel] = field(default_factory=dict)
    credentials: Credentials = field(default_factory=Credentials)
    page: str | None = None
    metrics: Metrics = field(default_factory=NoMetrics)
    others: Mapping[str, Callable[[], Context]] = field(default_factory=dict)

    @property
    def sources(self) -> tuple[str, ...]:
        """The names of all sources, this one first."""
        return (self.source, *self.others)

    def of(self, source: str) -> Context:
        """Return the context of a source; this one if no other source has that name. Raises SettingRefused."""
        made = self.others.get(source)
        return made() if made else self

    @cached_property
    def tree(self) -> Tree:
        """The tree that settings name. Raises TreeError."""
        return load(self.settings.tree, self.settings.edition)

    @property
    def required(self) -> tuple[str, ...]:
        """The settings that an export of this tree requires. Raises TreeError."""
        return (*REQUIRED, *self.tree.format.settings)

    @cached_property
    def store(self) -> Store:
        """The artifact store; first use it in the main thread. Raises what `open_store` raises, SettingMissing."""
        return open_store(self.settings.required("store"), self.credentials)

    @cached_property
    def access(self) -> Access | None:
        """Who may export which projects, None if that is not limited. Raises SettingRefused."""
        return Access.parse(self.settings.access)

    def locations(self) -> Locations:
        """Return where the source keeps content outside its database. Raises SettingRefused, TreeError."""
        return Locations.of(self.settings.locations, self.tree.locations, self.credentials)

    def temporary(self, workers: int = 1) -> Temporary:
        """Return where a worker keeps temporary files, and its share of their bytes. workers: of the export."""
        return Temporary(self.settings.temporary_folder, self.settings.temporary_bytes // workers)

    def session(self, name: str, snapshot: str | None = None, *, most_seconds: float = 0) -> Session:
        """Open a session on the source; see `Session`. most_seconds: after which the server ends it; 0: never."""
        settings = self.settings
        limits = Limits(
            settings.statement_timeout_seconds, settings.lock_timeout_seconds, transaction_seconds=most_seconds
        )
        policies = settings.allow_row_security
        return Session(self.connect, f"project_export {name}", limits, snapshot, zone=settings.zone, policies=policies)

    @staticmethod
    def mtime(job: Job) -> int:
        """Return the time of a job's files in the archive, in seconds since 1970."""
        return int(job.created_at.timestamp())

    @staticmethod
    def key(job: Job) -> JobKey:
        """Return the job's place in the store."""
        return JobKey(job.source, job.project_id, job.id)
