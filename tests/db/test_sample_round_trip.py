"""What the sample has on disk, after an export and a load of its archive: the same refs and the same bytes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.db.test_sample_load_files import loaded, rows
from tests.runs import context, merge, path_of, started, work
from tests.sample_repositories import Sample, files, hashed, refs

LOCATIONS = {"repositories": "repositories", "uploads": "uploads", "lfs_objects": "lfs-objects"}


def refs_or_none(repository: Path) -> dict[str, str]:
    """Return the refs of a repository; none if it does not exist, which an archive cannot tell apart from empty."""
    return refs(repository) if repository.exists() else {}


def exported(sample: Sample, project: int, ledger: str, folder: Path) -> Path:
    """Export a project with all its files, and return the archive."""
    locations = ", ".join(f"{name}={(sample.folder / of).as_uri()}" for name, of in LOCATIONS.items())
    ctx = context(sample.database, ledger, folder, locations=locations, unit_cost=10_000)
    created = started(ctx, project_id=project)
    assert work(ctx, created) == []
    return path_of(merge(ctx, created))


@pytest.mark.parametrize("project", [1, 2, 3, 5, 6])
def test_an_archive_brings_back_every_ref_and_every_file(
    project, sample_on_disk, sample_database, new_database, tmp_path
):
    sample, copy = sample_on_disk, tmp_path / "files"
    archive = exported(sample, project, new_database(), tmp_path / "store")
    assert loaded(sample_database, archive, copy) == project
    for kind in ("", ".wiki", ".design"):
        source = refs_or_none(sample.own(project, kind))
        assert refs_or_none(copy / "repositories" / f"{hashed('@hashed', project)}{kind}.git") == source
        assert bool(source) == (project != sample.empty and not (kind == ".wiki" and project == 2))
    legacy = project in (sample.legacy, sample.legacy_uploads)
    below = f"acme/tools/project-{project}" if legacy else hashed("@hashed", project)
    uploads = files(sample.folder / "uploads" / below)
    assert files(copy / "uploads" / hashed("@hashed", project)) == uploads
    avatars = Path("uploads", "-", "system", "project", "avatar", str(project))
    assert files(copy / avatars) == files(sample.folder / avatars)
    oids = {row["oid"] for row in sample.table("lfs_objects_projects") if row["project_id"] == project}
    found = files(copy / "lfs-objects")
    assert {name.replace("/", "") for name in found} == oids
    assert found.items() <= files(sample.folder / "lfs-objects").items()
    assert bool(uploads) == bool(oids) == (project != sample.empty)


def test_an_archive_brings_back_the_repositories_of_snippets(sample_on_disk, sample_database, new_database, tmp_path):
    sample, copy = sample_on_disk, tmp_path / "files"
    loaded(sample_database, exported(sample, 1, new_database(), tmp_path / "store"), copy)
    there = {row["disk_path"] for row in sample.table("snippet_repositories") if row["snippet_project_id"] == 1}
    sources = [found for path in there if (found := refs(sample.root / f"{path}.git"))]
    copies = [
        refs(copy / "repositories" / f"{row['disk_path']}.git") for row in rows(sample_database, "snippet_repositories")
    ]
    assert len(sources) == 2
    assert sorted(map(str, copies)) == sorted(map(str, sources))
