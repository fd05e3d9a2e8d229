"""What is too large for GitLab's importer is said: records, however they come in pieces, and whole archives."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from project_export.archive.oversize import Oversize, too_large
from project_export.formats.gitlab import GIB, LIMITS

LIMIT = 10


def said(pieces: list[tuple[bytes, int]]) -> tuple[str, ...]:
    oversize = Oversize(replace(LIMITS, line=LIMIT))
    for data, records in pieces:
        oversize.add(data, records)
    return oversize.remarks


def test_a_record_of_just_the_limit_is_not_said_and_its_newline_does_not_count():
    assert said([(b"x" * LIMIT + b"\n", 1), (b"x" * LIMIT, 1)]) == ()


def test_a_longer_one_is_said_with_its_size():
    (remark,) = said([(b"x" * 11 + b"\n", 1)])
    assert remark == "1 record(s) over 10 bytes, the longest of 11: GitLab refuses an archive with such a line"


@given(
    st.lists(st.lists(st.binary(max_size=25).map(lambda data: data.replace(b"\n", b"")), min_size=1, max_size=4)),
    st.integers(1, 7),
)
def test_records_are_counted_alike_in_runs_and_in_pieces(runs, size):
    records = [record for run in runs for record in run]
    longer = [len(record) for record in records if len(record) > LIMIT]
    pieces = []
    for record in records:
        line = record + b"\n"
        cut = [line[start : start + size] for start in range(0, len(line), size)]
        pieces += [(piece, 0) for piece in cut[:-1]] + [(cut[-1], 1)]
    whole = [(b"".join(record + b"\n" for record in run), len(run)) for run in runs]
    for found in (said(pieces), said(whole)):
        assert len(found) == bool(longer)
        assert all(f"{len(longer)} record(s)" in remark and f"of {max(longer)}:" in remark for remark in found)


def test_an_archive_of_just_the_limits_is_not_said():
    assert too_large(LIMITS.stored, LIMITS.unpacked, LIMITS) == ()


def test_a_larger_one_is_said_with_its_sizes_and_the_settings_that_refuse_it():
    unpacked, stored = too_large(5 * GIB + 1, 25 * GIB + 1, LIMITS)
    assert unpacked.startswith(f"{25 * GIB + 1} bytes once unpacked: GitLab refuses more than 25 GiB")
    assert "max_decompressed_archive_size" in unpacked
    assert stored.startswith(f"an archive of {5 * GIB + 1} bytes: GitLab.com refuses more than 5 GiB")


def test_without_an_importer_nothing_is_too_large():
    oversize = Oversize(None)
    oversize.add(b"x" * (LIMITS.line + 1), 1)
    assert (oversize.remarks, too_large(5 * GIB + 1, 25 * GIB + 1, None)) == ((), ())
