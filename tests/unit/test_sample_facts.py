"""The facts behind the sample's schema fit together."""

import csv

from project_export.sample import schema


def test_every_table_has_a_primary_key():
    with_key = {key.table for key in schema.all_keys() if key.kind == "pk"}
    assert set(schema.tables()) == with_key


def test_every_key_names_columns_that_exist():
    columns = {table: {column.name for column in columns} for table, columns in schema.tables().items()}
    for partition in schema.partitions():
        columns[partition.name] = columns[partition.table]
    for key in schema.all_keys():
        for column in key.columns.split(", "):
            name = column.removeprefix("lower(").rstrip(")").split(" ")[0]
            assert name in columns[key.table], key


def test_every_partitioned_table_has_two_partitions_at_least():
    names = [partition.table for partition in schema.partitions()]
    assert names
    assert all(names.count(name) >= 2 for name in names)


def test_columns_are_those_of_gitlab(facts):
    with (facts / "gitlab" / "columns.tsv").open(encoding="utf-8", newline="") as file:
        gitlab = [
            (row["table"], row["column"], row["type"], row["nullable"] == "NO", row["default"] or "")
            for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
            if row["table"] in schema.tables()
        ]
    ours = [
        (column.table, column.name, column.type, column.not_null == "not null", column.default)
        for columns in schema.tables().values()
        for column in columns
    ]
    assert ours == gitlab
