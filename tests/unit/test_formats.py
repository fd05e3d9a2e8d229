"""Formats: which files an archive has, what is escaped, and that each format is complete."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from project_export.archive.extras import NoExtras, extras
from project_export.formats import FORMATS, GITLAB, PLAIN, Escapes
from project_export.request import Request
from project_export.tree.parameters import RESERVED

SPECIAL = "<>&\u2028\u2029\u2027\u202a\u00e2"


def test_a_plain_archive_has_nothing_besides_the_records_and_needs_no_setting() -> None:
    assert PLAIN.written(str) == {}
    assert (PLAIN.settings, PLAIN.importer, PLAIN.limits) == ((), "", None)
    assert extras(PLAIN) is NoExtras


def test_every_format_with_files_has_what_checks_them() -> None:
    assert {format.name for format in FORMATS.values() if format.files} == {
        format.name for format in FORMATS.values() if extras(format) is not NoExtras
    }


def test_messages_name_the_application_or_only_its_version() -> None:
    assert (GITLAB.described("18.6"), PLAIN.described("2.0")) == ("GitLab 18.6", "version 2.0")


@given(st.text(st.sampled_from("ab\n" + SPECIAL)), st.integers(1, 5))
def test_what_is_escaped_is_the_same_text_in_whatever_pieces_it_comes(text: str, size: int) -> None:
    document = json.dumps(text, ensure_ascii=False).encode()
    escaped = GITLAB.escapes.escape(document)
    assert json.loads(escaped) == text
    assert not set("<>&\u2028\u2029") & set(escaped.decode())
    written, held = b"", b""
    for at in range(0, len(document), size):
        held += document[at : at + size]
        whole = GITLAB.escapes.whole(held)
        assert len(held) - whole < 3
        written += GITLAB.escapes.escape(held[:whole])
        held = held[whole:]
    assert written + GITLAB.escapes.escape(held) == escaped


def test_what_an_escape_consists_of_is_not_escaped_again() -> None:
    escapes = Escapes({b"u": b"\\u0075", "\u2028".encode(): b"\\u2028"})
    assert escapes.escape('"tu\u2028"'.encode()) == b'"t\\u0075\\u2028"'


def test_a_plain_text_stays_as_it_is() -> None:
    document = json.dumps(SPECIAL, ensure_ascii=False).encode()
    assert PLAIN.escapes == Escapes()
    assert PLAIN.escapes.escape(document) == document
    assert PLAIN.escapes.whole(document) == len(document)


KNOWS = {"archive/gitlab.py", "archive/lfs.py", "archive/extras.py", "tree/transforms.py", "tree/load.py"}
"""GitLab's own modules, and those that register them or name the default tree."""
ENGINE = ("archive", "tree", "source", "producers", "steps", "ledger", "store", "plan.py", "request.py")


def names_and_texts(file: Path) -> Iterator[str]:
    """Yield the names and the texts of a module, without its docstrings."""
    module = ast.parse(file.read_text("utf-8"))
    alone = {id(node.value) for node in ast.walk(module) if isinstance(node, ast.Expr)}
    for node in ast.walk(module):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in alone:
            yield node.value
        for name in ("id", "attr", "arg", "name", "module"):
            if isinstance(value := getattr(node, name, None), str):
                yield value


def test_the_engine_does_not_know_gitlab(repo: Path) -> None:
    package = repo / "include" / "project_export"
    files = [file for root in ENGINE for file in [package / root, *(package / root).rglob("*.py")] if file.is_file()]
    assert len(files) > 80
    knowing = {
        str(file.relative_to(package))
        for file in files
        if any("gitlab" in text.lower() for text in names_and_texts(file))
    }
    assert knowing == KNOWS


def test_no_parameter_of_a_tree_can_be_named_like_what_every_request_has() -> None:
    assert {"source", *(field.name for field in fields(Request))} - {"parameters"} == set(RESERVED)
