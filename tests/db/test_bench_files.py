"""The benchmark of files compares what is comparable: every way reads the same files."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from bench.discard import OURS, WAYS, run
from bench.files import measure
from bench.folder import MB, Folder, make
from tests.databases import Databases
from tests.repositories import git

pytestmark = pytest.mark.heavy


@pytest.fixture(scope="module")
def folder(databases: Databases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Folder]:
    with databases.new() as uri:
        folder = Folder(uri, tmp_path_factory.mktemp("bench") / "files")
        make(folder, 3)
        yield folder


def test_the_repository_has_packed_and_loose_objects(folder: Folder) -> None:
    counts = dict(line.split(": ") for line in git("count-objects", "-v", at=folder.repository).splitlines())
    assert int(counts["in-pack"]) > 100
    assert int(counts["count"]) > 60, "the objects of 20 commits"
    git("fsck", "--full", at=folder.repository)


def test_every_way_reads_all_of_its_files(folder: Folder) -> None:
    sizes = {
        "repository": 3 * MB,
        "uploads": sum(file.stat().st_size for file in folder.uploads.rglob("*") if file.is_file()),
    }
    assert sizes["uploads"] > 2 * MB
    for relation, ways in WAYS.items():
        for way in ways:
            cost = measure(folder, relation, way)
            assert cost.wall > 0
            if way == OURS:
                assert cost.raw_bytes > sizes[relation]
                assert 30 < cost.client_mb < 200


@pytest.mark.parametrize(("relation", "way"), [("repository", "bundle"), ("uploads", "tar")])
def test_a_command_that_fails_is_not_measured(folder: Folder, relation: str, way: str) -> None:
    with pytest.raises(subprocess.CalledProcessError):
        run(Folder(folder.uri, folder.path / "nothing"), WAYS[relation][way].command)
