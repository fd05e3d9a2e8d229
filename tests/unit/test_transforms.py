"""What SQL cannot say: values as Ruby and GitLab wrote them, and what is made of them."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from project_export.coders import exact
from project_export.coders.general import decode_base64, digest, read_yaml, read_yaml_hash
from project_export.coders.ruby import inspected
from project_export.tree.transforms import TRANSFORMS
from project_export.trees.gitlab import sentry_organization, sentry_project, text_colour

HASH = "!ruby/hash:ActiveSupport::HashWithIndifferentAccess"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("--- {}\n", {}),
        ("---\nforce_remove_source_branch: '1'\n", {"force_remove_source_branch": "1"}),
        ("---\n:sha: abc\n:count: 3\n:on: true\n:none: \n", {"sha": "abc", "count": 3, "on": True, "none": None}),
        (f"--- {HASH}\na: 1\n", {"a": 1}),
        ("--- !map:ActiveSupport::HashWithIndifferentAccess\na: 1\n", {"a": 1}),
        ("--- !map:HashWithIndifferentAccess\na: {b: 2}\n", {"a": {"b": 2}}),
        (
            "--- !ruby/hash-with-ivars:ActionController::Parameters\nelements:\n  a: '1'\nivars:\n  :@x: true\n",
            {"a": "1"},
        ),
        (
            f"--- !ruby/object:ActionController::Parameters\nparameters: {HASH}\n  a: '1'\npermitted: true\n",
            {"a": "1"},
        ),
        ("--- !ruby/object:Gitlab::Diff::Position\nold_path: a.rb\nnew_line: 3\n", {"old_path": "a.rb", "new_line": 3}),
        ("--- !ruby/array:Object\n- :a\n- b\n", ["a", "b"]),
        ("---\nstate: :merged\n", {"state": "merged"}),
        ("---\nstate: !ruby/symbol merged\n", {"state": "merged"}),
        ("---\nstate: !ruby/sym merged\n", {"state": "merged"}),
        ('---\n:"a b": :"c d"\n', {"a b": "c d"}),
        ("---\n1: one\n", {"1": "one"}),
        ("---\nday: 2024-02-29\n", {"day": "2024-02-29"}),
        ("---\nat: 2024-02-29 12:34:56.789999000 Z\n", {"at": "2024-02-29T12:34:56.789Z"}),
        ("---\nat: 2024-02-29 12:34:56 +02:00\n", {"at": "2024-02-29T10:34:56.000Z"}),
        ("---\nraw: !binary |-\n  aMOp\n", {"raw": "hé"}),
        ("---\nraw: !!binary |-\n  /w==\n", {"raw": "\N{REPLACEMENT CHARACTER}"}),
        ("---\ntags: !!set\n  a:\n", {"tags": ["a"]}),
        ("---\na: &one\n  x: 1\nb: *one\n", {"a": {"x": 1}, "b": {"x": 1}}),
        ("---\n- !ruby/string:Markdown x\n- !str:Markdown y\n", ["x", "y"]),
        ("--- !ruby/string:Markdown\nstr: x\n'@y': 1\n", "x"),
        ("--- plain\n", "plain"),
        ("--- ''\n", ""),
        ("--- \n", None),
        ("--- false\n", False),
        ("", None),
    ],
)
def test_yaml_is_read_as_ruby_means_it(text: str, value: Any) -> None:
    assert read_yaml(text) == value


def test_a_string_that_begins_with_a_colon_keeps_it() -> None:
    text = '---\ncommit_message: \':art: Improve the form\'\n"other": ":x"\nblock: |-\n  :tada: Ship\n'
    assert read_yaml(text) == {"commit_message": ":art: Improve the form", "other": ":x", "block": ":tada: Ship"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("---\n- [a\n", "not readable as YAML"),
        ("a: b: c", "not readable as YAML"),
        ("--- !!python/object:os.system x\n", "cannot be read"),
        ("day: 2024-19-45", "month must be"),
    ],
)
def test_what_is_not_readable_as_yaml_is_an_error(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        read_yaml(text)


@pytest.mark.parametrize("text", [None, "", "--- ", "--- \n", "---\n", "--- ''\n", "--- {}\n", f"--- {HASH} {{}}\n"])
def test_a_hash_of_which_nothing_is_stored_is_empty(text: str | None) -> None:
    assert read_yaml_hash(text) == {}


def test_a_hash_keeps_what_is_stored_under_texts() -> None:
    assert read_yaml_hash(f"--- {HASH}\nauto_merge_strategy: x\n:sha: abc\n1:\n  :a: :b\n") == {
        "auto_merge_strategy": "x",
        "sha": "abc",
        "1": {"a": "b"},
    }


@pytest.mark.parametrize("text", ["--- []\n", "--- text\n", "--- 1\n", "--- true\n"])
def test_what_is_not_a_hash_is_an_error_where_a_hash_belongs(text: str) -> None:
    with pytest.raises(ValueError, match="where a hash belongs"):
        read_yaml_hash(text)


def test_only_some_transforms_are_called_for_null() -> None:
    assert {name for name, transform in TRANSFORMS.items() if transform.of_null} == {"position", "yaml_hash"}
    assert {name for name, transform in TRANSFORMS.items() if transform.structured} == {"position", "yaml", "yaml_hash"}


# Hash#inspect.


def printed(value: Any, arrow: str) -> str:
    """Print a value as Ruby does."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{printed(k, arrow)}{arrow}{printed(v, arrow)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(printed(item, arrow) for item in value) + "]"
    if isinstance(value, str):
        text = value.replace("\\", "\\\\").replace('"', '\\"').replace("#{", "\\#{").replace("\n", "\\n")
        return '"' + re.sub(r"[\x00-\x09\x0b-\x1f]", lambda found: f"\\x{ord(found[0]):02X}", text) + '"'
    return (
        {None: "nil", True: "true", False: "false"}.get(value, str(value))
        if not isinstance(value, int)
        else (str(value).lower())
    )


TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


@given(VALUES, st.sampled_from(["=>", " => "]))
@example({"#{x}\\": ['"=>nil', "\x00\x1b\n", -1]}, "=>")
def test_what_ruby_prints_is_read_as_the_value_it_was(value: Any, arrow: str) -> None:
    assert inspected(printed(value, arrow)) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{:a=>1, :"b c"=>:d, :e?=>[]}', {"a": 1, "b c": "d", "e?": []}),
        ('{a: 1, "b c": :d, e?: {}}', {"a": 1, "b c": "d", "e?": {}}),
        (r'{"a":"\ud83d\ude00"}', {"a": "\U0001f600"}),
        (r'["\u00e9\u{1F600}\x41\e\#{"]', ["é\U0001f600A\x1b#{"]),
        ("[1.5, -2e10, 1_000]", [1.5, -2e10, 1000]),
        (" [ ] ", []),
    ],
)
def test_forms_of_what_ruby_prints_are_read(text: str, value: Any) -> None:
    assert inspected(text) == value


@pytest.mark.parametrize(
    "text", ["", "{", "[1,]", "[1 2]", "{1}", "{1=>}", "[1]]", "nil x", "#<A>", '"a', "{a=>1}", "=>"]
)
def test_what_ruby_does_not_print_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="not a value as Ruby's inspect writes it, at character"):
        inspected(text)


# Others.


def test_base64_becomes_text_and_bad_utf_8_is_replaced() -> None:
    assert decode_base64("aMOp") == "hé"
    assert decode_base64("/w==") == "\N{REPLACEMENT CHARACTER}"


@pytest.mark.parametrize("text", ["abc", "aMOp\n", "aMP=", "AAAA====", "aGk==", "é", "@@ -1 +1 @@\n-a\n+b\n"])
def test_what_ruby_does_not_accept_as_base64_stays_as_it_is(text: str) -> None:
    assert decode_base64(text) == text


