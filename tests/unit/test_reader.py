"""The second reader: its data, its independence of the package, and its rules, which judge the engine."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

import pytest
import yaml

from tests.reader import data, diffs, labels, notes, ruby, settings, shapes, values

ITS_OWN = {"psycopg", "yaml", "tests.reader", *sys.stdlib_module_names}


def imports(file: Path) -> set[str]:
    """Return the packages that a module imports; of `tests`, the package below."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
        elif isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
    return {".".join(name.split(".")[: 1 + name.startswith("tests")]) for name in found}


def test_the_second_reader_imports_nothing_of_the_package():
    files = sorted(data.FOLDER.glob("*.py"))
    assert {file.name: sorted(imports(file) - ITS_OWN) for file in files if imports(file) - ITS_OWN} == {}
    assert {file.name for file in files} >= {"data.py", "diffs.py", "notes.py"}


OPENED = """
import sys
opened = set()
sys.addaudithook(lambda event, args: opened.add(str(args[0])) if event == "open" else None)
from tests.reader import data, read_project, shapes
shapes.project(), shapes.relations(), data.names(), list(data.evidence())
print(*sorted(opened), sep="\\n")
"""


def test_the_second_reader_opens_no_file_but_its_own(repo):
    """It is written from GitLab and judges what the package makes of the tree, so it must not read the tree."""
    done = subprocess.run([sys.executable, "-c", OPENED], cwd=repo, capture_output=True, text=True, check=True)
    of_repo = {
        path.relative_to(repo)
        for path in map(Path, done.stdout.splitlines())
        if path.is_relative_to(repo) and ".venv" not in path.parts and path.suffix != ".pyc"
    }
    folders = {path.parent for path in of_repo if "__pycache__" not in path.parts}
    assert Path("tests/reader/relations.yaml") in of_repo
    assert folders <= {Path("tests/reader"), Path("tests")}


def test_every_relation_has_words_that_the_reader_knows():
    for path, entry in data.walk():
        assert entry.keys() <= data.ATTRIBUTES, path
        assert path == "project" or len(entry.keys() & {*data.ASSOCIATIONS}) == 1, path
    assert len(shapes.relations()) == len(data.file()["relations"])


def test_a_word_that_the_reader_does_not_know_is_an_error():
    with pytest.raises(AssertionError, match=r"no relation has \['hasmany'\]"):
        data.whole({"hasmany": "labels", "keys": "title"})
    with pytest.raises(AssertionError, match="does not describe a value"):
        shapes.value_of({"nmae": "event_action"})
    with pytest.raises(KeyError, match="evnt_action"):
        shapes.value_of({"name": "evnt_action"})


def test_every_list_of_names_is_used():
    used = set(re.findall(r"name: (\w+)", (data.FOLDER / "relations.yaml").read_text("utf-8")))
    code = "".join(file.read_text("utf-8") for file in data.FOLDER.glob("*.py"))
    assert {name for name in data.names() if name not in used and f'names()["{name}"]' not in code} == set()


ASSUMED = {"protected_tags", "protected_environments", "project_security_settings"}
"""Tables of relations that import_export.yml lists, and whose models were not read."""


def test_every_relation_says_where_it_was_read():
    """Evidence for a relation also applies to others of its table."""

    def table(entry: data.Entry) -> str | None:
        return next((entry[word] for word in data.ASSOCIATIONS if word in entry), None)

    of = {path: table(entry) for path, entry in data.walk()}
    read = {of[one.path] for one in data.evidence() if one.how == "read"}
    assert {table for path, table in of.items() if "." not in path and path != "project"} - read == ASSUMED


def test_times_are_utc_with_three_decimals_cut_off():
    east = timezone(timedelta(hours=2))
    assert values.stored(datetime(2016, 6, 14, 15, 2, 8, 340999)) == "2016-06-14T15:02:08.340Z"
    assert values.stored(datetime(2016, 6, 14, 15, 2, 8, 999999, tzinfo=timezone.utc)) == "2016-06-14T15:02:08.999Z"
    assert values.stored(datetime(2016, 6, 14, 1, 2, 8, tzinfo=east)) == "2016-06-13T23:02:08.000Z"
    assert values.stored(date(2016, 6, 14)) == "2016-06-14"


def test_bytes_are_lower_case_hex_and_numbers_that_json_lacks_are_null():
    assert values.stored(b"\xab\x00\x0f") == "ab000f"
    assert values.stored(float("nan")) is None
    assert values.stored(98.0) == 98.0


