"""The export of the specimen, byte by byte. After an intended change: `python -m tests.update`."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from project_export.source import Limits, Reader, Session
from project_export.source.coverage import coverage
from project_export.tree import bind, load, tables
from tests import specimen

GOLDEN = Path(__file__).resolve().parents[1] / "golden"


@pytest.fixture(scope="module")
def exported(specimen_template):
    return specimen.export(specimen_template)[1]


@pytest.mark.parametrize("relation", load("gitlab").names)
def test_a_relation_is_exported_as_its_golden_file_has_it(relation, exported):
    assert exported[relation] == (GOLDEN / f"{relation}.ndjson").read_bytes()


def test_every_golden_file_is_of_a_relation():
    assert {file.stem for file in GOLDEN.glob("*.ndjson")} == set(load("gitlab").names)


def test_the_specimen_has_a_value_for_every_key_that_can_have_one(specimen_template):
    tree = load("gitlab")
    with Session(lambda: psycopg.connect(specimen_template), "test", Limits()) as session:
        bound = bind(tree, session.catalogue(tables(tree)))
        never = {f"{key.path}.{key.key}" for key in coverage(Reader(session, bound, 1), bound) if not key.values}
    assert never == {
        "project.default_branch",
        "merge_requests.source_branch_sha",
        "merge_requests.target_branch_sha",
        "project_members.requested_at",
        "ci_pipelines.stages.bridges.artifacts_expire_at",
    }
