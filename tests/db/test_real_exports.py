"""Archives that GitLab wrote come back as they were: loaded into the sample, exported, compared record by record."""

from __future__ import annotations

import csv
import json
import tarfile
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from tests.archives import exported, load_into, read_archive, write_archive
from tests.runs import context, merge, path_of, started, work

ARCHIVES = (
    "gitlab-13.5-issues-and-merge-requests",
    "gitlab-16.11-offset-timestamps",
    "gitlab-17.1-ci-pipelines",
    "gitlab-18.9-new-project",
)

COMMITS = "merge_requests.merge_request_diff.merge_request_diff_commits"
BEYOND = {
    # The list has the old keys as gone, and its README wants their values in the form of today (checked below).
    ("gitlab-13.5-issues-and-merge-requests", "export", f"{COMMITS}.commit_author"),
    ("gitlab-13.5-issues-and-merge-requests", "export", f"{COMMITS}.committer"),
}
"""Differences that the list of expected ones does not have, with the reasons."""

EDITIONS = {"gitlab-18.9-new-project": "ee"}
"""Which edition wrote an archive, where that makes a difference: GitLab.com's."""

CAME_LATER = {("gitlab-16.11-offset-timestamps", "user_contributions.ndjson")}
"""Files that the GitLab of that version did not write yet."""


@pytest.fixture
def real_exports(facts_folder: Path) -> Path:
    folder = facts_folder / "real-exports"
    if not folder.is_dir():
        pytest.skip(f"no real exports at {folder}")
    return folder


@pytest.mark.parametrize("name", ARCHIVES)
def test_a_real_export_comes_back_with_no_other_differences_than_expected(name, real_exports, sample_database):
    archive = real_exports / f"{name}.tar.gz"
    before = read_archive(archive)
    after = exported(sample_database, load_into(sample_database, archive), EDITIONS.get(name, ""))
    unexpected = set(differences(before, after, "")) - expected(real_exports, name)
    assert not unexpected, "\n".join(f"{only_in}: {path}" for only_in, path in sorted(unexpected))


def test_real_issues_of_a_modern_version_come_back_with_no_other_differences_than_its_old_keys(
    real_exports, sample_database, tmp_path
):
    lines = (real_exports / "records-17.1-issues.ndjson").read_text(encoding="utf-8").splitlines()
    before = [json.loads(line, object_hook=with_one_name) for line in lines]
    archive = write_archive(tmp_path / "issues.tar.gz", {"issues": before})
    records = exported(sample_database, load_into(sample_database, archive))["issues"]
    assert len(before) == 4
    after = sorted(records, key=lambda record: [old["iid"] for old in before].index(record["iid"]))
    assert set(differences(before, after, "issues")) == {
        ("archive", "issues.external_key"),
        ("archive", "issues.notes.attachment"),
        ("export", "issues.design_versions.namespace_id"),
    }
    for old, new in zip(before, after, strict=True):
        assert list(new) == [key for key in old if key != "external_key"]
        assert list(new)[-1] == "work_item_type"


@pytest.mark.parametrize("name", ARCHIVES[1:])  # GitLab wrote another layout before 16.11
def test_an_export_has_the_files_that_the_real_one_has(
    name, newer, real_exports, sample_database, ledger_dsn, tmp_path
):
    archive = real_exports / f"{name}.tar.gz"
    ctx = context(sample_database, ledger_dsn, tmp_path, units=1)
    created = started(ctx, project_id=load_into(sample_database, archive))
    assert work(ctx, created) == []
    before, after = layout(archive), layout(path_of(merge(ctx, created)))
    paid = {f"{path}.ndjson" for only_in, path in expected(real_exports, name) if only_in == "archive"}
    assert {file: kind for file, kind in before.items() if file not in paid} == {
        file: kind
        for file, kind in after.items()
        if (name, file) not in CAME_LATER and not newer(file.removesuffix(".ndjson"))
    }


