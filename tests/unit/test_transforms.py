"""What SQL cannot say: values as Ruby and GitLab wrote them, and what is made of them."""

from __future__ import annotations

from typing import Any

import pytest

from project_export.coders import exact
from project_export.tree.transforms import decode_base64, read_json_or_yaml, read_yaml, text_colour


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("--- {}\n", {}),
        ("---\nforce_remove_source_branch: '1'\n", {"force_remove_source_branch": "1"}),
        ("---\n:sha: abc\n:count: 3\n:on: true\n:none: \n", {"sha": "abc", "count": 3, "on": True, "none": None}),
        ("--- !ruby/hash:ActiveSupport::HashWithIndifferentAccess\na: 1\n", {"a": 1}),
        ("--- !ruby/object:Gitlab::Diff::Position\nold_path: a.rb\nnew_line: 3\n", {"old_path": "a.rb", "new_line": 3}),
        ("--- !ruby/array:Object\n- :a\n- b\n", ["a", "b"]),
        ("---\nstate: :merged\n", {"state": "merged"}),
        ("---\nstate: !ruby/symbol merged\n", {"state": "merged"}),
        ('---\n:"a b": :"c d"\n', {"a b": "c d"}),
        ("---\n1: one\n", {"1": "one"}),
        ("---\nday: 2024-02-29\n", {"day": "2024-02-29"}),
        ("---\nraw: !binary |-\n  aMOp\n", {"raw": "hé"}),
        ("--- plain\n", "plain"),
    ],
)
def test_yaml_is_read_as_ruby_means_it(text: str, value: Any) -> None:
    assert read_yaml(text) == value


def test_a_string_that_begins_with_a_colon_keeps_it() -> None:
    text = '---\ncommit_message: \':art: Improve the form\'\n"other": ":x"\nblock: |-\n  :tada: Ship\n'
    assert read_yaml(text) == {"commit_message": ":art: Improve the form", "other": ":x", "block": ":tada: Ship"}


@pytest.mark.parametrize("text", ["---\n- [a\n", "a: b: c", "--- !!python/object:os.system x\n", "day: 2024-19-45"])
def test_what_is_not_readable_as_yaml_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"not readable as YAML|month must be"):
        read_yaml(text)


def test_json_comes_before_yaml() -> None:
    assert read_json_or_yaml('{"a": [1, null, "\\u00e9"]}') == {"a": [1, None, "é"]}
    assert read_json_or_yaml("---\n:a: 1\n") == {"a": 1}


def test_base64_becomes_text_and_bad_utf_8_is_replaced() -> None:
    assert decode_base64("aMOp") == "hé"
    assert decode_base64("/w==") == "\N{REPLACEMENT CHARACTER}"


@pytest.mark.parametrize("text", ["abc", "aMOp\n", "aMP=", "AAAA====", "aGk==", "é", "@@ -1 +1 @@\n-a\n+b\n"])
def test_what_ruby_does_not_take_for_base64_stays_as_it_is(text: str) -> None:
    assert decode_base64(text) == text


@pytest.mark.parametrize("digits", ["12345678901234567890.123456789", "1e400", "1.50", "-0.0", "9" * 5000])
def test_numbers_keep_their_digits(digits: str) -> None:
    assert exact.write({"a": read_json_or_yaml(f'{{"n": {digits}}}')}) == f'{{"a":{{"n":{digits}}}}}'.encode()


def test_a_huge_integer_of_yaml_keeps_its_digits() -> None:
    assert exact.write(read_yaml(f"{2**70}: {2**70}\n7: -{2**64}\ntrue: 0.5")) == (
        f'{{"{2**70}":{2**70},"7":-{2**64},"True":0.5}}'.encode()
    )


@pytest.mark.parametrize("text", ["a: .inf", "[-.inf]", "x: .nan", '{"a": NaN}', "[Infinity]", "-Infinity"])
def test_what_is_no_number_in_json_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"(nan|NaN|inf|Infinity) is no number that JSON has"):
        read_json_or_yaml(text)


@pytest.mark.parametrize(
    ("colour", "text"),
    [
        ("#000000", "#FFFFFF"),
        ("#fff", "#1F1E24"),
        ("#FFECDB", "#1F1E24"),
        ("#d9534f", "#FFFFFF"),
        ("#69D100", "#1F1E24"),
        ("red", "#FFFFFF"),
        ("#12345", "#FFFFFF"),
        ("#000000\n", "#FFFFFF"),
    ],
)
def test_text_on_a_label_can_be_read(colour: str, text: str) -> None:
    assert text_colour(colour) == text
