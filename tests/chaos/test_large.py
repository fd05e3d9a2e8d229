"""A relation of more than 8 GiB, a size that neither a plain tar header nor the trailer of a gzip member can hold."""

from __future__ import annotations

import io
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from project_export.archive.layout import Exported, members
from project_export.archive.part import PartWriter
from project_export.archive.pieces import Member, StoredPart, archive_pieces
from project_export.archive.verify import verify
from project_export.store import assemble
from tests.chaos.conftest import Happened
from tests.unit.archive_samples import FILES, MTIME, manifest_of, opened, part_of, stored

MIB, GIB = 1 << 20, 1 << 30
LINES, PARTS = 256, 33
NAME = "tree/project/commit_notes.ndjson"


@pytest.mark.fault("F18", "a relation of 8.25 GiB")
@pytest.mark.timeout(900)
def test_an_archive_beyond_all_32_bit_limits_is_read_whole(tmp_path: Path, happened: Happened) -> None:
    record = b'{"note":"%s","author":{"name":"x"},"updated_at":"2026-01-02T03:04:05.678Z"}\n'
    line = record % (b"x" * (MIB - len(record) + 2))
    part = one_part(line)
    relations = (
        ("project", True, (part_of(b"{}", "project", records=1),)),
        ("commit_notes", False, tuple(StoredPart("commit_notes", i, part.facts, part.uri) for i in range(PARTS))),
    )
    files = members(FILES, "project", [Exported(*one) for one in relations])
    path = tmp_path / "project.tar.gz"
    with path.open("wb") as out:
        facts = assemble(archive_pieces(files, MTIME), opened, out)
    size = PARTS * LINES * MIB
    assert size > 8 * GIB
    read = []

    report = verify(path, manifest_of(relations, facts, {file.name for file in files if isinstance(file, Member)}))
    assert report.problems == ()
    assert report.records["commit_notes"] == PARTS * LINES
    assert int.from_bytes(path.read_bytes()[-4:], "little") == report.unpacked % 2**32
    read.append("verify")

    with path.open("rb") as file, tarfile.open(fileobj=file, mode="r|gz") as tar:
        found = {member.name: (member.size, last_line(tar, member)) for member in tar if member.isfile()}
    assert found[f"./{NAME}"] == (size, line)
    read.append("Python r|gz")

    for name, command in {
        "GNU tar": ["tar", "-tvzf"],
        "bsdtar": ["bsdtar", "-tvf"],
    }.items():
        if shutil.which(command[0]):
            done = subprocess.run([*command, path], capture_output=True, text=True, check=True)
            assert any(NAME in row and str(size) in row for row in done.stdout.splitlines())
            read.append(name)
    sizes = f"{path.stat().st_size / 1e6:.0f} MB unpack to {report.unpacked / GIB:.2f} GiB"
    happened(f"{sizes}; read whole by {', '.join(read)}")


def one_part(line: bytes) -> StoredPart:
    """Return a part of that line, LINES times."""
    out = io.BytesIO()
    writer = PartWriter(out, 1)
    for _ in range(LINES):
        writer.write(line, 1)
    return stored(StoredPart("commit_notes", 0, writer.finish(), ""), out.getvalue())


def last_line(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    """Read a file of the archive to its end and return the last line."""
    file = tar.extractfile(member)
    assert file is not None
    last = b""
    while block := file.read(MIB):
        last = block
    return last.splitlines(keepends=True)[-1] if last else b""