def test_a_line_has_the_escapes_of_rails():
    assert values.line({"a": "<é>&\u2028\u2029/", "b": [1, None]}) == (
        '{"a":"\\u003cé\\u003e\\u0026\\u2028\\u2029/","b":[1,null]}\n'.encode()
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "--- !ruby/hash:ActiveSupport::HashWithIndifferentAccess\nforce_remove_source_branch: '1'\n",
            {"force_remove_source_branch": "1"},
        ),
        ("--- !map:ActiveSupport::HashWithIndifferentAccess\na: 1\n", {"a": 1}),
        ("--- !ruby/hash-with-ivars:Hash\nelements:\n  a: 1\nivars:\n  b: 2\n", {"a": 1}),
        ("---\nforce_remove_source_branch: true\nsquash_commit_message:\n", {
            "force_remove_source_branch": True, "squash_commit_message": None,
        }),
        ("---\n:a: :left\n:b: ':right'\n:c: !ruby/symbol up\n", {"a": "left", "b": ":right", "c": "up"}),
        ('---\n:"a b": 2024-01-01\nd: =\n', {"a b": "2024-01-01", "d": "="}),
        ('---\nforce_remove_source_branch: "\\0x"\n', {"force_remove_source_branch": "\0x"}),
        ("--- {}\n", {}),
        ("--- \n", {}),
        ("---\n", {}),
        ("", {}),
        (None, {}),
        ("--- []\n", {}),
        ("--- text\n", {}),
    ],
)  # fmt: skip
def test_parameters_of_a_merge_are_an_object_in_every_form_of_a_hash(text, expected):
    assert notes.merge_params(None, {"merge_params": text}, "merge_params") == expected


SHAS = {"base_sha": "a", "start_sha": "b", "head_sha": "c", "old_path": "a.rb", "new_path": "b.rb"}
HEAD = "--- !ruby/object:Gitlab::Diff::Position\nattributes:\n"
YAML = HEAD + "  :base_sha: a\n  :start_sha: b\n  :head_sha: c\n  :old_path: a.rb\n  :new_path: b.rb\n"
NULLS = {**dict.fromkeys(SHAS), "position_type": "text", "old_line": None, "new_line": None, "line_range": None}
RANGE = {"start": {"line_code": "x_1_1", "type": "new"}, "end": {"line_code": "x_1_2", "type": None}}
INSPECTED = '"base_sha"=>"a", "start_sha"=>"b", "head_sha"=>"c", "old_path"=>"a.rb", "new_path"=>"b.rb"'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *((text, NULLS) for text in (None, "", "--- \n", "---\n", "--- \n...\n", HEAD + "  {}\n")),
        (YAML + "  :position_type: text\n  :new_line: 3\n", {**NULLS, **SHAS, "new_line": 3}),
        (YAML + "  :position_type: :image\n  :x: 3\n", {**NULLS, **SHAS}),
        (
            YAML + "  :position_type: image\n  :width: 1\n  :height: 2\n  :x: 3\n  :y: 4\n  :old_line: 5\n",
            {**SHAS, "position_type": "image", "width": 1, "height": 2, "x": 3, "y": 4},
        ),
        (YAML + "  :position_type: file\n  :new_line: 5\n", {**SHAS, "position_type": "file"}),
        (YAML + "  :ignore_whitespace_change: true\n  :other: 1\n", {**NULLS, **SHAS}),
        (HEAD + "  base_sha: a\n  position_type: image\n", NULLS),
        (
            YAML + "  :line_range: !ruby/hash:ActiveSupport::HashWithIndifferentAccess\n    start:\n"
            "      line_code: x_1_1\n      type: new\n    end:\n      line_code: x_1_2\n      type:\n",
            {**NULLS, **SHAS, "line_range": RANGE},
        ),
        (f'{{{INSPECTED}, "new_line"=>3, "old_line"=>nil}}', {**NULLS, **SHAS, "new_line": 3}),
        (f"{{{INSPECTED.replace('=>', ' => ')}}}", {**NULLS, **SHAS}),
        ('{:old_path=>"a=>nil :b.rb", :position_type=>:image}', {
            **dict.fromkeys(SHAS), "old_path": "a=>nil :b.rb", "position_type": "image",
            "width": None, "height": None, "x": None, "y": None,
        }),
        ('{"line_range"=>{"start"=>{:type=>"new"}}}', {**NULLS, "line_range": {"start": {"type": "new"}}}),
        ('{"old_path"=>"a.rb"', None),
        ("[1, 2", None),
        ('{"old_path": "a.rb", "new_line": 3}', {**NULLS, "old_path": "a.rb", "new_line": 3}),
    ],
)  # fmt: skip
def test_a_position_is_flat_and_has_the_keys_of_its_type(text, expected):
    found = notes.read_position(text)
    assert found == expected
    assert found is None or list(found) == list(expected)


def test_only_the_class_that_has_a_coder_decodes():
    row = {"position": "--- \n", "st_diff": "--- \n:a: 1\n"}
    for kind in (None, "DiscussionNote", "LegacyDiffNote"):
        assert notes.position(None, row | {"type": kind}, "position") == "--- \n"
    for kind in (None, "DiscussionNote", "DiffNote"):
        assert notes.st_diff(None, row | {"type": kind}, "st_diff") == "--- \n:a: 1\n"
    assert notes.position(None, row | {"type": "DiffNote"}, "position") == NULLS
    assert notes.st_diff(None, row | {"type": "LegacyDiffNote"}, "st_diff") == {"a": 1}
    assert notes.st_diff(None, {"type": "LegacyDiffNote", "st_diff": None}, "st_diff") is None


