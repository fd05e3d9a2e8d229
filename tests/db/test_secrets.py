"""What must not leave: columns that look like secrets, and whatever else the tree does not name."""

from __future__ import annotations

import json
import re

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from project_export.errors import TreeError
from project_export.sample import schema
from project_export.source import Limits, Session
from project_export.tree import Lookup, Relation, bind, load, tables
from tests import specimen

TREE = load("gitlab")
DENY = re.compile(r"token|secret|encrypted|passw|private_key|otp|salt|webhook|access_key|api_key|credential|signature")
ALLOWED = {
    "projects.require_password_to_approve": "a setting, true or false",
    "project_ci_cd_settings.job_token_scope_enabled": "a setting, true or false",
    "project_ci_cd_settings.inbound_job_token_scope_enabled": "a setting, true or false",
    "project_ci_cd_settings.push_repository_for_job_token_allowed": "a setting, true or false",
    "project_ci_cd_settings.runner_token_expiration_interval": "how long a token lives, in seconds",
    "project_ci_cd_settings.id_token_sub_claim_components": "names of the parts of a claim",
}
"""Columns that match and leave nevertheless, each with the reason."""
TEXT_TYPES = ("text", "character varying")
CANARIES = (b"CANARY", b"CANARY".hex().encode())


def leaving(relation: Relation) -> set[str]:
    """Return `table.column` of all whose value leaves, in a key or by a lookup that children join on."""
    columns = {name for key in relation.keys for name in (key.column, key.fallback) if name}
    found = {f"{relation.table}.{name}" for name in columns}
    for lookup in (*(key.lookup for key in relation.keys), *(value for _, value in relation.derived)):
        if isinstance(lookup, Lookup):
            found.add(f"{lookup.table}.{lookup.column}")
            found |= {f"{relation.table}.{lookup.fallback}"} if lookup.fallback else set()
    successors = [relation.successor] if relation.successor else []
    return found.union(*(leaving(nested) for one in successors for _, nested in one.walk()))


LEAVING = {column for _, relation in TREE.walk() for column in leaving(relation)}


@pytest.mark.parametrize("table", sorted(schema.tables()))
def test_no_column_that_looks_like_a_secret_leaves_unless_it_is_allowed(table):
    names = {f"{table}.{column.name}" for column in schema.tables()[table] if DENY.search(column.name)}
    assert names & LEAVING <= ALLOWED.keys()


def test_every_allowed_column_looks_like_a_secret_and_leaves():
    assert ALLOWED.keys() <= LEAVING
    assert [name for name in ALLOWED if not DENY.search(name.partition(".")[2])] == []


def test_users_leave_with_nothing_but_what_gitlab_gives_away():
    assert {name for name in LEAVING if name.startswith("users.")} == {
        "users.id", "users.username", "users.public_email", "users.name",
    }  # fmt: skip


def test_nothing_that_the_tree_does_not_name_is_in_an_export(server, specimen_template):
    uri = server.uri(specimen_template)
    query = SQL("SELECT EXISTS (SELECT FROM {} WHERE {} LIKE '%CANARY%')")
    with psycopg.connect(uri) as conn:
        for table in {relation.table for _, relation in TREE.walk() if relation.table}:
            texts = [column for column in schema.tables()[table] if column.type.partition("(")[0] in TEXT_TYPES]
            for name in (column.name for column in texts if DENY.search(column.name)):
                found = conn.execute(query.format(Identifier(table), Identifier(name))).fetchone()
                assert found == (True,), f"{table}.{name}"
    _, exported = specimen.export(uri)
    for name, data in exported.items():
        assert [canary for canary in CANARIES if canary in data] == [], name


def test_no_canary_of_the_generator_is_in_an_export(generated):
    _, exported = specimen.export(generated)
    for name, data in exported.items():
        assert [canary for canary in CANARIES if canary in data] == [], name


def test_what_stands_within_a_value_that_the_tree_names_leaves_as_gitlab_has_it(generated_copy):
    with psycopg.connect(generated_copy) as conn:
        conn.execute("UPDATE merge_requests SET merge_params = E'---\\nprivate_token: abc\\n'")
        conn.execute("""UPDATE merge_request_diff_commits SET trailers = '{"private_token": "abc"}'""")
    _, exported = specimen.export(generated_copy)
    requests = [json.loads(line) for line in exported["merge_requests"].splitlines()]
    commits = [commit for one in requests for commit in one["merge_request_diff"]["merge_request_diff_commits"]]
    values = [*(one["merge_params"] for one in requests), *(commit["trailers"] for commit in commits)]
    assert {json.dumps(value) for value in values} <= {'{"private_token": "abc"}', "{}"}
    assert {"private_token": "abc"} in values


STRONGBOX = """
name: strongbox
root: {{relation: box, table: boxes, keys: [{key}]}}
relations: []
"""


@pytest.mark.parametrize(
    "key",
    ["'*'", "t", "t.*", "boxes", "row_to_json", "to_json", "jsonb_build_object", "ctid", "tableoid", "secret::text",
     "'id\", t.\"secret'", "{all: {column: '*'}}", "{all: {from: boxes, match: {id: id}, column: l}}",
     "{all: {from: boxes, match: {id: id}, column: to_json}}"],
)  # fmt: skip
def test_no_name_but_a_column_s_own_brings_it_out(database, tmp_path, key):
    with psycopg.connect(database) as conn:
        conn.execute("CREATE TABLE boxes AS SELECT 1 AS id, 'CANARY' AS secret")
    (tmp_path / "strongbox.yaml").write_text(STRONGBOX.format(key=key))
    tree = load(str(tmp_path / "strongbox.yaml"))
    with (
        Session(lambda: psycopg.connect(database), "test", Limits()) as session,
        pytest.raises(TreeError, match="the source has no column"),
    ):
        bind(tree, session.catalogue(tables(tree)))


@pytest.mark.parametrize("text", ["keys: all", "keys: '*'", "columns: all", "keys: [{'*': all}]", "except: [secret]"])
def test_a_tree_cannot_ask_for_all_columns(tmp_path, text):
    (tmp_path / "strongbox.yaml").write_text(STRONGBOX.format(key="id").replace("keys: [id]", text))
    with pytest.raises(TreeError, match=r"must be a list|has no attribute|must be a mapping"):
        load(str(tmp_path / "strongbox.yaml"))
