"""Positions, by app/models/concerns/diff_positionable_note.rb and lib/gitlab/diff/position.rb."""

from __future__ import annotations

from typing import Any

import pytest

from project_export.coders.general import Noted
from project_export.coders.ruby import NotReadable
from project_export.trees.gitlab import position

HASH = "!ruby/hash:ActiveSupport::HashWithIndifferentAccess"
FILE = ("base_sha", "start_sha", "head_sha", "old_path", "new_path", "position_type")
TEXT = (*FILE, "old_line", "new_line", "line_range")
IMAGE = (*FILE, "width", "height", "x", "y")
OF_NULLS = dict.fromkeys(TEXT) | {"position_type": "text"}
POSITION = "--- !ruby/object:Gitlab::Diff::Position\nattributes:\n"
FULL = (
    POSITION
    + """\
  :old_path: a.rb
  :new_path: b.rb
  :base_sha: '1'
  :start_sha: '2'
  :head_sha: '3'
  :old_line:
  :new_line: 7
  :width: 10
  :height: 20
  :x: 1
  :y: 2
  :ignore_whitespace_change: false
  :unknown: x
"""
)
STORED = {"base_sha": "1", "start_sha": "2", "head_sha": "3", "old_path": "a.rb", "new_path": "b.rb"}
LINES = {"old_line": None, "new_line": 7, "line_range": None}


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("  :position_type: text\n", STORED | {"position_type": "text"} | LINES),
        ("  :position_type: :text\n", STORED | {"position_type": "text"} | LINES),
        ("  :position_type: file\n", STORED | {"position_type": "file"}),
        (
            "  :position_type: image\n",
            STORED | {"position_type": "image", "width": 10, "height": 20, "x": 1, "y": 2},
        ),
        ("  :position_type: other\n", STORED | {"position_type": "text"} | LINES),
        ("  :position_type:\n", STORED | {"position_type": "text"} | LINES),
        ("", STORED | {"position_type": "text"} | LINES),
        ("  position_type: file\n", STORED | {"position_type": "text"} | LINES),
    ],
)
def test_a_position_has_the_keys_of_its_kind_in_order(kind: str, value: dict[str, Any]) -> None:
    found = position(FULL + kind)
    assert found == value
    assert list(found) == list({"file": FILE, "image": IMAGE}.get(str(value["position_type"]), TEXT))


def test_the_lines_of_a_position_are_exported_whole() -> None:
    stored = f"""{POSITION}  :line_range: {HASH}
    start: {HASH}
      line_code: '1_2_3'
      type: :new
    end:
      :old_line: 4
"""
    line_range = {"start": {"line_code": "1_2_3", "type": "new"}, "end": {"old_line": 4}}
    assert position(stored) == OF_NULLS | {"line_range": line_range}


@pytest.mark.parametrize("text", [None, "", "--- ", "--- \n", "--- ''\n"])
def test_a_position_of_which_nothing_is_stored_is_one_of_nulls(text: str | None) -> None:
    assert position(text) == OF_NULLS


def test_a_position_has_symbols_for_keys_unless_its_hash_treats_texts_alike() -> None:
    assert position(f"{POSITION}  old_path: a.rb\n  position_type: file\n") == OF_NULLS
    indifferent = f"--- !ruby/object:Gitlab::Diff::Position\nattributes: {HASH}\n  old_path: a.rb\n"
    assert position(indifferent) == OF_NULLS | {"old_path": "a.rb"}


@pytest.mark.parametrize(
    "text",
    [
        '{"old_path"=>"a.rb", "new_path"=>"b \\"c\\" => nil", "position_type"=>"text", "new_line"=>7,'
        ' "line_range"=>{"start"=>{"type"=>nil}}}',
        '{:old_path=>"a.rb", :new_path=>"b \\"c\\" => nil", :position_type=>:text, :new_line=>7,'
        " :line_range=>{:start=>{:type=>nil}}}",
        '{"old_path" => "a.rb", "new_path" => "b \\"c\\" => nil", "position_type" => "text", "new_line" => 7,'
        ' "line_range" => {"start" => {"type" => nil}}}',
    ],
)
def test_a_position_that_was_stored_as_ruby_prints_a_hash_is_recovered(text: str) -> None:
    assert position(text) == OF_NULLS | {
        "old_path": "a.rb",
        "new_path": 'b "c" => nil',
        "new_line": 7,
        "line_range": {"start": {"type": None}},
    }


@pytest.mark.parametrize("text", ["---\n- [a\n", "a: b: c", '{"a"=>}', '{"a"=>"b"', '{"a"=>#<Object:0x1>}', "[1, =>"])
def test_other_broken_yaml_is_not_a_position(text: str) -> None:
    assert position(text) is None


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (
            '{"old_path":"a.rb","position_type":"file"}',
            {**dict.fromkeys(FILE), "old_path": "a.rb", "position_type": "file"},
        ),
        ("{}", OF_NULLS),
        ('{old_path: "a.rb"}', OF_NULLS | {"old_path": "a.rb"}),
        ("--- !ruby/object:Gitlab::Diff::Position\nold_path: a.rb\n", OF_NULLS),
        ("abc", None),
        ("--- [1]\n", None),
        ("--- 7\n", None),
        ("--- true\n", None),
    ],
)
def test_what_the_model_refuses_is_exported_as_closely_as_possible_and_reported(text: str, value: Any) -> None:
    found = position(text)
    assert isinstance(found, Noted)
    assert found.value == value
    assert found.note.startswith("a value that is not a position was ")
    assert found.lost == ("attributes" not in text and not text.startswith("{"))


def test_a_value_that_yaml_cannot_make_is_an_error_in_a_position() -> None:
    with pytest.raises(ValueError, match="cannot be read") as caught:
        position("--- !!python/name:os.system\n")
    assert not isinstance(caught.value, NotReadable)
