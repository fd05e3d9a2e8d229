"""YAML that is read without a parser: the same values as with one, or none at all."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from project_export.coders import exact, quick, spliced
from project_export.coders.forms import LITERAL, Forms
from project_export.coders.general import Noted, quick_yaml_hash, read_yaml_hash
from project_export.sample.positions import Refs, file_position, image_position, text_position
from project_export.trees.gitlab import position, quick_position

HASH = quick.INDIFFERENT.decode()
POSITION = "--- !ruby/object:Gitlab::Diff::Position\nattributes:\n"
COMMIT = "0fd86738d163471d9eafca1879d2d1758c68c98c"
REFS = Refs(COMMIT, "e" * 40, "7ad0e8d88ade147b207656005f6e3b1873bd73ce")
LINE_RANGE = (
    f"  :line_range: {HASH}\n    start: {HASH}\n      line_code: {COMMIT}_0_2\n      type: new\n"
    f"      old_line:\n      new_line: 2\n    end:\n      line_code: {COMMIT}_0_3\n      old_line: \n"
    "      new_line: 3\n"
)
USUAL = [
    text_position(REFS, "lib/gitlab/a_b.rb", None, 3),
    text_position(REFS, "lib/gitlab/a_b.rb", 41, 42, lines=3),
    image_position(REFS, "doc/img/some picture.png", 1, 0),
    file_position(REFS, ".gitlab-ci.yml"),
    f"{POSITION}  :old_path: Gemfile\n  :new_path: Gemfile\n{LINE_RANGE}  :ignore_whitespace_change: false\n",
    image_position(REFS, "designs/issue-7/0 mock-up “é”.png", 3, 4),
    f"{POSITION}  :old_path: docs/ünï/日本 🚀.md\n  :new_path: 'ü'\n",
    f"{POSITION}  :base_sha: '{'1' * 40}'\n  :new_path: 'a: b #c.rb'\n  :old_path: \"it's\"\n  :position_type: text\n",
]
HASHES = [
    "---\nforce_remove_source_branch: '1'\n",
    f"--- {HASH}\nforce_remove_source_branch: true\nsha: {COMMIT}\nauto_merge_strategy: merge_when_checks_pass\n",
    "---\n:should_remove_source_branch: false\n:commit_message: 'Merge: a into b'\n",
    "--- {}\n",
]
ODD = [
    "", "~", "null", "Null", "yes", "No", "on", "OFF", "TRUE", "y", "n", "0", "-1", "+1", "007", "0o17", "0x1F",
    "0b01", "1_000", "1e5", "1e+5", "1.5e+3", "12e40", ".5", ".inf", "-.inf", ".NaN", "._1", "._", ".", "=", "<<",
    "190:20:30", "1:30", "2024-02-29", "2024-02-29 12:34:56 Z", ":text", ":\"a b\"", "::", "&a x", "*a",
    "!binary aMOp", "!ruby/symbol x", "!!str 1", "!!int '7'", "|", "|-\n    a\n    b", ">\n    folded\n    text",
    "a\n    b", "'a\n    b'", "'it''s'", "''", '""', '"a\\nb"', '"\\u00e9"', '"\\x41"', "'\\n'", "a\\b", "a #b", "a#b",
    "a: b", "a:b", "a ", " a", "a  b", "\ta", "a\tb", "- a", "-a", "[a]", "{a: b}", "@a", "`a", "%a", "a%", "?a",
    "? a", "é", "“a”", "a\u2028b", "a\u0085b", "\ufeff", "a\ufffeb", "a\x80b", "a\u2029", "\xa0a", "a\xa0",
    "a \u3000b", "“a\u0085b”", '"é\u2028"', "é: x", "é #x", "é:x", "\U0010ffff", "\ue000", "\ud7ff", "\U0001f600",
    "a<b>&", "\x07", "a\x00b", "a\rb", "a\r\nb", "a,b", "a]", "app/[id].vue", "(a)", "a (b)", "a'b", 'a"b', "1" * 30,
    "0b" + "01" * 19, "0b1_0_1", "0bc1", "00b1", "1" * 39 + "e", f"{COMMIT}_1_2", "e" * 200, "x\n...", "x\n--- y",
    "x\n  y: z",
]  # fmt: skip


def json_text(text: str) -> bytes:
    """Return a text as PostgreSQL writes it in JSON."""
    return exact.write(text)


def with_parser(text: str) -> bytes | None:
    """Return the position that the parser finds, as JSON; None if it finds another thing, or an error."""
    try:
        found = position(text)
        return None if isinstance(found, Noted) else exact.write(found)
    except (ValueError, TypeError):
        return None


@pytest.mark.parametrize("text", USUAL)
def test_usual_positions_need_no_parser(text: str) -> None:
    assert quick_position(json_text(text)) == with_parser(text) is not None


def test_a_position_that_is_not_stored_needs_no_parser() -> None:
    assert quick_position(b"null") == exact.write(position(None))


@pytest.mark.parametrize("text", HASHES)
def test_usual_hashes_need_no_parser(text: str) -> None:
    assert quick_yaml_hash(json_text(text)) == exact.write(read_yaml_hash(text))


@pytest.mark.parametrize(
    "text",
    [
        f"{POSITION}  :old_path: x\n  :old_path: y\n",
        f"{POSITION}  old_path: x\n  :old_path: y\n",
        f"{POSITION}:old_path: x\n",
        f"{POSITION}    :old_path: x\n  :new_path: y\n",
        f"{POSITION}  :old_path: x\n    :new_path: y\n",
        f"{POSITION}  :line_range: {HASH}\n  :old_path: x\n",
        f"{POSITION}  :old_path: x\nother: y\n",
        f"{POSITION}  :old_path: x",
        POSITION,
        f"{POSITION}  :old_path: {'x' * 5000}\n",
        f"{POSITION}  true: x\n",
        "---\nattributes:\n  :old_path: x\n",
    ],
)
def test_unusual_positions_are_for_the_parser(text: str) -> None:
    assert quick_position(json_text(text)) is None


INDENTS = st.sampled_from(["", " ", "  ", "  ", "  ", "  ", "    ", "      "])
NAMES = st.sampled_from(
    ["base_sha", "old_path", "new_path", "position_type", "old_line", "line_range", "start", "end", "yes", "x"]
)  # fmt: skip
VALUES = st.one_of(
    st.sampled_from(ODD),
    st.sampled_from(["text", "image", "file", "lib/a.rb", COMMIT, "7", "true", HASH]),
    st.integers(-3, 2**70).map(str),
    st.from_regex(re.compile(r"[\w./+@~() :#'-]{1,12}", re.ASCII), fullmatch=True),
    st.from_regex(re.compile(r"""(['"])[ -~]{0,8}\1"""), fullmatch=True),
    st.from_regex(re.compile(r"[0-9a-fxo_.:+-]{1,12}"), fullmatch=True),
    st.text(max_size=6),
    st.text("aé\x85\xa0\u2028\u2029\ufeff\ufffe日🚀 :#/.", max_size=8),
)
LINES = st.builds(
    lambda indent, colon, name, gap, value: f"{indent}{colon}{name}:{gap}{value}\n",
    INDENTS,
    st.sampled_from([":", ":", ":", ""]),
    NAMES,
    st.sampled_from([" ", " ", " ", "", "  "]),
    VALUES,
)


@given(st.lists(LINES, max_size=5), st.sampled_from([POSITION, POSITION + LINE_RANGE]))
def test_a_position_is_the_same_with_a_parser_and_without(lines: list[str], head: str) -> None:
    text = head + "".join(lines)
    made = quick_position(json_text(text))
    assert made is None or made == with_parser(text)


@given(st.sampled_from(USUAL), st.integers(0), st.integers(0, 3), st.sampled_from(ODD) | st.text(max_size=3))
def test_a_changed_position_is_the_same_with_a_parser_and_without(text: str, at: int, gone: int, new: str) -> None:
    at %= len(text)
    changed = text[:at] + new + text[at + gone :]
    made = quick_position(json_text(changed))
    assert made is None or made == with_parser(changed)


@pytest.mark.parametrize("value", ODD)
def test_an_odd_scalar_is_the_same_with_a_parser_and_without(value: str) -> None:
    for text in (f"{POSITION}  :old_path: {value}\n  :new_line: 1\n", f"{POSITION}  :line_range:\n    a: {value}\n"):
        made = quick_position(json_text(text))
        assert made is None or made == with_parser(text)
    text = f"---\na: {value}\nb: 1\n"
    made = quick_yaml_hash(json_text(text))
    assert made is None or made == exact.write(read_yaml_hash(text))


@pytest.mark.parametrize("kind", ["a{}", "'a{}'", '"a{}"', "1{}"])
@pytest.mark.parametrize("line", ["  :old_path: {}\n", "  :line_range:\n    a: {}\n    b: x\n", "  :x: {}\n  :y: 1\n"])
def test_a_form_that_was_seen_before_reads_what_a_parser_reads(
    line: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    forms = Forms()
    monkeypatch.setattr(quick, "_FORMS", forms)
    text = POSITION + line + "  :new_line: {}\n"
    head = json_text(POSITION)[:-1]
    for number in range(3):
        stored = json_text(text.format(kind.format(number), number))
        assert forms.read(stored, head) is None
        quick.mapping(stored, head, 2)
    stored = json_text(text.format(kind.format(77), 7))
    assert forms.read(stored, head) == quick.mapping(stored, head, 2) is not None
    for value in ODD:
        stored = json_text(text.format(value, value))
        made = quick_position(stored)
        assert made is None or made == with_parser(text.format(value, value)), value


def test_forms_that_differ_each_time_are_not_kept() -> None:
    forms = Forms()
    for number in range(1000):
        forms.learn(b"", b"", ((b"%d" % number, b"", LITERAL),), 0)
    assert not forms.known
    for number in range(1000):
        for _ in range(3):
            forms.learn(b"", b"", ((b"%d" % number, b"", LITERAL),), 0)
    assert forms.known == 64


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-99, 99) | st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from('ab"\\é'), inner, max_size=3),
    max_leaves=6,
)


@given(
    st.dictionaries(st.sampled_from(["a", "b", "é", '"', ""]), JSON_VALUES, min_size=1),
    st.sampled_from(["", " ", "\n\t"]),
)
@example({"a": '\\"b":\\\\', "b": {"a": {"a": "}"}}}, "")
def test_the_value_of_a_key_is_found_in_any_object(record: dict[str, object], space: str) -> None:
    values = {key: space.encode() + exact.write(value) + space.encode() for key, value in record.items()}
    text = b"{%b}" % b",".join(exact.write(key) + b":" + value for key, value in values.items())
    for key, value in values.items():
        start, end = spliced.found(text, key)
        assert exact.read(text[start:end].decode().strip()) == record[key] == exact.read(value.decode().strip())
        assert exact.read((text[:start] + b"7" + text[end:]).decode()) == {**record, key: 7}


def test_a_key_that_is_only_in_a_nested_object_is_an_error() -> None:
    with pytest.raises(KeyError):
        spliced.found(b'{"a":{"b":1},"c":{"b":2}}', "b")
