"""Check everything that an export needs, and report all problems at once instead of one at a time.

A check is a function that raises what is wrong. The list of checks is their order, and says which checks depend on
others. Checks only read, except for a probe in the store.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cached_property

from project_export.errors import (
    LedgerBusy,
    LedgerOutdated,
    LedgerRefused,
    NotReady,
    Permanent,
    ProjectExportError,
    ProjectNotFound,
    SettingMissing,
    SourceBusy,
    SourceChanged,
    SourceRefused,
    StoreRefused,
    StoreUnusable,
    TemporaryRefused,
    TreeError,
    foreseen,
    listed,
)
from project_export.settings import REQUIRED
from project_export.source import Reader, Session, Tables
from project_export.source.privileges import lacking
from project_export.steps.context import Context
from project_export.steps.planning import allowed, bound_tree
from project_export.tree import BoundTree
from project_export.tree.reads import columns

SET_UP = (
    *(SettingMissing, LedgerOutdated, LedgerRefused, LedgerBusy, StoreRefused, StoreUnusable),
    *(TreeError, SourceChanged, SourceRefused, SourceBusy, ProjectNotFound, TemporaryRefused),
)
"""What can be wrong with the set-up of an installation; a check finds each of them."""


@dataclass(frozen=True)
class Finding:
    """The outcome of one check: its error, or the check that must succeed before it; neither if all is well.

    warning: what is well, but costs more than expected; empty if there is nothing.
    """

    check: str
    error: ProjectExportError | None = None
    needs: str | None = None
    warning: str = ""

    def __str__(self) -> str:
        said = self.error or (self.needs and f"not checked, because it needs: {self.needs}") or self.warning
        return f"{self.check}: {said}" if said else self.check


class _Look:
    """What checks share: the context, one session on the source, and the bound tree."""

    def __init__(self, ctx: Context, project_id: int | None, opened: ExitStack) -> None:
        self.ctx = ctx
        self.project_id = project_id
        self._opened = opened

    @cached_property
    def session(self) -> Session:
        """A session; each check that uses it runs inside `attempt`, which keeps it usable."""
        return self._opened.enter_context(self.ctx.session("check"))

    @cached_property
    def bound(self) -> BoundTree:
        """The tree, bound to this source."""
        return bound_tree(self.ctx.tree, self.session, self.ctx.settings)


@dataclass(frozen=True)
class _Check:
    """One check: it raises what is wrong.

    needs: checks that must succeed first. hinges: checks whose failure may be the reason for an error of this one.
    warning: see `Finding`.
    """

    name: str
    look: Callable[[_Look], object]
    needs: tuple[str, ...] = ()
    hinges: tuple[str, ...] = ()
    warning: Callable[[_Look], str] = lambda _: ""


def _privileges(look: _Look) -> None:
    unread, reads = lacking(look.session, look.bound), columns(look.bound)
    if unread:
        what = [
            table if len(its) == len(reads[table]) else f"{table} ({', '.join(its)})" for table, its in unread.items()
        ]
        message = f"this role may not read {len(unread)} table(s), or columns of them: {', '.join(what)}"
        raise SourceRefused(f"{message}. Run the statements that `project-export tree grants` prints.")


def _rows(look: _Look) -> None:
    Tables(look.session, look.bound, allowed(look.ctx.settings)).require(look.bound.tree.exported)


def _project(look: _Look) -> None:
    assert look.project_id is not None
    Reader(look.session, look.bound, look.project_id)


def _setting(name: str) -> _Check:
    return _Check(f"setting {name}", lambda look: look.ctx.settings.required(name))


LEDGER, STORE, SOURCE, TREE, SCHEMA = "ledger", "store", "source", "tree", "tables"
TEMPORARY = "temporary folder"
PRIVILEGES, ROWS, PROJECT = "privileges", "hidden rows", "project"
OF_SOURCE = (SOURCE, SCHEMA, PRIVILEGES, ROWS, PROJECT)
_STORE = "setting store"

_CHECKS = (
    _Check(LEDGER, lambda look: look.ctx.ledger.check()),
    _Check(STORE, lambda look: look.ctx.store.check(), (_STORE,)),
    _Check(TEMPORARY, lambda look: look.ctx.temporary().require(), warning=lambda look: look.ctx.temporary().warning),
    _Check(SOURCE, lambda look: look.session),
    _Check(TREE, lambda look: look.ctx.tree),
    _Check(SCHEMA, lambda look: look.bound, (SOURCE, TREE)),
    _Check(PRIVILEGES, _privileges, (SCHEMA,)),
    _Check(ROWS, _rows, (SCHEMA,)),
    _Check(PROJECT, _project, (SCHEMA, PRIVILEGES)),
)


def _checks(ctx: Context) -> Iterator[_Check]:
    """Yield the checks, settings first. The settings that a format needs are unknown if the tree cannot be read."""
    required: tuple[str, ...] = REQUIRED
    version = ""
    with suppress(TreeError):
        required, version = ctx.required, ctx.tree.format.version
    yield from map(_setting, required)
    yield from (replace(check, hinges=(f"setting {version}",)) if check.name == SCHEMA else check for check in _CHECKS)


def preflight(ctx: Context, project_id: int | None = None, without: Collection[str] = ()) -> Iterator[Finding]:
    """Yield the outcome of each check. project_id: of a project that must exist. without: checks to skip."""
    with ExitStack() as opened:
        look = _Look(ctx, project_id, opened)
        bad: dict[str, str] = {}
        for check in _checks(ctx):
            if check.name in without or (check.name == PROJECT and project_id is None):
                continue
            needs = next((bad[name] for name in check.needs if name in bad), None)
            finding = Finding(check.name, needs=needs) if needs else _found(check, look)
            hinge = next((bad[name] for name in check.hinges if name in bad), None)
            if finding.error and hinge:
                finding = Finding(check.name, needs=hinge)
            if finding.error or finding.needs:
                bad[check.name] = finding.needs or check.name
            yield finding


def _found(check: _Check, look: _Look) -> Finding:
    try:
        if SCHEMA in (check.name, *check.needs):
            with look.session.attempt(check.name):
                check.look(look)
        else:
            check.look(look)
    except Exception as error:  # noqa: BLE001 - any error is a finding
        return Finding(check.name, foreseen(error))
    return Finding(check.name, warning=check.warning(look))


@contextmanager
def all_at_once(ctx: Context, project_id: int, without: Collection[str] = ()) -> Iterator[None]:
    """If the block fails because of the set-up, find all other problems of the set-up as well.

    Raises the block's error if there are no others, or if all of them may pass by themselves; otherwise NotReady, which
    lists them.
    """
    try:
        yield
    except SET_UP as error:
        wrong = [finding for finding in preflight(ctx, project_id, without) if finding.error]
        permanent = any(isinstance(finding.error, Permanent) for finding in wrong)
        if len(wrong) < 2 or not permanent:
            raise
        raise NotReady(listed(f"{len(wrong)} things are missing for an export", wrong)) from error
