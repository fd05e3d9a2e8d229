"""Programs and libraries that people unpack archives with read ours whole; each is run where the machine has it."""

from __future__ import annotations

import gzip
import hashlib
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from project_export.archive.pieces import Member
from tests.unit.archive_samples import archive_of, part_of

NAME = "tree/project/issues.ndjson"

TAR = {
    "GNU tar": ["tar", "-xzOf", "{}", f"./{NAME}"],
    "bsdtar": ["bsdtar", "-xzOf", "{}", f"./{NAME}"],
    "busybox tar": ["busybox", "tar", "-xzOf", "{}", f"./{NAME}"],
    "Python, r:gz": [sys.executable, "tarfile.py", "r:gz", "{}"],
    "Python, r|gz": [sys.executable, "tarfile.py", "r|gz", "{}"],
    "Ruby, GzipReader and TarReader": ["ruby", "reader.rb", "{}"],
}
GZIP = {
    "gzip": ["gzip", "-dc", "{}"],
    "pigz": ["pigz", "-dc", "{}"],
    "busybox gunzip": ["busybox", "gunzip", "-c", "{}"],
    "libdeflate": ["libdeflate-gunzip", "-c", "{}"],
    "Perl, IO::Uncompress::Gunzip": ["perl", "gunzip.pl", "{}"],
    "Ruby, GzipReader": ["ruby", "gunzip.rb", "{}"],
    "Node, createGunzip": ["node", "gunzip.js", "{}"],
    "Java, GZIPInputStream": ["java", "-Xshare:auto", "-XX:TieredStopAtLevel=1", "Gunzip.java", "{}"],
}
"""Each writes to its output: the first what is in the file NAME, the second the tar as it is before compression."""

PROGRAMS = {
    "tarfile.py": f"""
import shutil, sys
sys.path.remove(sys.path[0])  # this file's own folder, where it is called as the module
import tarfile
with open(sys.argv[2], "rb") as file, tarfile.open(fileobj=file, mode=sys.argv[1]) as tar:
    for member in tar:
        if member.name == "./{NAME}":
            shutil.copyfileobj(tar.extractfile(member), sys.stdout.buffer)
""",
    "reader.rb": f"""
require "zlib"
require "rubygems/package"
Zlib::GzipReader.open(ARGV[0]) do |gzip|
  Gem::Package::TarReader.new(gzip) do |tar|
    tar.each {{ |entry| $stdout.binmode.write(entry.read) if entry.full_name == "./{NAME}" }}
  end
end
""",
    "gunzip.pl": """
use IO::Uncompress::Gunzip qw(gunzip $GunzipError);
binmode STDOUT;
gunzip $ARGV[0] => \\*STDOUT or die $GunzipError;
""",
    "gunzip.rb": """
require "zlib"
Zlib::GzipReader.open(ARGV[0]) { |gzip| IO.copy_stream(gzip, $stdout.binmode) }
""",
    "gunzip.js": """
require("fs").createReadStream(process.argv[2]).pipe(require("zlib").createGunzip()).pipe(process.stdout);
""",
    "Gunzip.java": """
public class Gunzip {
    public static void main(String[] arguments) throws java.io.IOException {
        try (var file = new java.util.zip.GZIPInputStream(new java.io.FileInputStream(arguments[0]))) {
            file.transferTo(System.out);
        }
    }
}
""",
}


@pytest.fixture(scope="module")
def content() -> bytes:
    """A relation whose parts are longer than any reader's buffer: much of it cannot be compressed."""
    noise = random.Random(1)
    return b"".join(b'{"title":"%s"}\n' % noise.randbytes(300).hex().encode() * 2 for _ in range(1000))


@pytest.fixture(scope="module")
def archive(content: bytes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    lines = content.splitlines(keepends=True)
    pieces = (b"".join(lines[start : start + 700]) for start in range(0, len(lines), 700))
    parts = tuple(part_of(piece, part=number) for number, piece in enumerate(pieces))
    empty = part_of(b"", "boards")
    data, _ = archive_of([Member("VERSION", data=b"0.2.4"), Member(NAME, parts), Member("tree/boards", (empty,))])
    path = tmp_path_factory.mktemp("archive") / "project.tar.gz"
    path.write_bytes(data)
    for name, program in PROGRAMS.items():
        (path.parent / name).write_text(program, "utf-8")
    return path


def output(command: list[str], archive: Path) -> bytes:
    if not shutil.which(command[0]):
        pytest.skip(f"{command[0]} is not installed")
    filled = [word.format(archive) for word in command]
    done = subprocess.run(filled, cwd=archive.parent, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.mark.heavy
@pytest.mark.parametrize("reader", TAR)
def test_a_file_of_the_archive_is_read_whole_by(reader: str, archive: Path, content: bytes) -> None:
    assert digest(output(TAR[reader], archive)) == digest(content)


@pytest.mark.heavy
@pytest.mark.parametrize("reader", GZIP)
def test_the_archive_is_unpacked_whole_by(reader: str, archive: Path) -> None:
    assert digest(output(GZIP[reader], archive)) == digest(gzip.decompress(archive.read_bytes()))
