"""What the importer's models take: the data itself, and that trees of other applications are not judged by it."""

from __future__ import annotations

import io
import re
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from project_export.archive.findings import PROBLEMS, WARNINGS
from project_export.archive.importer import SHIPPED, Importer, importer
from project_export.archive.models import Check
from project_export.archive.verify import verify_file
from project_export.formats import FORMATS, PLAIN
from project_export.tree import Tree, load, load_all
from tests.unit.archive_files import POSITION, packed

RULES = {"source", "fails", "names", "codes", "longest", "cut", "between", "like", "filled", "needs", "either", "above"}
FIELDS = {"keys", "nested", "ignored", "rejected", "objects"} | RULES
# Association that import_export.yml names and whose keys it does not list.
UNLISTED = {"epic_issue"}


@pytest.fixture(scope="module")
def data() -> dict[str, Any]:
    loaded = yaml.safe_load((SHIPPED / "gitlab.yaml").read_text())
    assert isinstance(loaded, dict)
    return loaded


@pytest.fixture(scope="module")
def tree() -> Tree:
    return load_all("gitlab").extended()


def test_the_data_has_no_field_and_no_name_that_nothing_reads(data: dict[str, Any]) -> None:
    used = set()
    for name, relation in data["relations"].items():
        assert relation.keys() <= FIELDS, name
        assert "source" in relation or not relation.keys() & (RULES - {"source", "needs"}), name
        assert set(relation.get("nested", ())) <= data["relations"].keys() | UNLISTED, name
        keys = {*relation["keys"], *relation.get("objects", {})}
        for rule in ("names", "codes", "longest", "cut", "between", "like", "above"):
            assert relation.get(rule, {}).keys() <= keys, (name, rule)
        assert {*relation.get("filled", ())} <= keys
        named = [*relation.get("names", {}).values()]
        named += [names for one in relation.get("objects", {}).values() for names in one.values()]
        used |= {names for names in named if isinstance(names, str)}
    assert used == data["enums"].keys()
    assert data["former"].keys() <= used


def test_the_shipped_tree_exports_only_keys_that_the_importer_takes(tree: Tree) -> None:
    known = importer("gitlab")
    for path, relation in tree.walk():
        model = known.models.get(relation.name)
        if relation.constant is None:
            assert model, path
            for name in [key.name for key in relation.keys if key.wrap is None] + [
                child.name for child in relation.children
            ]:
                assert model.takes(name), f"{path}.{name}"


def test_the_shipped_tree_exports_only_names_that_the_importer_takes(tree: Tree) -> None:
    known = importer("gitlab")
    seen = 0
    for path, relation in tree.walk():
        for key in relation.keys:
            variants = (key, *(variant for _, variant in key.editions), *key.layouts)
            named = {name for one in variants for form in one.forms if form.enum for _, name in form.enum.names}
            if not named or key.wrap is not None:
                continue
            model = known.models.get(relation.name)
            check = model.checks.get(key.name) if model else None
            if model and key.name in model.ignored:
                continue
            assert check and check.names, f"{path}.{key.name}"
            assert named <= check.names, f"{path}.{key.name}"
            seen += 1
    assert seen > 30


def test_a_format_without_an_importer_has_no_rules() -> None:
    rules = importer(PLAIN.importer)
    assert rules == Importer()
    assert not any(rules.drops(key, ()) or rules.secret(key) for key in ("id", "token", "user_id", "note_html"))


def test_every_importer_that_a_format_names_has_its_data_and_every_data_file_its_format() -> None:
    named = {format.importer for format in FORMATS.values() if format.importer}
    assert named == {file.stem for file in SHIPPED.glob("*.yaml")}


def test_another_tree_is_not_judged_by_gitlab_s_lists(tmp_path: Path) -> None:
    file = tmp_path / "shop.yaml"
    file.write_text(
        "name: shop\n"
        "root: {relation: project, table: projects, keys: [name]}\n"
        "relations: [{relation: notes, table: notes, join: {project_id: id}, keys: [type, position, own]}]\n"
    )
    notes = b'{"type":"DiffNote","position":"left","own":1}\n{"type":"Odd","position":null,"own":"\\u0000"}\n'
    files = {"VERSION": b"0.2.4", "tree/project.json": b'{"name":"n"}', "tree/project/notes.ndjson": notes}
    report = verify_file(io.BytesIO(packed(files)), "project.tar.gz", tree=load(str(file)))
    assert [problem.code for problem in report.problems] == ["nul"]
    assert report.warnings == ()


@pytest.mark.parametrize(
    ("check", "taken", "refused"),
    [
        (Check(names=frozenset({"a", 1})), ["a", 1], ["b", 2, True, 1.5, [], {}]),
        (Check(codes=frozenset({0, 10})), [0, 10], [1, "10", False]),
        (Check(longest=3), ["", "äöü", 12345], ["four"]),
        (Check(filled=True), ["a", 0, False], [None, "", " \n"]),
        (Check(cut=3), ["abc"], ["abcd"]),
        (Check(between=(1, 3)), [1, 3, 2.5, "7", True, None], [0, 4, 3.1]),
        (Check(like=re.compile("#[0-9A-F]+")), ["#F", " #F "], ["", "red", "#G", "#F\n#F"]),
        (Check(keys={"type": frozenset({"a"}), "name": None}), [{"type": "a"}, {"name": "x"}], ["a", [], {}]),
    ],
)
def test_a_check_takes_and_refuses(check: Check, taken: list[Any], refused: list[Any]) -> None:
    assert [value for value in taken if check.fault(value, "lost")] == []
    assert [value for value in refused if not check.fault(value, "lost")] == []


ODD = st.one_of(
    st.sampled_from([None, True, 7, 0.5, "", "DiffNote", "image", "text", [], [1], {}, POSITION]),
    st.dictionaries(st.sampled_from([*POSITION, "start", "end"]), st.sampled_from([None, 7, "x", [], {}]), max_size=9),
)


@given(st.sampled_from(sorted(importer("gitlab").models)), st.lists(ODD, min_size=1), st.booleans())
def test_no_value_is_too_odd_to_be_judged(name: str, values: list[Any], on_diff: bool) -> None:
    model = importer("gitlab").models[name]
    record = dict(zip([*model.checks, *model.nested], cycle(values), strict=False))
    if on_diff:
        record["type"] = "DiffNote"
    found = [model.of_key(key, value) for key, value in record.items() if key in model.checks]
    codes = {fault.code for fault in [*found, *model.of_record(record)] if fault}
    assert codes <= {*PROBLEMS, *WARNINGS}


def test_an_original_position_that_is_replaced_says_so() -> None:
    found = (
        importer("gitlab")
        .models["notes"]
        .of_record(
            {
                "author": {"name": "n"},
                "updated_at": "",
                "type": "DiffNote",
                "noteable_type": "MergeRequest",
                "position": POSITION,
                "original_position": {**POSITION, "head_sha": None},
            }
        )
    )
    assert [fault.message for fault in found] == ["incomplete: it lacks head_sha; the importer uses position instead"]
