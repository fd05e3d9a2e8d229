"""Settings from environment variables with the prefix PROJECT_EXPORT_, and from layers below the environment.

No setting is a secret: connection ids name the databases in Airflow, DSNs on the command line.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict

from project_export.errors import SettingMissing, SettingRefused, listed, nearest
from project_export.variables import PREFIX, own_values, variable

Consistency = Literal["relation", "project"]
MissingFiles = Literal["fail", "report"]

REQUIRED = ("store",)
"""The settings that every export needs; the format of its tree may need more."""

GIT_SECONDS = 4 * 3600.0

_RULES: Mapping[str, str] = {
    **dict.fromkeys(("int_parsing", "int_type", "int_from_float"), "an integer"),
    "int_parsing_size": "an integer of fewer digits",
    **dict.fromkeys(("float_parsing", "float_type"), "a number"),
    **dict.fromkeys(("bool_parsing", "bool_type"), "true or false"),
    "string_type": "a string",
    "literal_error": "{expected}",
    "greater_than": "greater than {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than_equal": "at most {le}",
}
"""What a value must be, by pydantic's type of error, with the names of its context."""

_GUARDS: dict[str, Any] = {"environment_only": "it guards what an export may read and write"}
_PARSED: dict[str, Any] = {"environment_only": "the DAG file reads it when it is parsed", "shared": True}
_SHARED: dict[str, Any] = {"shared": True}
_PER_SOURCE: dict[str, Any] = {**_GUARDS, "per_source": True}


@dataclass(frozen=True)
class Layer:
    """Settings by name from a source other than the environment.

    where: how errors describe the place of a setting, with `{}` for the setting's name. refused: names that have no
    effect there.
    """

    where: str
    values: Mapping[str, Any]
    refused: Collection[str] = ()

    def problems(self) -> Iterator[str]:
        """Yield the settings that are not allowed here."""
        for name in self.values:
            where = self.where.format(name)
            if name not in Settings.model_fields:
                yield f"{where} names no setting; {nearest(name, Settings.model_fields)}"
            elif reason := ENVIRONMENT_ONLY.get(name):
                yield f"{where} is not allowed, since {reason}: set {variable(name)} in the environment of the tasks"
            elif name in self.refused:
                yield f"{where} has no effect here: set {variable(name)}"


