from __future__ import annotations

import hashlib
import io
import zlib
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from project_export.archive.part import BLOCK, PartWriter
from tests.unit.archive_samples import opened, part_of

# Long enough to cross a block, cut anywhere.
TEXT = b"".join(b'{"iid":%d}\n' % i for i in range(BLOCK // 8))


def inflated(stored: bytes) -> bytes:
    """What the stored bytes are, once a final block ends them."""
    inflate = zlib.decompressobj(-15)
    data = inflate.decompress(stored + b"\x03\x00")
    assert inflate.eof
    assert not inflate.unused_data
    return data


@given(st.lists(st.binary(max_size=2000), max_size=20), st.integers(0, 3))
def test_a_part_reads_back_as_it_was_written_and_its_facts_are_true(pieces: list[bytes], level: int) -> None:
    out = io.BytesIO()
    writer = PartWriter(out, level)
    for piece in pieces:
        writer.write(piece, 1)
    facts = writer.finish()
    raw, stored = b"".join(pieces), out.getvalue()
    assert inflated(stored) == raw
    assert (facts.records, facts.raw_bytes, facts.stored_bytes) == (len(pieces), len(raw), len(stored))
    assert (facts.crc32, facts.stored_crc32) == (zlib.crc32(raw), zlib.crc32(stored))
    assert facts.sha256 == hashlib.sha256(raw).hexdigest()


@given(st.lists(st.integers(0, len(TEXT)), max_size=8))
def test_the_sizes_written_do_not_change_the_stored_bytes(cuts: list[int]) -> None:
    whole, cut = io.BytesIO(), io.BytesIO()
    one, many = PartWriter(whole, 1), PartWriter(cut, 1)
    one.write(TEXT, 1)
    edges = [0, *sorted(cuts), len(TEXT)]
    for start, end in pairwise(edges):
        many.write(TEXT[start:end], 0)
    assert many.finish().sha256 == one.finish().sha256
    assert cut.getvalue() == whole.getvalue()


@pytest.mark.parametrize("level", range(4))
def test_an_empty_part_is_a_stream_of_nothing(level: int) -> None:
    part = part_of(b"", level=level)
    assert inflated(opened(part.uri).read()) == b""
    assert (part.facts.records, part.facts.raw_bytes, part.facts.crc32) == (0, 0, 0)


def test_a_part_ends_on_a_byte_boundary_and_leaves_its_file_open() -> None:
    out = io.BytesIO()
    writer = PartWriter(out, 1)
    writer.write(TEXT, 1)
    writer.finish()
    assert out.getvalue().endswith(b"\x00\x00\xff\xff")
    assert not out.closed


def test_progress_is_told_before_a_block_is_full() -> None:
    writer = PartWriter(io.BytesIO(), 1)
    writer.write(b'{"iid":1}\n', 1)
    assert (writer.records, writer.raw_bytes) == (1, 10)
