from __future__ import annotations

import io
import json
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import pytest

from project_export.archive.verify import Report, verify_file
from project_export.formats.gitlab import LIMITS as GITLAB
from project_export.tree import Tree, load, load_all
from tests.unit.archive_files import SHA, packed, written

FIXED = {
    "VERSION": b"0.2.4",
    "GITLAB_REVISION": b"0123456789a",
    "lfs-objects.json": b"{}",
    "tree/project.json": b"{}",
    "tree/project/auto_devops.ndjson": b"null",
}
ISSUES = "tree/project/issues.ndjson"


def checked(*issues: dict[str, Any], version: bytes = b"18.6.0") -> Report:
    content = b"".join(written(issue) + b"\n" for issue in issues)
    return verify_file(io.BytesIO(packed({**FIXED, "GITLAB_VERSION": version, ISSUES: content})), "project.tar.gz")


def codes(report: Report) -> list[str]:
    return [problem.code for problem in report.problems]


def test_a_finding_names_the_key_and_never_its_value() -> None:
    report = checked({"title": "t"}, {"notes": [{"author": {"name": "a"}, "updated_at": "yesterday", "token": "hush"}]})
    assert [str(problem) for problem in report.problems] == [
        f"{ISSUES}:2: issues.notes.updated_at: a text in another form instead of a time like 2017-08-29T04:36:44.383Z "
        "[type]",
        f"{ISSUES}:2: issues.notes.token: looks like a secret; archives never contain secrets [secret]",
    ]


@pytest.mark.parametrize("key", ["id", "milestone_id", "title_html", "invite_token"])
def test_what_old_archives_have_by_right_is_a_problem_in_new_ones(key: str) -> None:
    assert len(codes(checked({key: None}, version=b"15.0.0"))) == 1
    assert codes(checked({key: None}, version=b"14.10.5")) == []


def test_a_secret_with_a_value_is_a_problem_in_every_archive() -> None:
    assert codes(checked({"invite_token": "x"}, version=b"13.5.0")) == ["secret"]


@pytest.mark.parametrize("key", ["job_token_scope_enabled", "user_id", "prevent_secrets"])
def test_keys_that_some_relation_names_and_flags_are_no_secrets(key: str) -> None:
    assert codes(checked({key: True})) == []


def test_users_own_json_may_have_any_key() -> None:
    job = {"ref": "r", "options": {"secrets": {"TOKEN": "x"}, "id": 1}, "yaml_variables": [{"key": "password_id"}]}
    request = {"merge_params": {"token": "x"}}
    assert codes(checked({"merge_requests": [request], "builds": [job]})) == []


def test_records_nested_where_the_tree_has_none_are_checked_by_their_name() -> None:
    report = checked({"anything": {"notes": [{"note": 7}]}})
    assert codes(report) == ["type", "lost", "lost"]


def test_a_secret_is_found_however_deep_it_lies() -> None:
    assert codes(checked({"a": {"b": [{"c": {"private_key": "x"}}]}})) == ["secret"]
    deep: dict[str, Any] = {"private_key": "x"}
    for _ in range(50):
        deep = {"a": deep}
    assert codes(checked(deep)) == ["nested"]


def test_an_iid_is_taken_once_in_each_relation() -> None:
    assert codes(checked({"iid": 1}, {"iid": 2}, {"iid": 10**30}, {"iid": 513}, {"iid": None}, {"iid": None})) == []
    report = checked({"iid": 600}, {"iid": 10**30}, {"iid": 600}, {"iid": 10**30})
    assert [(problem.code, problem.where, problem.count) for problem in report.problems] == [("iid", f"{ISSUES}:3", 2)]


def test_a_nul_is_found_in_any_text_but_those_of_diffs() -> None:
    files = {"diff": {"merge_request_diff_files": [{"utf8_diff": "a\0", "new_path": "a\0"}]}}
    report = checked({"title": "a\0"}, {"title": "\\u0000"}, files, {"id_token_sub_claim_components": ["\0"]})
    assert [
        (problem.code, problem.message.partition(":")[0]) for problem in report.problems if problem.code == "nul"
    ] == [
        ("nul", "issues.title"),
        ("nul", "issues.diff.merge_request_diff_files.new_path"),
        ("nul", "issues.id_token_sub_claim_components"),
    ]


