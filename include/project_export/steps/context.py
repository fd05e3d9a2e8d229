"""What every step needs: the settings, the ledger, the store, the tree, and connections to the source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from project_export.external import External, open_external
from project_export.ledger import Job, Ledger
from project_export.settings import REQUIRED, Settings
from project_export.source import Connect, Limits, Session
from project_export.steps.notice import Channel
from project_export.store import JobKey, Store, open_store
from project_export.tree import Tree, load


@dataclass(frozen=True)
class Context:
    """What a step runs with.

    source: the name of the database that `connect` opens, in the ledger and in the store.
    channels: deliver the notices of how jobs ended, by name.
    """

    settings: Settings
    ledger: Ledger
    source: str
    connect: Connect
    channels: Mapping[str, Channel] = field(default_factory=dict)

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
        """The artifact store. Raises SettingMissing, BadRequest."""
        return open_store(self.settings.required("store"))

    def external(self) -> External | None:
        """Open the files that the source keeps outside its database, if a setting names them. Raises BadRequest."""
        uri = self.settings.external_store
        return open_external(uri) if uri else None

    def session(self, name: str, snapshot: str | None = None, *, most_seconds: float = 0) -> Session:
        """Open a session on the source; see `Session`. most_seconds: after which the server ends it; 0: never."""
        settings = self.settings
        limits = Limits(
            settings.statement_timeout_seconds, settings.lock_timeout_seconds, transaction_seconds=most_seconds
        )
        policies = settings.allow_row_security
        return Session(self.connect, f"project_export {name}", limits, snapshot, zone=settings.zone, policies=policies)

    @staticmethod
    def key(job: Job) -> JobKey:
        """Return the job's place in the store."""
        return JobKey(job.source, job.project_id, job.id)
