from __future__ import annotations

from collections.abc import Iterator

import pytest

from project_export.archive.layout import Exported, members
from project_export.archive.pieces import Member, Run
from project_export.errors import ArchiveBroken
from tests.unit.archive_samples import FILES, part_of

ROOT = Exported("project", True, (part_of(b"{}", "project", records=1),))


def named(files: list[Member | Run]) -> Iterator[tuple[str, bytes]]:
    for file in files:
        assert isinstance(file, Member)
        yield file.name, file.data


def test_the_files_besides_the_records_are_those_that_gitlab_writes() -> None:
    files = dict(named(members(FILES, "project", [ROOT])))
    assert files == {
        "VERSION": b"0.2.4",
        "GITLAB_VERSION": b"18.6.0",
        "GITLAB_REVISION": b"0123456789a",
        "lfs-objects.json": b"{}",
        "tree/project.json": b"",
    }


def test_a_relation_of_many_without_records_has_no_file() -> None:
    empty, some = (part_of(b""), part_of(b"", part=1)), (part_of(b""), part_of(b"{}\n", part=1))
    names = [
        name
        for name, _ in named(members({}, "project", [ROOT, Exported("a", False, empty), Exported("b", False, some)]))
    ]
    assert "tree/project/a.ndjson" not in names
    assert "tree/project/b.ndjson" in names


def test_a_one_to_one_relation_without_data_is_an_error() -> None:
    with pytest.raises(ArchiveBroken, match=r"tree/project/a\.ndjson would be empty"):
        members({}, "project", [ROOT, Exported("a", True, (part_of(b""),))])


def test_an_archive_without_its_root_is_an_error() -> None:
    with pytest.raises(ArchiveBroken, match="lacks its root 'project'"):
        members({}, "project", [Exported("a", False, ())])


def test_another_root_names_its_own_files() -> None:
    root = Exported("shop", True, (part_of(b"{}", "shop", records=1),))
    names = [name for name, _ in named(members({}, "shop", [root, Exported("orders", False, (part_of(b"{}\n"),))]))]
    assert names == ["tree/shop.json", "tree/shop/orders.ndjson"]
