"""Relations of files and repositories in a tree file, and the templates that name them."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from project_export.errors import TreeError
from project_export.tree import load
from project_export.tree.content import Malformed, Template
from tests.attic import TREE

ID = hashlib.sha256(b"42").hexdigest()


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("plain", "plain"),
        ("{id}", "42"),
        ("a/{id|sha256}.git", f"a/{ID}.git"),
        ("{id|sha256|0:2}/{id|sha256|2:4}", f"{ID[:2]}/{ID[2:4]}"),
        ("{path|last:2}", "secret/a b.png"),
        ("{path|last:1}", "a b.png"),
        ("{path|last:9}", "@hashed/6b/secret/a b.png"),
        ("{at|ruby_time}", "2026-01-02 03:04:05 UTC"),
        ("{id}{nothing}", None),
    ],
)
def test_a_template_is_filled_with_the_values_of_a_record(template, text):
    record = {"id": 42, "path": "@hashed/6b/secret/a b.png", "at": "2026-01-02T03:04:05.678Z", "nothing": None}
    assert Template.parse(template).render(record) == text
    assert str(Template.parse(template)) == template


@pytest.mark.parametrize("template", ["{id", "id}", "{id|md5}", "{id|last:0}", "{id|1}", "{{id}}"])
def test_a_template_that_cannot_be_read_is_refused(template):
    with pytest.raises(Malformed):
        Template.parse(template)


def test_relations_of_other_kinds_are_apart_from_those_with_records(tmp_path):
    (tmp_path / "attic.yaml").write_text(TREE)
    tree = load(str(tmp_path / "attic.yaml"))
    assert tree.names == ("attic", "notes")
    assert tree.exported == ("attic", "notes", "things", "diary", "letters")
    assert list(tree.locations) == ["boxes", "shelves"]
    diary = tree.relation("diary")
    assert diary.content.name.fixed == "diary.bundle"
    assert tree.relation("letters").content.name.fixed is None


CONTENT = "    content:\n      location: boxes\n"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("    kind: files\n", "    kind: file\n", "kind file is unknown; nearest: files"),
        ("    kind: files\n", "", "a relation of records has no content; give its kind"),
        ("    keys: [text]\n", "    keys: [text]\n    kind: files\n", "a relation of kind files needs content"),
        ("location: boxes\n", "location: box\n", "location box is unknown; nearest: boxes"),
        ('"things/{path}"', '"things/{paht}"', "key paht is unknown; nearest: path"),
        ('"things/{path}"', '"things/{path|md5}"', "the filter 'md5' is unknown"),
        ('"things/{path}"', '"things/{path"', "a brace is not closed, or not opened"),
        ('paths: ["{path}", "old/{path}"]', "paths: []", "name at least one path"),
        ("bytes: size", "bytes: siez", "key siez is unknown; nearest: size"),
        ("bytes: size", "sizes: size", "content has no attribute sizes"),
        ("key: kind}", "key: kin}", "key kin is unknown; nearest: kind"),
        ("      name: diary.bundle\n", "", "content lacks the attribute name"),
        (
            "    kind: files\n",
            "    kind: files\n    children: []\n",
            "a relation of kind files has no nested relations",
        ),
        ("shelves: Git", "top-shelf: Git", "location 'top-shelf': a name has letters"),
        ("[text]", "[{text: {head: things}}]", "relation of one bundle things is unknown; valid: diary"),
        ("[text]", "[{text: {tip: {of: letters, branch: text}}}]", "relation of one bundle letters is unknown"),
        ("[text]", "[{text: {tip: {of: diary}}}]", "tip lacks the attribute branch"),
    ],
)
def test_a_mistake_is_named_with_its_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert TREE.count(old) >= 1, old
    (tmp_path / "attic.yaml").write_text(TREE.replace(old, new, 1))
    with pytest.raises(TreeError) as caught:
        load(str(tmp_path / "attic.yaml"))
    assert message in str(caught.value)
    assert "attic.yaml:" in str(caught.value)
