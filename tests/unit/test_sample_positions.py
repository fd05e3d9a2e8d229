"""Positions are the YAML that GitLab's own serialization of Gitlab::Diff::Position gives."""

from __future__ import annotations

import pytest

from project_export.sample.positions import Refs, file_position, image_position, line_code, text_position
from tests.reader import ruby
from tests.reader.notes import read_position

REFS = Refs("0fd86738d163471d9eafca1879d2d1758c68c98c", "1" * 40, "7ad0e8d88ade147b207656005f6e3b1873bd73ce")
ODD = "a\\b/c'd\"e: “ü” #1.txt"


def test_a_text_position_is_written_as_ruby_writes_it():
    assert (
        text_position(REFS, "a.rb", None, 3)
        == """--- !ruby/object:Gitlab::Diff::Position
attributes:
  :base_sha: 0fd86738d163471d9eafca1879d2d1758c68c98c
  :start_sha: "1111111111111111111111111111111111111111"
  :head_sha: 7ad0e8d88ade147b207656005f6e3b1873bd73ce
  :old_path: a.rb
  :new_path: a.rb
  :position_type: text
  :old_line:
  :new_line: 3
  :line_range:
  :ignore_whitespace_change: false
"""
    )


def test_a_range_of_lines_is_a_hash_with_indifferent_access():
    text = text_position(REFS, "a.rb", 7, 9, lines=2)
    assert text.count("!ruby/hash:ActiveSupport::HashWithIndifferentAccess\n") == 3
    found = read_position(text)
    ends = [
        {"line_code": line_code("a.rb", line - 1, line), "type": "new", "old_line": None, "new_line": line}
        for line in (8, 9)
    ]
    assert (found["old_line"], found["line_range"]) == (7, dict(zip(("start", "end"), ends, strict=True)))


@pytest.mark.parametrize("path", ["a.rb", ODD, "emoji/🚀.rb", "-rf", "null", "12", "日本/語.py", "yes.rb"])
def test_every_kind_can_be_read_again_whatever_the_path(path):
    common = {"base_sha": REFS.base, "start_sha": REFS.start, "head_sha": REFS.head, "old_path": path, "new_path": path}
    image = {"position_type": "image", "width": 800, "height": 600, "x": 4, "y": 5}
    assert read_position(image_position(REFS, path, 4, 5)) == common | image
    assert read_position(file_position(REFS, path)) == common | {"position_type": "file"}
    lines = {"position_type": "text", "old_line": 1, "new_line": 2, "line_range": None}
    assert read_position(text_position(REFS, path, 1, 2)) == common | lines


def test_a_whitespace_flag_is_stored_with_texts_and_files_and_not_with_images():
    stored = [text_position(REFS, "a", 1, 2), file_position(REFS, "a"), image_position(REFS, "a", 1, 2)]
    found = [ruby.read_yaml(text).content["attributes"] for text in stored]
    assert ["ignore_whitespace_change" in map(str, attributes) for attributes in found] == [True, True, False]