class Settings(BaseSettings):
    """All settings. Each field is the variable PROJECT_EXPORT_<FIELD>; an empty variable counts as not set."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, frozen=True, extra="ignore")

    source_conn_id: str = Field(
        "project_export_source",
        description="Connection id of the database to export from; with several sources, of the default one.",
        json_schema_extra=_SHARED,
    )
    sources: str = Field(
        "",
        description="Connection ids of further databases that may be exported from, separated by commas. Each may have"
        " settings of its own: PROJECT_EXPORT_TREE__CRM is the tree of the source crm.",
        json_schema_extra={**_PARSED, **_GUARDS},
    )
    ledger_conn_id: str = Field(
        "project_export_ledger",
        description="Connection id of the ledger's database.",
        json_schema_extra=_SHARED,
    )
    tree: str = Field(
        "gitlab", description="A tree shipped with the package, or the path of a YAML file.", json_schema_extra=_GUARDS
    )
    edition: str = Field(
        "",
        description="Edition of the application, one of the tree's: ce, ee-unlicensed (the paid package without a"
        " licence) or ee. Unset: the first.",
    )
    allow_absent: str = Field(
        "",
        description="Tables and columns that the source may lack although its version has them, separated by commas:"
        " issues.title,notes. They are left out and reported as omissions.",
        json_schema_extra=_PER_SOURCE,
    )
    store: str = Field(
        "",
        description="Folder or bucket for parts and archives, e.g. file:///srv/exports; in a shell, --out. A bucket may"
        " have a connection: s3://CONN_ID@bucket/prefix. No default.",
        json_schema_extra=_GUARDS,
    )
    locations: str = Field(
        "",
        description="Where the source keeps content outside its database: name=URI, separated by commas, with the"
        " names that the tree declares. GitLab's: repositories (or repositories.STORAGE), uploads, lfs_objects,"
        " external_diffs. A bucket may have a connection: uploads=s3://CONN_ID@bucket/prefix. What is in a location"
        " that is not set is not exported, and counted as an omission.",
        json_schema_extra=_PER_SOURCE,
    )
    missing_files: MissingFiles = Field(
        "fail",
        description="What a missing or altered file does: fail: its relation fails; report: it is left out, and listed"
        " in the manifest.",
        json_schema_extra=_GUARDS,
    )
    git_user: str = Field(
        "",
        description="Unprivileged user that runs git where the tasks run as root. Unset: git runs as the task does.",
        json_schema_extra=_GUARDS,
    )
    git_conn_id: str = Field(
        "",
        description="Connection id of user (login) and token (password) for repositories that are fetched by https; in"
        " a shell, the token is PROJECT_EXPORT_GIT_PASSWORD. Unset: none.",
    )
    git_timeout_seconds: float = Field(
        GIT_SECONDS, gt=0, description="Time limit of each call of git; a bundle is one call."
    )
    gitlab_version: str = Field(
        "",
        description="Content of GITLAB_VERSION in the archive; in a shell also --gitlab-version. No default; trees with"
        " the format gitlab need it.",
    )
    gitlab_revision: str = Field(
        "",
        description="Content of GITLAB_REVISION in the archive; in a shell also --gitlab-revision. No default; trees"
        " with the format gitlab need it.",
    )
    application_version: str = Field(
        "",
        description="Version of the source's application, which explains missing tables and columns for a tree with"
        " the format plain. Unset: the newest.",
    )
    zone: str = Field("UTC", description="Time zone of exported times, e.g. Europe/Berlin; with UTC they end in Z.")
    consistency: Consistency = Field(
        "project",
        description="project: all relations share one snapshot; relation: each has its own.",
        json_schema_extra=_PARSED,
    )
    pool: str = Field("project_export", description="Airflow pool of the export tasks.", json_schema_extra=_PARSED)
    projects: str = Field(
        "",
        description="Which projects the DAG export_projects exports unless a run says so itself, separated by commas:"
        " ids, paths, group/* (with subgroups), or active (those with activity since the start of the run's interval).",
    )
    schedule: str = Field(
        "",
        description="When export_projects runs, as a cron expression: 0 2 * * *. Unset: only when it is backfilled or"
        " triggered.",
        json_schema_extra=_PARSED,
    )
    schedule_zone: str = Field(
        "UTC", description="Time zone of that schedule, and of the days of a backfill.", json_schema_extra=_PARSED
    )
    units: int = Field(
        4, ge=1, le=512, description="Maximum number of workers (mapped tasks) of one export: the pool's slots."
    )
    unit_cost: int = Field(
        200_000,
        ge=1,
        description="Cost (see `project-export plan`) that justifies another worker.",
    )
    exports_at_a_time: int = Field(
        25,
        ge=0,
        description="Maximum number of exports that run at a time; all others wait for their turn. 0: no limit. Exports"
        " in a shell neither wait nor count.",
        json_schema_extra=_SHARED,
    )
    max_active_runs: int = Field(
        1000,
        ge=1,
        description="Maximum number of runs of export_project that Airflow starts, those that wait included. The queue"
        " is fair only among these.",
        json_schema_extra=_PARSED,
    )
    max_attempts: int = Field(3, ge=1, description="Attempts per relation before it fails.")
    batch_rows: int = Field(1000, ge=1, description="Maximum number of records that are read together.")
    batch_bytes: int = Field(2 << 20, ge=1 << 16, description="Target size of a batch, in bytes.")
    temporary_bytes: int = Field(
        512 << 20,
        ge=0,
        description="Bytes of temporary files of an export at most, shared by its workers: records wait there that are"
        " read before their turn, because reading by key costs the source less. 0: read in the order of the export.",
    )
    temporary_folder: str = Field(
        "",
        description="Folder for these files, on a disk: what is in memory counts as memory. Unset: that of the system"
        " (TMPDIR).",
        json_schema_extra=_GUARDS,
    )
    part_rows: int = Field(5_000, ge=1, description="Records above which a relation is split (shared snapshot only).")
    part_bytes: int = Field(
        64 << 20, ge=1, description="Bytes in the source's tables above which a relation is split as well."
    )
    compress_level: int = Field(1, ge=0, le=3, description="ISA-L level of the parts.")
    heartbeat_seconds: float = Field(5, gt=0, description="Time between two heartbeats of a worker.")
    hung_seconds: float = Field(
        120, gt=0, description="Time without a heartbeat after which a running worker counts as hung."
    )
    slot_wait_seconds: float = Field(
        900,
        gt=0,
        description="How long an export waits for a slot of the pool while no other export has one; then it fails.",
    )
    snapshot_wait_seconds: float = Field(
        60, gt=0, description="How long a worker waits for the shared snapshot, and the snapshot's holder for a worker."
    )
    snapshot_grace_seconds: float = Field(
        900,
        ge=0,
        description="How long the shared snapshot of a failed export is kept, so that clearing the failed tasks exports"
        " only what is missing; never for runs that nobody watches (scheduled, backfilled, triggered by a DAG).",
    )
    snapshot_max_seconds: float = Field(6 * 3600, gt=0, description="Maximum age of a shared snapshot.")
    archive_hours: float = Field(
        24,
        gt=0,
        description="Age at which an archive is pruned, counted from the end of its export.",
        json_schema_extra=_SHARED,
    )
    job_days: float = Field(
        7, gt=0, description="Age at which an ended job is pruned, with its parts and rows.", json_schema_extra=_SHARED
    )
    window_margin_seconds: float = Field(
        60,
        ge=0,
        description="How much the clocks of the application, the source and the ledger may differ: an export of"
        " changes waits for that long after the end of its window.",
    )
    window_wait_seconds: float = Field(
        6 * 3600,
        ge=0,
        description="How long an export of changes that waits for its turn also waits for transactions that were open"
        " at the end of its window; then it fails and names the oldest.",
    )
    window_overlap_seconds: float = Field(
        3600,
        gt=0,
        description="How long a transaction of the application may take. A window starts earlier by this if it follows"
        " a full export, or a window that could not wait for open transactions.",
    )
    keep_daily: int = Field(
        0,
        ge=0,
        description="How many of the last days (UTC) that have archives of a series keep the last one beyond its age,"
        " with its job. A series: the archives of a project in one mode.",
        json_schema_extra=_SHARED,
    )
    keep_weekly: int = Field(0, ge=0, description="The same for ISO weeks.", json_schema_extra=_SHARED)
    keep_monthly: int = Field(0, ge=0, description="The same for months.", json_schema_extra=_SHARED)
    deadline_seconds: float = Field(
        0,
        ge=0,
        description="Age, since its request, at which people are notified once that an export has not ended; it goes"
        " on. 0: never.",
        json_schema_extra=_SHARED,
    )
    notify_email: str = Field("", description="Email addresses for notices, separated by commas.")
    notify_webhook: str = Field("", description="Connection id of a webhook that gets notices as JSON.")
    upload_allow_private: bool = Field(
        False, description="Whether uploads may go to private or loopback addresses.", json_schema_extra=_GUARDS
    )
    upload_timeout_seconds: float = Field(
        300, gt=0, description="Time limit of each step of an upload, not of the whole."
    )
    statement_timeout_seconds: float = Field(900, gt=0, description="Time limit of each statement on the source.")
    lock_timeout_seconds: float = Field(30, gt=0, description="Time limit of each wait for a lock on the source.")
    allow_row_security: bool = Field(
        False,
        description="Whether row policies of the source may hide rows; the export then reports an omission. Otherwise"
        " it fails.",
        json_schema_extra=_GUARDS,
    )
    allow_tables: str = Field(
        "",
        description="Views, foreign tables, and tables outside the root table's schema that an export may read, as"
        " schema.table, quoted as in SQL, separated by commas.",
        json_schema_extra=_PER_SOURCE,
    )
    access: str = Field(
        "",
        description="Who may export which projects: USER=PROJECT,PROJECT, separated by semicolons. USER is a name,"
        " team:NAME or * (everybody); PROJECT is an id, a path, group/* (with subgroups) or * (all):"
        " alice=42,group/app; team:data=group/*; *=public/*. Unset: everybody whom Airflow allows to.",
        json_schema_extra=_PER_SOURCE,
    )
    api_exports_per_minute: int = Field(
        6,
        ge=0,
        description="Maximum number of exports that a user may start per minute through the API; 0: no limit.",
        json_schema_extra=_SHARED,
    )
    api_downloads_per_minute: int = Field(
        6,
        ge=0,
        description="Maximum number of downloads that a user may start per minute through the API; 0: no limit.",
        json_schema_extra=_SHARED,
    )
    token_max_days: int = Field(
        365, ge=1, description="Maximum age of a token of the API, from its creation.", json_schema_extra=_SHARED
    )
    presigned_downloads: bool = Field(
        False,
        description="Whether downloads redirect to a presigned URL of the object store, which clients must be able to"
        " reach; otherwise the API server streams them.",
    )
    ledger_listen: bool = Field(
        True,
        description="Whether waiters LISTEN for changes of the ledger; otherwise they poll once a second.",
        json_schema_extra=_SHARED,
    )

    @classmethod
    def over(cls, *layers: Layer, source: str = "") -> Settings:
        """Return the settings: each from the environment, else from the first layer that has it, else its default.

        source: the connection id whose own variables come before all others; one that is empty means the default.
        Raises SettingRefused, which lists every setting that has an invalid value or is in the wrong place.
        """
        problems = [problem for layer in layers for problem in layer.problems()]
        given: dict[str, Any] = {}
        where: dict[str, str] = {}
        for layer in layers:
            for name in layer.values.keys() - given.keys():
                given[name], where[name] = layer.values[name], layer.where.format(name)
        try:
            environment = cls()
            for name in environment.model_fields_set:
                given.pop(name, None)
            its = own_values(source)
            where |= {name: variable(name, source) for name in its}
            settings = cls(**given | {name: value or cls.model_fields[name].default for name, value in its.items()})
        except ValidationError as error:
            problems += refusals(error, where)
        if problems:
            raise SettingRefused(listed("settings cannot be used", problems))
        return settings

    @property
    def allowed(self) -> tuple[str, ...]:
        """The tables and columns that may be absent."""
        return tuple(name.strip() for name in self.allow_absent.split(",") if name.strip())

    def required(self, field: str) -> str:
        """Return the value of a setting without a default. If it is unset, raise SettingMissing with its variable."""
        value = str(getattr(self, field))
        if not value:
            description = type(self).model_fields[field].description
            raise SettingMissing(f"{variable(field)} is not set. {description} Set it in the environment of the tasks.")
        return value


_EXTRAS: Mapping[str, Mapping[str, Any]] = {
    name: field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    for name, field in Settings.model_fields.items()
}

ENVIRONMENT_ONLY: Mapping[str, str] = {
    name: str(extra["environment_only"]) for name, extra in _EXTRAS.items() if "environment_only" in extra
}
"""The settings that only the environment may set, and why."""

SHARED = frozenset(name for name, extra in _EXTRAS.items() if "shared" in extra)
"""The settings that hold for all sources, so that none may have its own."""

PER_SOURCE = frozenset(name for name, extra in _EXTRAS.items() if "per_source" in extra)
"""The settings about what is in a source: those of the default one must not count for another."""


def refusals(error: ValidationError, where: Mapping[str, str] | None = None) -> list[str]:
    """Return one line for each setting with an invalid value. where: the places of those not in the environment."""
    found = {str(one["loc"][0]): one for one in error.errors(include_url=False)}
    return [
        f"{(where or {}).get(name, variable(name))} {_rule(one)}; got {one['input']!r}" for name, one in found.items()
    ]


def _rule(error: ErrorDetails) -> str:
    """Return the rule that a value violates, in our own words if there are any for this type of error."""
    context = {name: _plain(value) for name, value in error.get("ctx", {}).items()}
    rule = _RULES.get(error["type"])
    return f"is invalid ({error['msg']})" if rule is None else f"must be {rule.format(**context)}"


def _plain(value: object) -> str:
    """Return a number without a superfluous fraction, and a choice of words without quotes.

    >>> _plain(0.0), _plain(512), _plain("'relation' or 'project'")
    ('0', '512', 'relation or project')
    """
    return f"{value:g}" if isinstance(value, float) else str(value).replace("'", "")