def test_a_differing_value_order_or_length_is_found():
    before = {"a": [{"id": 1, "at": "2024-01-01T02:00:00.000+02:00", "n": [{"x": 1}, {"x": 2}]}]}
    assert not list(
        differences(before, {"a": [{"id": 1, "at": "2024-01-01T00:00:00.000Z", "n": [{"x": 1}, {"x": 2}]}]}, "")
    )
    after = {"a": [{"id": 2, "at": "2024-01-01T00:00:00.001Z", "n": [{"x": 2}, {"x": 1}], "new": 1}]}
    assert sorted(set(differences(before, after, ""))) == [
        ("export", "a.new"),
        ("value", "a.at"),
        ("value", "a.id"),
        ("value", "a.n.x"),
    ]
    assert list(differences(before, {"a": []}, "")) == [("length", "a")]


def test_old_jobs_come_back_by_their_type(real_exports, sample_database):
    archive = real_exports / "gitlab-13.5-issues-and-merge-requests.tar.gz"
    before, after = read_archive(archive), exported(sample_database, load_into(sample_database, archive))
    kinds = {"builds": "Ci::Build", "generic_commit_statuses": "GenericCommitStatus", "bridges": "Ci::Bridge"}
    compared = 0
    for old, new in zip(before["ci_pipelines"], after["ci_pipelines"], strict=True):
        for old_stage, new_stage in zip(old["stages"], new["stages"], strict=True):
            for key, kind in kinds.items():
                jobs = [job for job in old_stage["statuses"] if job["type"] == kind]
                for old_job, new_job in zip(jobs, new_stage[key], strict=True):
                    assert {name: old_job[name] for name in new_job} == new_job
                    compared += 1
    assert compared == 64


def test_old_commit_authors_come_back_as_records(real_exports, sample_database):
    archive = real_exports / "gitlab-13.5-issues-and-merge-requests.tar.gz"
    before, after = read_archive(archive), exported(sample_database, load_into(sample_database, archive))
    compared = 0
    for old, new in zip(before["merge_requests"], after["merge_requests"], strict=True):
        commits = [request["merge_request_diff"]["merge_request_diff_commits"] for request in (old, new)]
        for old_commit, new_commit in zip(*commits, strict=True):
            for flat, nested in (("author", "commit_author"), ("committer", "committer")):
                assert new_commit[nested] == {"name": old_commit[f"{flat}_name"], "email": old_commit[f"{flat}_email"]}
            compared += 1
    assert compared == 4


def with_one_name(record: dict[str, Any]) -> dict[str, Any]:
    """Give a note's author, a milestone and a design the same texts everywhere: they were replaced one by one."""
    if "start_date" in record:
        return record | {"title": f"milestone {record['iid']}", "description": ""}
    if "filename" in record:
        return record | {"filename": f"design {record['iid']}.png"}
    return record | {"author": {"name": f"user {record['author_id']}"}} if "author" in record else record


def layout(archive: Path) -> dict[str, str]:
    """Return what the files of an archive's tree are: empty, null, one value without a newline, or lines."""
    kinds = {}
    with tarfile.open(archive) as tar:
        for member in tar:
            if member.isfile() and "tree/" in member.name:
                data = tar.extractfile(member).read()
                kinds[Path(member.name).name] = (
                    "empty" if not data else "null" if data == b"null" else "lines" if data.endswith(b"\n") else "one"
                )
    return kinds


def expected(folder: Path, archive: str) -> set[tuple[str, str]]:
    with (folder / "expected.tsv").open(encoding="utf-8", newline="") as file:
        rows = [(row["archive"], row["only_in"], row["path"]) for row in csv.DictReader(file, delimiter="\t")]
    return {(only_in, path) for name, only_in, path in {*rows, *BEYOND} if name == archive}


def differences(before: Any, after: Any, path: str) -> Iterator[tuple[str, str]]:
    """Yield (archive, export, value or length; dotted path) of each difference; times are compared as instants."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in before.keys() | after.keys():
            here = f"{path}.{key}".removeprefix(".")
            if key not in after:
                yield "archive", here
            elif key not in before:
                yield "export", here
            else:
                yield from differences(before[key], after[key], here)
    elif isinstance(before, list) and isinstance(after, list):
        if len(before) != len(after):
            yield "length", path
        for one, other in zip(before, after, strict=False):
            yield from differences(one, other, path)
    elif type(before) is not type(after) or instant(before) != instant(after):
        yield "value", path


def instant(value: Any) -> Any:
    if not isinstance(value, str) or len(value) < 24:
        return value
    try:
        return datetime.strptime(value, "%Y-%m-%dT%H:%M:%S.%f%z").astimezone(timezone.utc)
    except ValueError:
        return value