@pytest.mark.parametrize(
    ("stored", "colour", "text"),
    [
        ("#FFFFFF", "#FFFFFF", "#1F1E24"),
        ("#fff", "#fff", "#1F1E24"),
        ("#000000", "#000000", "#FFFFFF"),
        ("#428BCA", "#428BCA", "#FFFFFF"),
        ("\t#fFcC00 \n", "#fFcC00", "#1F1E24"),
        ("#F0F ", "#F0F", "#FFFFFF"),
        ("\u00a0#fff", "\u00a0#fff", "#FFFFFF"),
        ("tomato", "tomato", "#FFFFFF"),
        ("", "", "#FFFFFF"),
        (None, "#6699cc", "#FFFFFF"),
    ],
)
def test_a_colour_is_stripped_and_text_on_it_is_dark_only_where_light_would_not_be_seen(stored, colour, text):
    assert labels.colour(None, {"color": stored}, "color") == colour
    assert labels.text_colour(None, {"color": stored}, "textColor") == text


@pytest.mark.parametrize(
    ("binary", "diff", "expected"),
    [
        (False, "@@ -1 +1 @@\n", "@@ -1 +1 @@\n"),
        (True, "w6nDvAo=", "éü\n"),
        (True, "w6nDvAo", "w6nDvAo"),
        (True, "w6nD\nvAo=", "w6nD\nvAo="),
        (True, "YR==", "YR=="),
        (True, "@@ no base64", "@@ no base64"),
        (True, "/wBh", "a"),
        (True, "ICAK", ""),
        (True, "", ""),
        (False, "", ""),
        (False, " \n\u3000", ""),
        (False, " \u001f", " \u001f"),
    ],
)
def test_a_diff_is_text_whatever_it_was(binary, diff, expected):
    assert diffs.decoded(diff.encode(), binary) == expected


@pytest.mark.parametrize(
    ("url", "organization", "project"),
    [
        ("https://sentry.example.com/api/0/projects/acme/web_front-end/", "Acme", "Web Front End"),
        ("https://sentry.example.com/api/0/projects//the-ee//app_id///", "The EE", "App"),
        ("https://sentry.example.com/api/0/projects/ACME/myApp2Go", "Acme", "My App2 Go"),
        ("https://sentry.example.com/api/0/projects/acme/", None, None),
        ("https://sentry.example.com/sub/api/0/projects/acme/app/", None, None),
        ("https://sentry.example.com/api/0/projects/acme/app/issues", None, None),
        ("", None, None),
        (None, None, None),
    ],
)
def test_names_of_error_tracking_are_made_of_the_slugs(url, organization, project):
    row = {"api_url": url, "project_name": None, "organization_name": None}
    assert settings.name_in_api_url(None, row, "organization_name") == organization
    assert settings.name_in_api_url(None, row, "project_name") == project
    assert settings.name_in_api_url(None, row | {"project_name": ""}, "project_name") == ""


@pytest.mark.parametrize(
    ("slug", "title"),
    [("web", "Web"), ("JH-2", "JH 2"), ("_a__b", "A  B"), ("HTMLParser", "Html Parser"), ("o'neil_x", "O'neil X")],
)
def test_a_slug_is_titleized_as_rails_does_it(slug, title):
    assert ruby.titleize(slug) == title


def test_null_is_a_name_only_in_enums_that_say_so_and_an_unknown_code_is_null():
    def name(of, code):
        return shapes.value_of({"name": of})(None, {"code": code}, "code")

    assert name("ci_source", None) == "unknown"
    assert name("ci_config_source", None) == "unknown_source"
    assert name("ci_job_failure", None) == "unknown_failure"
    assert name("ci_pipeline_failure", None) is None
    assert name("ci_scheduling_type", None) is None
    assert name("ci_pipeline_failure", 24) is None
    assert name("ci_job_failure", 0) is None


def test_issues_without_a_position_come_last():
    rows = [{"id": 1, "relative_position": None}, {"id": 2, "relative_position": 5}, {"id": 3, "relative_position": -5}]
    rows += [{"id": 4, "relative_position": 0}, {"id": 5, "relative_position": 5}]
    found = sorted(rows, key=shapes.null_last("relative_position"))
    assert [row["id"] for row in found] == [3, 4, 2, 5, 1]


def test_names_are_those_of_the_facts(facts):
    known = yaml.safe_load((facts / "gitlab" / "tree.yaml").read_text(encoding="utf-8"))["enums"]
    for name, enum in known.items():
        expected = {None if code == "null" else code: text for code, text in enum["values"].items()}
        assert data.names()[name] == expected, name
