"""Values of an archive on their way into columns, and back by the transforms of the export."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from project_export.coders import exact
from project_export.coders.general import TRANSFORMS, decode_base64, read_yaml, read_yaml_hash
from project_export.sample.load.values import INVERSES, stored, write_position, write_yaml
from project_export.sample.schema import Column
from project_export.tree import Enum, Form, Key, Ref
from project_export.trees.gitlab import position

STATE = Enum("state", ((1, "opened"), (2, "closed"), (None, "unknown")))
RUBY_HASH = "--- !ruby/hash:ActiveSupport::HashWithIndifferentAccess"

texts = st.text(st.characters(blacklist_categories=["Cs"]))
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


def column(kind: str = "text") -> Column:
    return Column("t", "c", kind, "", "")


def store(value: object, kind: str = "text", transformed: bool = True, **key: object) -> object:
    wrap = key.pop("wrap", None)
    return stored(Key("k", Form((Ref("c"),), **key), wrap=wrap), column(kind), value, transformed=transformed)


@given(plain)
@example(-(10**17))
@example({"\x85": "\u2028 \ufeff"})
def test_yaml_comes_back_as_what_was_written(value):
    assert json.loads(exact.write(read_yaml(write_yaml(value)))) == value


@given(st.dictionaries(texts, plain, max_size=3))
def test_a_hash_comes_back_as_what_was_written(value):
    assert json.loads(exact.write(read_yaml_hash(write_yaml(value)))) == value


FILES = {"base_sha": "a", "start_sha": None, "head_sha": "c", "old_path": "é: :x", "new_path": "1"}
TEXT = FILES | {"position_type": "text"}


@given(st.none() | st.integers(-(2**31), 2**31), st.none() | st.dictionaries(texts, plain, max_size=3))
@example(3, {"start": {"line_code": "1_2_3", "type": None}})
def test_a_position_on_lines_comes_back_as_what_was_written(line, line_range):
    value = TEXT | {"old_line": line, "new_line": 7, "line_range": line_range}
    assert json.loads(exact.write(position(write_position(value)))) == value


@pytest.mark.parametrize(
    "value",
    [
        TEXT | {"position_type": "file"},
        TEXT | {"position_type": "image", "width": 1, "height": 2, "x": 3, "y": 4},
        position(None) | {"old_path": "a"},
    ],
)
def test_a_position_of_every_kind_comes_back_as_what_was_written(value):
    assert position(write_position(value)) == value
    assert write_position(value).startswith("--- !ruby/object:Gitlab::Diff::Position\nattributes:\n  :base_sha:")


def test_a_position_of_nulls_is_stored_as_null():
    assert write_position(position(None)) is None


@pytest.mark.parametrize("value", ["text", [1], {"a": 1}, {}, TEXT | {"position_type": "other"}])
def test_what_would_not_come_back_as_a_position_is_refused(value):
    with pytest.raises(ValueError, match=r"is not a position|cannot be restored from YAML as a position"):
        write_position(value)


def test_every_inverse_is_of_a_transform():
    assert INVERSES.keys() - {"position"} <= TRANSFORMS.keys()


def test_a_hash_is_written_as_rails_writes_it():
    assert write_yaml({}) == f"{RUBY_HASH} {{}}\n"
    assert write_yaml({"force_remove_source_branch": "1"}) == f"{RUBY_HASH}\nforce_remove_source_branch: '1'\n"
    assert write_yaml(["a"]) == "---\n- a\n"


def test_a_text_that_would_be_read_as_a_ruby_symbol_is_quoted():
    assert write_yaml({"a": ":b"}) == f'{RUBY_HASH}\na: ":b"\n'
    assert read_yaml(write_yaml({":a": ":b"})) == {":a": ":b"}


def test_null_is_stored_as_null_whatever_the_transform():
    assert store(None, transform="yaml", default="{}") is None
    assert store(None, "jsonb") is None


def test_an_enums_name_is_stored_as_its_code():
    assert [store(name, "smallint", enum=STATE) for name in ("opened", "unknown", None, 7)] == [1, None, None, 7]
    with pytest.raises(ValueError, match="state has no 'open'; nearest: opened"):
        store("open", "smallint", enum=STATE)


def test_a_wrapped_value_is_taken_out():
    assert store({"base_type": "closed"}, "bigint", enum=STATE, wrap="base_type") == 2
    with pytest.raises(ValueError, match="not an object with the key base_type"):
        store({"name": "Issue"}, "bigint", enum=STATE, wrap="base_type")


def test_hex_is_stored_as_bytes():
    assert store("00ff", "bytea") == b"\x00\xff"
    with pytest.raises(ValueError, match="non-hexadecimal"):
        store("xy", "bytea")


def test_base64_is_stored_only_where_the_transform_applies():
    assert store("hé", transform="base64_text", transformed=False) == "hé"
    assert decode_base64(store("hé", transform="base64_text")) == "hé"


def test_arrays_and_objects_need_a_column_for_them():
    assert store(["a"], "character varying[]") == ["a"]
    assert store({"a": 1}, "jsonb").obj == {"a": 1}
    for value, kind in ((["a"], "text"), ("a", "text[]"), ({"a": 1}, "integer")):
        with pytest.raises(ValueError, match="is not of the type"):
            store(value, kind)
