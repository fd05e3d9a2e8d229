"""Formats: which files an archive has, what is escaped, and that each format is complete."""

from __future__ import annotations

import json
from dataclasses import fields

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


def test_a_plain_text_stays_as_it_is() -> None:
    document = json.dumps(SPECIAL, ensure_ascii=False).encode()
    assert PLAIN.escapes == Escapes()
    assert PLAIN.escapes.escape(document) == document
    assert PLAIN.escapes.whole(document) == len(document)


def test_no_parameter_of_a_tree_can_be_named_like_what_every_request_has() -> None:
    assert {field.name for field in fields(Request)} - {"parameters"} == set(RESERVED)
