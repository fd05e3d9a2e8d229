"""What `python -m tests.update` reads of GitLab's statements, and what it writes for the importer."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from project_export.archive.importer import SHIPPED
from tests.update import importer, structure

SQL = """\
CREATE TABLE topics (
    id bigint NOT NULL,
    name text COLLATE "C" NOT NULL,
    state smallint DEFAULT 0 NOT NULL,
    path character varying DEFAULT ''::character varying NOT NULL,
    ids bigint[] DEFAULT '{}'::bigint[],
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    rate numeric(10,2),
    project_id bigint,
    CONSTRAINT check_26753f2c69 CHECK ((char_length(name) <= 255)),
    CONSTRAINT check_7a90d4c757 CHECK (((state > 0) OR (rate IS NULL)))
);

CREATE TABLE topics_archived (
    id bigint NOT NULL
);

ALTER TABLE ONLY topics ALTER COLUMN id SET DEFAULT nextval('topics_id_seq'::regclass);

ALTER TABLE ONLY topics
    ADD CONSTRAINT topics_pkey PRIMARY KEY (id);

ALTER TABLE ONLY topics
    ADD CONSTRAINT topics_name_key UNIQUE (name, path);

CREATE UNIQUE INDEX index_topics_on_path ON topics USING btree (path, name DESC NULLS LAST) WHERE (state > 0);

CREATE INDEX index_topics_on_rate ON topics USING btree (rate) INCLUDE (id);

CREATE INDEX index_topics_on_lower_name ON topics USING btree (lower(name));

CREATE INDEX index_topics_on_name_trigram ON topics USING gin (name gin_trgm_ops);

ALTER TABLE ONLY topics
    ADD CONSTRAINT fk_1 FOREIGN KEY (project_id) REFERENCES projects(id) ON DELETE CASCADE;

ALTER TABLE ONLY topics
    ADD CONSTRAINT fk_2 FOREIGN KEY (id) REFERENCES elsewhere(id);
"""


def test_columns_are_those_of_the_statement():
    assert structure.columns(SQL, "topics") == [
        ("topics", "id", "bigint", "not null", ""),
        ("topics", "name", "text", "not null", ""),
        ("topics", "state", "smallint", "not null", "0"),
        ("topics", "path", "character varying", "not null", "''"),
        ("topics", "ids", "bigint[]", "", "'{}'"),
        ("topics", "created_at", "timestamp with time zone", "not null", "now()"),
        ("topics", "rate", "numeric(10,2)", "", ""),
        ("topics", "project_id", "bigint", "", ""),
    ]
    assert structure.columns(SQL, "topic") == []


def test_keys_are_those_of_plain_columns_and_to_tables_that_are_known():
    assert list(structure.keys(SQL, "topics", {"projects"})) == [
        ("pk", "topics", "topics_pkey", "id", ""),
        ("unique", "topics", "topics_name_key", "name, path", ""),
        ("fk", "topics", "fk_1", "project_id", "projects(id) ON DELETE CASCADE"),
        ("unique", "topics", "index_topics_on_path", "path, name DESC NULLS LAST", "WHERE (state > 0)"),
        ("index", "topics", "index_topics_on_rate", "rate", "INCLUDE (id)"),
        ("gin", "topics", "index_topics_on_name_trigram", "name gin_trgm_ops", ""),
    ]


def test_the_tables_of_optional_relations_alone_are_told_apart():
    tree = """
    root: {table: projects, beside: {settings: {from: settings}}}
    relations: [{table: topics, children: [{table: rules}]}]
    optional: {project: [{table: rules}, {table: push_rules}]}
    """
    assert structure.named(tree) == ({"projects", "settings", "topics", "rules"}, {"push_rules"})


def test_rows_are_added_where_they_belong(tmp_path: Path):
    file = tmp_path / "keys.tsv"
    head = "# note\nkind\ttable\tname\tcolumns\tdetail\n"
    lines = ["pk\tbadges\tb", "pk\tusers\tu", "index\tbadges\ti", "fk\tbadges\tf"]
    file.write_text(head + "\n".join(lines) + "\n", encoding="utf-8")
    structure.add(file, [("pk", "topics", "t"), ("gin", "topics", "g"), ("fk", "topics", "t")], structure.by_kind)
    expected = ["pk\tbadges\tb", "pk\ttopics\tt", "pk\tusers\tu", "index\tbadges\ti", "gin\ttopics\tg"]
    assert file.read_text("utf-8") == head + "\n".join([*expected, "fk\tbadges\tf", "fk\ttopics\tt"]) + "\n"


def test_the_importer_accepts_all_that_the_second_reader_reads():
    known = yaml.safe_load((SHIPPED / "gitlab.yaml").read_text("utf-8"))
    assert list(importer.lacking(known)) == []


IMPORTER = """\
enums:
  mode: [unordered, oldest_first, newest_first, newest_ready_first]
relations:
  labels:
    keys: &label [color, title]
    source: app/models/label.rb
  boards:
    keys: [name]
    nested: [lists]
  lists:
    keys: *label
"""


@pytest.mark.parametrize(
    ("relation", "field", "names", "old", "new"),
    [
        ("labels", "keys", ["type"], "keys: &label [color, title]", "keys: &label [color, title, type]"),
        ("boards", "nested", ["milestone"], "nested: [lists]", "nested: [lists, milestone]"),
        ("labels", "nested", ["priorities"], "title]\n", "title]\n    nested: [priorities]\n"),
    ],
)
def test_a_list_of_the_importer_s_grows_in_its_place(relation, field, names, old, new):
    assert importer.grown(IMPORTER, relation, field, names) == IMPORTER.replace(old, new, 1)


def test_a_long_list_takes_several_lines_as_the_file_has_them():
    names = [f"name_of_the_key_{number}" for number in range(9)]
    lines = importer.listed("keys", names).split("\n")
    assert (lines[0], lines[-1]) == ("    keys: [", "    ]")
    assert all(len(line) <= 120 for line in lines)
    assert yaml.safe_load("\n".join(lines))["keys"] == names


def test_a_new_relation_has_its_keys_and_the_names_of_its_codes():
    known = {"relations": {}, "enums": {"mode": ["unordered", "oldest_first", "newest_first", "newest_ready_first"]}}
    found = yaml.safe_load("\n".join(importer.new("ci_cd_settings", known)))["ci_cd_settings"]
    assert {"default_git_depth", "resource_group_default_process_mode"} <= set(found["keys"])
    assert found["source"] == "app/models/project_ci_cd_setting.rb"
    assert found["names"] == {
        "pipeline_variables_minimum_override_role": ["no_one_allowed", "developer", "maintainer", "owner"],
        "resource_group_default_process_mode": "mode",
    }
    nested = yaml.safe_load("\n".join(importer.new("boards", known)))["boards"]
    assert nested["nested"] == ["lists", "milestone"]
