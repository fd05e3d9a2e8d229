"""Exports relation by relation through the API of GitLab's clients."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from project_export.errors import Failure
from tests.runs import attempts, context, held, merge, started, work
from tests.web.api import Api, mounted

ROOT = "/projects/1/export_relations"
PENDING, STARTED, FINISHED, FAILED = -2, 0, 1, -1


@pytest.fixture
def api(generated: str, generated_locations: str, ledger_dsn: str, tmp_path: Path) -> Iterator[Api]:
    """The API over the sample with its files; large relations are split into parts of few records."""
    more = {"part_rows": 5, "units": 2, "locations": generated_locations, "api_exports_per_minute": 0}
    with mounted(context(generated, ledger_dsn, tmp_path / "store", **more)) as api:
        yield api


def statuses(api: Api) -> dict[str, dict[str, Any]]:
    answer = api.get(f"{ROOT}/status")
    assert answer.status_code == 200, answer.text
    return {one["relation"]: one for one in answer.json()}


def download(api: Api, **query: Any) -> bytes:
    answer = api.get(f"{ROOT}/download", params=query, headers={"Accept-Encoding": "gzip"})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/gzip"
    assert answer.headers["content-length"] == str(len(answer.content))
    return answer.content


def records(data: bytes) -> list[Any]:
    return [json.loads(line) for line in gzip.decompress(data).splitlines()]


@pytest.mark.parametrize("body", [{}, {"json": {"batched": True}}, {"data": {"batched": "true"}}], ids=str)
def test_a_post_starts_the_same_kind_of_job_and_every_relation_is_pending(api: Api, body: dict[str, Any]) -> None:
    for _ in range(2):
        answer = api.post(ROOT, **body)
        assert (answer.status_code, answer.json()) == (202, {"message": "202 Accepted"})
    assert [*api.triggered.values()] == [{"project_id": 1, "after_export": "none"}]
    found = statuses(api)
    assert {one["status"] for one in found.values()} == {PENDING}
    assert {"self", "labels", "merge_requests", "uploads", "lfs_objects", "repository", "design"} <= set(found)
    assert not {"project", "project_members", "wiki_repository", "snippets_repository", "avatar"} & set(found)
    one = api.get(f"{ROOT}/status?relation=labels").json()
    assert one == found["labels"]
    assert api.get("/projects/1/export").json()["export_status"] == "queued"
    assert api.get(f"{ROOT}/download?relation=labels").json() == {"message": "404 Export file not found"}


def test_a_wrong_batched_is_refused(api: Api) -> None:
    answer = api.post(ROOT, json={"batched": "perhaps"})
    assert (answer.status_code, answer.json()) == (400, {"error": "batched is invalid"})
    assert not api.triggered


def test_without_an_export_there_is_nothing_to_fetch(api: Api) -> None:
    assert statuses(api) == {}
    for path in ("status?relation=labels", "download?relation=labels"):
        answer = api.get(f"{ROOT}/{path}")
        assert (answer.status_code, answer.json()) == (404, {"message": "404 Export not found"})


def test_finished_relations_and_their_batches_can_be_fetched(api: Api) -> None:
    created = started(api.ctx)
    with held(api.ctx, created):
        assert work(api.ctx, created) == []
    found = statuses(api)
    assert {one["status"] for one in found.values()} == {FINISHED}
    assert {one["error"] for one in found.values()} == {None}
    issues = found["issues"]
    whole = records(download(api, relation="issues"))
    assert issues["batched"] is True
    assert issues["batches_count"] == len(issues["batches"]) > 1
    assert issues["total_objects_count"] == len(whole) == sum(one["objects_count"] for one in issues["batches"])
    assert [one["batch_number"] for one in issues["batches"]] == [*range(1, issues["batches_count"] + 1)]
    in_batches: list[Any] = []
    for batch in issues["batches"]:
        one = records(download(api, relation="issues", batched=True, batch_number=batch["batch_number"]))
        assert len(one) == batch["objects_count"]
        in_batches += one
    assert in_batches == whole
    merge(api.ctx, created)
    assert records(download(api, relation="issues")) == whole
    assert len(records(download(api, relation="self"))) == 1
    assert found["auto_devops"]["batched"] is False
    assert "batches" not in found["auto_devops"]
    with tarfile.open(fileobj=io.BytesIO(download(api, relation="uploads"))) as tar:
        assert tar.getnames()


def test_a_repository_is_a_tar_of_its_bundle(api: Api) -> None:
    created = started(api.ctx, "repository")
    with held(api.ctx, created):
        assert work(api.ctx, created) == []
    with tarfile.open(fileobj=io.BytesIO(download(api, relation="repository"))) as tar:
        (member,) = (one for one in tar.getmembers() if one.isfile())
        file = tar.extractfile(member)
        assert file is not None
        assert (member.name, file.read(16)) == ("./project.bundle", b"# v2 git bundle\n")


def test_batches_and_relations_that_do_not_exist_are_refused_in_gitlabs_words(api: Api) -> None:
    created = started(api.ctx, "labels", "issues", "auto_devops")
    with held(api.ctx, created):
        assert work(api.ctx, created) == []
    refused: list[tuple[dict[str, Any], int, dict[str, str]]] = [
        ({}, 400, {"error": "relation is missing"}),
        ({"relation": "no_such"}, 400, {"error": "relation does not have a valid value"}),
        ({"relation": "project_members"}, 400, {"error": "relation does not have a valid value"}),
        ({"relation": "milestones"}, 404, {"message": "404 Export not found"}),
        (
            {"relation": "issues", "batched": True},
            400,
            {"error": "batched, batch_number provide all or none of parameters"},
        ),
        (
            {"relation": "issues", "batch_number": 1},
            400,
            {"error": "batched, batch_number provide all or none of parameters"},
        ),
        ({"relation": "issues", "batched": True, "batch_number": 999}, 404, {"message": "404 Batch not found"}),
        ({"relation": "issues", "batched": True, "batch_number": 0}, 400, {"error": "batch_number is invalid"}),
        (
            {"relation": "auto_devops", "batched": True, "batch_number": 1},
            400,
            {"message": "400 Bad request - Export is not batched"},
        ),
    ]
    for query, status, body in refused:
        answer = api.get(f"{ROOT}/download", params=query)
        assert (answer.status_code, answer.json()) == (status, body), query


def test_a_relation_in_work_and_a_failed_one_are_told_apart(api: Api) -> None:
    created = started(api.ctx, "labels", "milestones", consistency="relation")
    claim = api.ctx.ledger.claims.claim(created.job_id, 0, "dag/run/0/1")
    assert claim is not None
    found = statuses(api)
    assert sorted(one["status"] for one in found.values()) == [PENDING, PENDING, STARTED]
    api.ctx.ledger.claims.fail_attempt(claim, "no right to it", final=True)
    api.ctx.ledger.jobs.fail(created.job_id, [Failure(claim.relation, 1, "no right to it")])
    name = {"project": "self"}.get(claim.relation, claim.relation)
    failed = statuses(api)[name]
    assert failed["status"] == FAILED
    assert "no right to it" in failed["error"]
    assert api.get(f"{ROOT}/download", params={"relation": name}).json() == {"message": "404 Export file not found"}
    assert attempts(api.ctx, created)[claim.relation] == 1


def test_a_job_that_never_started_has_failed_for_each_relation(api: Api) -> None:
    assert api.post(ROOT).status_code == 202
    job = api.ctx.ledger.queries.jobs()[0].job
    api.ctx.ledger.jobs.fail(job.id, [Failure("*", 0, "Airflow refused it")])
    found = statuses(api)
    assert {(one["status"], one["error"]) for one in found.values()} == {(FAILED, "Airflow refused it")}