@pytest.mark.parametrize("digits", ["12345678901234567890.123456789", "1e400", "1.50", "-0.0", "9" * 5000])
def test_numbers_of_json_keep_their_digits(digits: str) -> None:
    assert exact.write({"a": exact.read(f'{{"n": {digits}}}')}) == f'{{"a":{{"n":{digits}}}}}'.encode()


def test_a_huge_integer_of_yaml_keeps_its_digits() -> None:
    assert exact.write(read_yaml(f"{2**70}: {2**70}\n7: -{2**64}\n'true': 0.5")) == (
        f'{{"{2**70}":{2**70},"7":-{2**64},"true":0.5}}'.encode()
    )


def test_a_key_that_is_not_a_text_is_exported_as_ruby_writes_it() -> None:
    assert read_yaml("true: 1\nfalse: 2\n0.5: 3\n~: 4\n-7: 5\n") == {"true": 1, "false": 2, "0.5": 3, "": 4, "-7": 5}


@pytest.mark.parametrize("text", ["a: .inf", "[-.inf]", "x: .nan"])
def test_a_number_that_json_lacks_is_an_error_in_yaml(text: str) -> None:
    with pytest.raises(ValueError, match=r"JSON has no number -?(nan|inf)"):
        read_yaml(text)


@pytest.mark.parametrize("text", ['{"a": NaN}', "[Infinity]", "-Infinity"])
def test_a_number_that_json_lacks_is_an_error_in_json(text: str) -> None:
    with pytest.raises(ValueError, match=r"JSON has no number -?(NaN|Infinity)"):
        exact.read(text)


def test_a_digest_is_40_hexadecimal_digits_of_the_value_alone() -> None:
    assert digest(7) == digest("7") != digest(8)
    assert re.fullmatch("[0-9a-f]{40}", digest(7))
    assert json.loads(exact.write(digest(7))) == digest(7)


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
        ("#6699cc", "#FFFFFF"),
        ("", "#FFFFFF"),
    ],
)
def test_text_on_a_label_can_be_read(colour: str, text: str) -> None:
    assert text_colour(colour) == text


API = "https://sentry.example.com/api/0/projects/"


@pytest.mark.parametrize(
    ("slug", "title"),
    [
        ("web_front-end", "Web Front End"),
        ("my.app", "My.App"),
        ("v2api", "V2api"),
        ("user_id", "User"),
        ("a--b", "A  B"),
        ("my-ee", "My EE"),
        ("App2Go", "App2 Go"),
        ("HTTPServer", "Http Server"),
        ("jh-csp", "JH CSP"),
        ("it's", "It's"),
        ("éa", "éa"),
        ("a%20b", "A%20b"),
        ("_lead", "Lead"),
        ("A::B", "A/B"),
        ("id", "Id"),
    ],
)
def test_a_slug_becomes_a_title_as_rails_has_it(slug: str, title: str) -> None:
    assert sentry_project(f"{API}acme/{slug}") == title
    assert sentry_organization(f"{API}{slug}/web") == title


@pytest.mark.parametrize(
    ("url", "organization", "project"),
    [
        (f"{API}acme/web", "Acme", "Web"),
        (f"{API}//acme//web///", "Acme", "Web"),
        (f"{API}acme/web?a=1#b", "Acme", "Web"),
        ("/api/0/projects/acme/web", "Acme", "Web"),
        (API, None, None),
        (f"{API}acme", None, None),
        (f"{API}acme/web/more", None, None),
        ("https://sentry.example.com/api/1/projects/acme/web", None, None),
        ("https://sentry.example.com/base/api/0/projects/acme/web", None, None),
        ("", None, None),
        ("  ", None, None),
        ("not a URL", None, None),
    ],
)
def test_only_the_path_of_a_sentry_project_names_one(url: str, organization: str | None, project: str | None) -> None:
    assert (sentry_organization(url), sentry_project(url)) == (organization, project)
