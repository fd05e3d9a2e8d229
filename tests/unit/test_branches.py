"""The branches of a repository, as records need them."""

from __future__ import annotations

import pytest

from project_export.errors import ArchiveBroken
from project_export.producers.branches import RepositoryBranches
from project_export.repositories import Refs


def branches(head: str | None, *names: str) -> RepositoryBranches:
    return RepositoryBranches.of(Refs(head, None, {name: f"{at:040x}" for at, name in enumerate(names)}, "sha1"))


@pytest.mark.parametrize(
    ("head", "names", "default"),
    [
        ("refs/heads/trunk", ("main", "trunk"), "trunk"),
        ("refs/heads/gone", ("only",), "only"),
        ("refs/heads/gone", ("a", "main", "master"), "main"),
        ("refs/heads/gone", ("a", "master"), "master"),
        (None, ("b", "a"), "b"),
        ("refs/heads/main", (), None),
    ],
)
def test_the_default_branch_is_that_of_head_or_a_usual_one(head, names, default):
    assert branches(head, *(f"refs/heads/{name}" for name in names)).default == default


def test_only_branches_count_and_only_those_whose_names_are_text():
    found = branches("refs/heads/main", "refs/heads/main", "refs/tags/v1", "refs/heads/\udcff", "refs/heads/ö/#")
    assert list(found.tips) == ["main", "ö/#"]


def test_branches_read_back_as_they_were_kept():
    found = branches("refs/heads/main", "refs/heads/main", "refs/heads/ö")
    assert RepositoryBranches.from_json(found.to_json()) == found


@pytest.mark.parametrize("text", [b"", b"{", b'{"no": 1}', b"[]"])
def test_damaged_branches_are_named_so(text):
    with pytest.raises(ArchiveBroken, match="damaged"):
        RepositoryBranches.from_json(text)
