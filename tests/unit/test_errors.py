"""Errors form one tree, which its docstring draws, and say what a retry can do."""

from __future__ import annotations

import errno
import inspect
import re

from project_export import errors
from project_export.errors import WHOLE, Failure, PartCorrupt, ProjectExportError, RelationsFailed, SourceBusy, nearest


def classes() -> dict[str, type[ProjectExportError]]:
    found = inspect.getmembers(errors, inspect.isclass)
    return {name: kind for name, kind in found if issubclass(kind, ProjectExportError)}


def test_the_docstring_draws_every_class_under_its_parent() -> None:
    drawn: dict[str, str] = {}
    above: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        if match := re.match(r"([ │├└─]*)(\w+)(  |$)", line):
            depth = len(match[1]) // 4
            above[depth:] = [match[2]]
            drawn[match[2]] = above[depth - 1] if depth else "Exception"
    assert drawn == {name: kind.__base__.__name__ for name, kind in classes().items() if kind.__base__}


def test_every_error_says_whether_a_retry_helps() -> None:
    kinds = (errors.Permanent, errors.Retryable, errors.Stopped)
    for kind in classes().values():
        if kind is not ProjectExportError:
            assert sum(issubclass(kind, group) for group in kinds) == 1, kind


def test_the_failure_of_a_job_lists_each_relation_with_its_error() -> None:
    failed = [Failure("issues", 3, "no right", "42501"), Failure("labels", 1, "part 1 of 2: gone", at="12:00")]
    error = RelationsFailed([*failed, Failure(WHOLE, 0, "4 others were cancelled")])
    assert str(error).splitlines() == [
        "2 relation(s) failed, so no archive was published:",
        "  issues [42501] (attempt 3): no right",
        "  labels (attempt 1): part 1 of 2: gone (at 12:00)",
        "  4 others were cancelled",
    ]


def test_errors_carry_what_their_handlers_need() -> None:
    assert SourceBusy("busy", "57014").sqlstate == "57014"
    corrupt = PartCorrupt("issues", 2, "another CRC")
    assert (corrupt.relation, corrupt.part, str(corrupt)) == ("issues", 2, "another CRC")


def test_a_code_is_what_the_database_or_the_system_said_or_the_name_of_the_class() -> None:
    assert errors.SourceRefused("no right", "42501").code == "42501"
    assert SourceBusy("gone").code == "SourceBusy"
    full = errors.StoreRefused("no space")
    full.__cause__ = OSError(errno.ENOSPC, "No space left on device")
    assert full.code == "ENOSPC"
    assert errors.foreseen(KeyError("iid")).code == "Unforeseen"


def test_the_nearest_names_are_at_most_three() -> None:
    assert nearest("note", ["notes", "node", "nota", "noted", "x"]).count(",") == 2
