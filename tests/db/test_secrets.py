"""What must not leave: columns that look like secrets, and whatever else the tree does not name."""

from __future__ import annotations

import json
import re

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from project_export.errors import SourceChanged, TreeError
from project_export.sample import schema
from project_export.source import Limits, Session
from project_export.tree import Climb, Form, Key, Lookup, Relation, bind, load, load_all, tables
from project_export.tree.forms import Source
from tests import specimen

TREE = load_all("gitlab")
"""With what each edition exports."""
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
    """Return `table.column` of all whose value leaves, in a key or as a value that children join on."""
    tables_ = {"": relation.table, "root": TREE.root.table}
    tables_ |= {row.name: row.table for row in relation.beside}
    tables_ |= {f"root.{row.name}": row.table for row in TREE.root.beside}
    forms = [form for key in relation.keys for one in variants(key) for form in one.forms]
    found = {f"{value.table}.{value.key}" for _, value in relation.derived if isinstance(value, Climb)}
    for form in [*forms, *(value for _, value in relation.derived if isinstance(value, Form))]:
        sources = [*form.sources, *([form.of] if form.of else [])]
        found |= {name for source in sources for name in of_source(source, tables_)}
    successors = [relation.successor] if relation.successor else []
    return found.union(*(leaving(nested) for one in successors for _, nested in one.walk()))


def variants(key: Key) -> list[Key]:
    return [one for variant in (key, *(edition for _, edition in key.editions)) for one in (variant, *variant.layouts)]


def of_source(source: Source | None, tables_: dict[str, str]) -> set[str]:
    """Return the column that a source is, wherever it is looked up; the number of rows is of no column."""
    if isinstance(source, Lookup):
        return of_source(source.value, {"": source.row.table})
    return set() if source is None else {f"{tables_[source.row]}.{source.column}"}


LEAVING = {column for _, relation in TREE.extended().walk() for column in leaving(relation)}


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


def test_nothing_that_the_tree_does_not_name_is_in_an_export(specimen_template):
    query = SQL("SELECT EXISTS (SELECT FROM {} WHERE {} LIKE '%CANARY%')")
    with psycopg.connect(specimen_template) as conn:
        for table in {relation.table for _, relation in TREE.walk() if relation.table}:
            texts = [column for column in schema.tables()[table] if column.type.partition("(")[0] in TEXT_TYPES]
            for name in (column.name for column in texts if DENY.search(column.name)):
                found = conn.execute(query.format(Identifier(table), Identifier(name))).fetchone()
                assert found == (True,), f"{table}.{name}"
    _, exported = specimen.export(specimen_template)
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
    assert {json.dumps(one["merge_params"]) for one in requests} == {'{"private_token": "abc"}'}
    assert {json.dumps(commit["trailers"]) for commit in commits} == {"{}"}  # whatever is stored, in this layout


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
        pytest.raises(SourceChanged, match=r"box\..* reads boxes\..*, which the source does not have"),
    ):
        bind(tree, session.catalogue(tables(tree)))


@pytest.mark.parametrize("text", ["keys: all", "keys: '*'", "columns: all", "keys: [{'*': all}]", "except: [secret]"])
def test_a_tree_cannot_ask_for_all_columns(tmp_path, text):
    (tmp_path / "strongbox.yaml").write_text(STRONGBOX.format(key="id").replace("keys: [id]", text))
    with pytest.raises(TreeError, match=r"must be a list|has no attribute|must be a mapping"):
        load(str(tmp_path / "strongbox.yaml"))
