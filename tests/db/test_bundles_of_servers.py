"""Repositories of a git server: bundles, and values of records, with a token that is in no log, error or ledger."""

from __future__ import annotations

import dataclasses
import json
import logging
import re
import shutil
from pathlib import Path

import psycopg
import pytest

from project_export.credentials import Credentials, Login
from project_export.errors import RelationsFailed
from project_export.steps import Context
from tests.attic import Attic, Exported
from tests.git_server import SECRET, Server
from tests.repositories import NAME, cloned, refs

pytestmark = pytest.mark.heavy


class Token(Credentials):
    """Credentials with one login. asked: how often it was asked for."""

    def __init__(self, user: str, password: str) -> None:
        self._login = Login(user, password)
        self.asked = 0

    def login(self) -> Login:
        self.asked += 1
        return self._login


@pytest.fixture
def attic(database: str, ledger_dsn: str, tmp_path: Path) -> Attic:
    attic = Attic(database, ledger_dsn, tmp_path).make()
    attic.sql("UPDATE attics SET diary = %s", NAME.removesuffix(".git"))
    tree = attic.folder / "attic.yaml"
    text = tree.read_text().replace("keys: [name]}", "keys: [name, {branch: {column: shelf, head: diary}}]}")
    tree.write_text(text.replace("name: diary.bundle\n", 'name: diary.bundle\n      url: "{diary}.git"\n'))
    return attic


def context(attic: Attic, server: Server, credentials: Credentials, **settings: object) -> Context:
    locations = f"boxes={attic.boxes},shelves={server.url('')}"
    return dataclasses.replace(attic.context(locations=locations, units=1, **settings), credentials=credentials)


@pytest.mark.parametrize("user", ["", "oauth2"])
def test_bundle_and_default_branch_are_those_of_the_server(attic, git_server, tmp_path, user):
    token = Token(user, SECRET)
    exported = attic.export(context(attic, git_server, token))
    contents = exported.contents()
    assert cloned(contents["diary.bundle"], tmp_path) == refs(git_server.root / NAME)
    assert json.loads(contents["tree/attic.json"])["branch"] == "main"
    assert token.asked == 2
    assert not any("s3cr" in line for line in git_server.seen)


def test_a_token_that_is_refused_is_in_no_log_and_no_error(attic, git_server, caplog):
    caplog.set_level(logging.DEBUG, "project_export")
    with pytest.raises(RelationsFailed) as caught:
        attic.export(context(attic, git_server, Token("jane", "glpat-CANARY/1"), max_attempts=1))
    assert {failure.relation for failure in caught.value.failures} == {"attic", "diary"}
    assert all("git cannot fetch https://" in failure.message for failure in caught.value.failures)
    with psycopg.connect(attic.ledger_dsn) as conn:
        rows = conn.execute("SELECT to_jsonb(j)::text FROM project_export_job j").fetchall()
        rows += conn.execute("SELECT to_jsonb(r)::text FROM relation_export r").fetchall()
    for text in (caplog.text, str(caught.value), str(rows)):
        assert "cannot fetch" in text
        assert not re.search("CANARY|jane:", text)


def test_a_repository_that_the_source_does_not_have_is_not_asked_for(attic, git_server):
    shutil.rmtree(git_server.root / NAME)
    attic.sql("UPDATE attics SET diary = NULL, shelf = 'as stored'")
    token = Token("", SECRET)
    exported: Exported = attic.export(context(attic, git_server, token))
    assert "diary.bundle" not in exported.contents()
    assert json.loads(exported.contents()["tree/attic.json"])["branch"] == "as stored"
    assert (token.asked, git_server.paths) == (0, [])
