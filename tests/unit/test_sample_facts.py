"""The facts behind the sample's schema fit together."""

import csv

import pytest

from project_export.sample import facts as stored
from project_export.sample import layouts, schema
from tests.reader import data

NOT_GITLABS_LIST = {"application_settings"}
"""Tables of which the sample has but the columns that it needs."""

every_layout = pytest.mark.parametrize("layout", layouts.names())


@every_layout
def test_every_table_has_a_primary_key(layout):
    with_key = {key.table for key in schema.all_keys(layout) if key.kind == "pk"}
    assert set(schema.tables(layout)) == with_key


@every_layout
def test_every_key_names_columns_that_exist(layout):
    columns = {table: {column.name for column in columns} for table, columns in schema.tables(layout).items()}
    for partition in schema.partitions(layout):
        columns[partition.name] = columns[partition.table]
    for key in schema.all_keys(layout):
        assert not key.target or key.target in columns, key
        for column in key.columns.split(", "):
            name = column.removeprefix("lower(").rstrip(")").split(" ")[0]
            assert name in columns[key.table], key


@every_layout
def test_every_partitioned_table_has_two_partitions_at_least(layout):
    names = [partition.table for partition in schema.partitions(layout)]
    assert set(names) <= set(schema.tables(layout))
    assert names
    assert all(names.count(name) >= 2 for name in names)


def test_columns_are_those_of_gitlab(facts_folder, newer):
    since = {entry.get(word) for path, entry in data.walk() if newer(path) for word in data.ASSOCIATIONS}
    ours = [
        (column.table, column.name, column.type, column.not_null == "not null", column.default)
        for column in stored.columns()
        if column.table not in NOT_GITLABS_LIST | since
    ]
    tables = {table for table, *_ in ours}
    with (facts_folder / "gitlab" / "columns.tsv").open(encoding="utf-8", newline="") as file:
        gitlab = [
            (row["table"], row["column"], row["type"], row["nullable"] == "NO", row["default"] or "")
            for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
            if row["table"] in tables
        ]
    assert ours == gitlab
