"""Archives broken on purpose: verify names each kind by its code, and a checker written by others agrees."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from project_export.archive.verify import Report, verify
from project_export.formats import Limits
from project_export.formats.gitlab import LIMITS as GITLAB
from tests.unit.archive_breaks import CONTAINER, FILES, HARMLESS, LINES, LOOSER, RECORDS, STRICTER, Break
from tests.unit.archive_files import good_files, packed
from tests.unit.archive_model_breaks import DROPPED, MODELS, TAKEN, WARNED

Check = Callable[[Break], Report]
BROKEN = [*CONTAINER, *FILES, *LINES, *RECORDS]


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where each test puts its archive."""
    return tmp_path_factory.mktemp("breaks") / "project.tar.gz"


@cache
def data_of(one: Break) -> bytes:
    return one.data()


@pytest.fixture(scope="module")
def report_of(archive: Path) -> Check:
    """Check a broken archive by GitLab's limits, once for all tests."""

    @cache
    def report_of(one: Break) -> Report:
        archive.write_bytes(data_of(one))
        return verify(archive, limits=GITLAB)

    return report_of


def names(one: Break) -> str:
    return one.name


@pytest.fixture(scope="module")
def other(facts: Path) -> Callable[..., bool]:
    """Whether the other checker finds errors in an archive; it takes options of its command line."""
    spec = importlib.util.spec_from_file_location("check_archive", facts / "tools" / "check_archive.py")
    assert spec and spec.loader
    checker = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(checker)

    def finds_errors(archive: Path, *options: str) -> bool:
        code = checker.main(["--quiet", *options, str(archive)])
        assert code in (0, 1)
        return code == 1

    return finds_errors


@pytest.mark.parametrize("one", [*BROKEN, *STRICTER, *MODELS], ids=names)
def test_a_broken_archive_has_a_problem_of_its_code(report_of: Check, one: Break) -> None:
    assert one.code in {problem.code for problem in report_of(one).problems}


@pytest.mark.parametrize("one", [*FILES, *LINES, *RECORDS, *STRICTER, *MODELS], ids=names)
def test_what_is_not_broken_is_no_problem(report_of: Check, one: Break) -> None:
    problems = report_of(one).problems
    assert len({problem.code for problem in problems}) <= 2
    assert len({problem.where.partition(":")[0] for problem in problems}) == 1


@pytest.mark.parametrize("one", [*HARMLESS, *TAKEN, *LOOSER], ids=names)
def test_what_harms_nobody_is_no_problem(report_of: Check, one: Break) -> None:
    report = report_of(one)
    assert (report.problems, report.warnings) == ((), ())


@pytest.mark.parametrize("one", [*WARNED, *DROPPED], ids=names)
def test_what_gitlab_itself_may_write_is_a_warning(archive: Path, one: Break) -> None:
    archive.write_bytes(data_of(one))
    report = verify(archive)
    assert (report.problems, {warning.code for warning in report.warnings}) == ((), {one.code})


@pytest.mark.parametrize("one", [one for one in WARNED if one.code == "long"], ids=names)
def test_a_value_over_a_model_s_limit_is_a_problem_where_limits_are_asked_for(report_of: Check, one: Break) -> None:
    report = report_of(one)
    assert ([problem.code for problem in report.problems], report.warnings) == (["limit"], ())


@pytest.mark.parametrize("one", [one for one in MODELS if one.code == "refused"], ids=names)
def test_what_the_root_s_model_refuses_is_said_to_end_the_import(report_of: Check, one: Break) -> None:
    assert all("the whole import fails" in problem.message for problem in report_of(one).problems)


@pytest.mark.heavy
@pytest.mark.parametrize("one", [*BROKEN, *HARMLESS, *TAKEN], ids=names)
def test_the_other_checker_agrees(other: Callable[..., bool], archive: Path, one: Break) -> None:
    archive.write_bytes(data_of(one))
    assert other(archive) == (one.code is not None)


@pytest.mark.heavy
@pytest.mark.parametrize("one", WARNED, ids=names)
def test_the_other_checker_sees_nothing_in_what_is_a_warning(
    other: Callable[..., bool], archive: Path, one: Break
) -> None:
    archive.write_bytes(data_of(one))
    assert not other(archive)


@pytest.mark.heavy
@pytest.mark.parametrize("one", DROPPED, ids=names)
def test_the_other_checker_finds_dropped_keys_wrong(other: Callable[..., bool], archive: Path, one: Break) -> None:
    archive.write_bytes(data_of(one))
    assert other(archive)


@pytest.mark.heavy
@pytest.mark.parametrize("one", [*STRICTER, *MODELS, *LOOSER], ids=names)
def test_the_other_checker_differs_where_it_is_said(other: Callable[..., bool], archive: Path, one: Break) -> None:
    archive.write_bytes(data_of(one))
    assert other(archive) != (one.code is not None)


@pytest.mark.heavy
def test_the_other_checker_agrees_on_limits(other: Callable[..., bool], archive: Path) -> None:
    archive.write_bytes(packed(good_files()))
    for line, unpacked in [(50 << 20, 25 << 30), (1000, 25 << 30), (50 << 20, 1000)]:
        limits = Limits(line=line, unpacked=unpacked, stored=5 << 30)
        options = (f"--max-line={line}", f"--max-total={unpacked}")
        assert other(archive, *options) != verify(archive, limits=limits).ok


@pytest.mark.heavy
def test_the_other_checker_agrees_on_real_exports(other: Callable[..., bool], facts_folder: Path) -> None:
    archives = sorted((facts_folder / "real-exports").glob("*.tar.gz"))
    assert archives
    for real in archives:
        assert other(real) != verify(real, limits=GITLAB).ok


def test_more_than_forty_kinds_are_tried() -> None:
    kinds = [*BROKEN, *MODELS, *STRICTER, *LOOSER, *WARNED, *DROPPED, *HARMLESS, *TAKEN]
    assert len({one.name for one in kinds}) == len(kinds)
    assert len(BROKEN) >= 40