@pytest.mark.parametrize("key", ["merge_params", "position", "original_position", "change_position", "st_diff"])
def test_a_nul_is_taken_in_what_is_stored_as_yaml(key: str) -> None:
    for value, found in [({"a": "\0"}, []), ([{"a": ["\0"]}], []), ("\0", ["nul"])]:
        assert [code for code in codes(checked({"merge_request": {key: value}})) if code == "nul"] == found


def test_codes_may_have_names_where_an_edition_gives_them() -> None:
    assert codes(checked({"health_status": "on_track"}, {"health_status": 1}, {"health_status": None})) == []
    assert codes(checked({"health_status": "7"}, {"health_status": 7}, {"health_status": "lost"})) == ["enum", "enum"]


def test_another_tree_has_its_own_relations(tmp_path: Path) -> None:
    file = tmp_path / "shop.yaml"
    file.write_text(
        "name: shop\n"
        "root: {relation: account, table: accounts, keys: [name]}\n"
        "relations: [{relation: orders, table: orders, join: {account_id: id}, keys: [id, customer_id, token]}]\n"
    )
    tree = load(str(file))
    order = b'{"id":1,"customer_id":2,"token":"x"}\n'
    files = {"VERSION": b"0.2.4", "tree/account.json": b'{"name":"n"}', "tree/account/orders.ndjson": order}
    report = verify_file(io.BytesIO(packed(files)), "account.tar.gz", tree=tree)
    assert (report.problems, report.records) == ((), {"account": 1, "orders": 1})


_SHAPES = {
    "int": 7,
    "float": 0.5,
    "bool": True,
    "null": None,
    "object": {},
    "date YYYY-MM-DD": "2017-08-29",
    "sha1-hex40": SHA,
    "zero-sha40": "0" * 40,
    "digits-string": "100644",
    "empty-string": "",
    "colour #rrggbb": "#428bca",
}


# Of some values the shapes tell less than a model asks.
_MODELS = {
    "build_timeout": 3600,
    "pipeline_variables_minimum_override_role": "developer",
    "resource_group_default_process_mode": "unordered",
    "restrict_pipeline_cancellation_role": "developer",
    "imported_from": "none",
    "issue_type": "incident",
}


def _of_shape(key: str, shape: str) -> Any:
    if key in _MODELS:
        return _MODELS[key]
    if key.endswith("_access_level"):
        return 20
    kind, _, value = shape.partition(":")
    if kind in ("enum", "int-enum"):
        return int(value) if kind == "int-enum" else value
    if shape.startswith("datetime"):
        return "2017-08-29T04:36:44.383+10:00" if "other" in shape else "2017-08-29T04:36:44.383Z"
    return [] if shape.startswith("array") else _SHAPES.get(shape, "text")


@pytest.mark.parametrize(("version", "since"), [(b"13.5.0", 0), (b"18.9.0", 15)])
def test_no_key_and_no_shape_of_value_that_real_exports_have_is_a_problem(
    facts: Path, version: bytes, since: int
) -> None:
    relations = json.loads((facts / "tools" / "keys_by_relation.json").read_text())["relations"]

    def of(path: str, number: int) -> dict[str, Any]:
        record: dict[str, Any] = {}
        for key, seen in relations[path]["keys"].items():
            if not any(int(release.split(".")[0]) >= since for release in seen["versions"]):
                continue
            if f"{path}.{key}[]" in relations:
                record[key] = [of(f"{path}.{key}[]", number)]
            elif f"{path}.{key}" in relations:
                record[key] = of(f"{path}.{key}", number)
            else:
                record[key] = next(islice(cycle(sorted(seen["shapes"])), number, None))
                record[key] = number if key == "iid" else _of_shape(key, record[key])
        if path.endswith(("notes", "notes[]")):
            record["updated_at"] = "2017-08-29T04:36:44.383Z"
        return record

    files = {**FIXED, "GITLAB_VERSION": version}
    tree: Tree = load_all("gitlab").extended()
    ones = {relation.name for relation in tree.relations if relation.one}
    for path in relations:
        if path == "project":
            files["tree/project.json"] = written(of(path, 0))
        elif "." not in path:
            lines = [written(of(path, number)) for number in range(1 if path in ones else 6)]
            files[f"tree/project/{path}.ndjson"] = lines[0] if path in ones else b"\n".join(lines) + b"\n"
    report = verify_file(io.BytesIO(packed(files)), "project.tar.gz", limits=GITLAB)
    assert (report.problems, report.warnings) == ((), ())
