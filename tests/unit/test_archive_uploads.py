"""Uploads that texts name, held against those in the archive."""

from __future__ import annotations

import pytest

from project_export.archive.findings import Findings
from project_export.archive.uploads import Uploads

SECRET, OTHER, OLD = "0123456789abcdef" * 2, "f" * 32, "0123456789"
NOTES = "tree/project/issues.ndjson"


def remarks(text: str, *stored: str, size: int = 1 << 20) -> list[tuple[str, str]]:
    findings = Findings()
    uploads = Uploads(findings)
    data = text.encode()
    chunks = [data[i : i + size] for i in range(0, len(data), size)]
    assert list(uploads.records(NOTES, iter(chunks))) == chunks
    for name in stored:
        assert uploads.file(name)
    uploads.end()
    return [(one.code, one.message.split("/")[1]) for one in findings.remarks(None)]


@pytest.mark.parametrize("size", [1, 2, 7, 41, 42, 43, 1000])
def test_an_upload_that_a_text_names_is_missed_however_the_text_is_cut(size):
    text = f'{{"note":"![a](/uploads/{SECRET}/a.png) and /uploads/{OTHER}/b c.pdf"}}' * 3
    assert remarks(text, f"uploads/{SECRET}/a.png", size=size) == [("upload", OTHER)]
    assert remarks(text, f"uploads/{SECRET}/a.png", f"uploads/{OTHER}/b c.pdf", size=size) == []


def test_old_and_short_secrets_count_and_other_paths_do_not():
    assert remarks(f"/uploads/{OLD}/a") == [("upload", OLD)]
    assert remarks("/uploads/short/a /uploads/-/system/user/1/a.png uploads " + "a" * 100) == []


def test_a_file_elsewhere_is_not_an_upload():
    uploads = Uploads(Findings())
    for name in ("uploads/a.png", f"uploads/{SECRET}", f"uploads/{SECRET}/a/b", f"avatar/{SECRET}/a"):
        assert not uploads.file(name)
