"""An archive's bundles and files into a folder of the sample, with the rows that name them.

Names: GitLab's lib/gitlab/import_export.rb, and Snippet#hexdigest in app/models/snippet.rb.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from project_export.errors import ArchiveBroken
from project_export.formats.gitlab import LFS_OBJECTS
from project_export.repositories import BundleReader
from project_export.sample.disk import Digest, Disk, digest, hashed, lfs_path
from project_export.sample.git import GitError
from project_export.sample.load.rows import Row, Rows
from project_export.sample.load.unpack import Record

CHUNK = 1 << 20
LOCAL = 1
HASHED_UPLOADS = 2
SHA256 = 1
"""The code of a repository's object format; that of SHA-1 is 0."""

_UPLOAD = re.compile(r"uploads/([0-9a-f]{32})/([^/]+)")
_LFS = re.compile(r"lfs-objects/([0-9a-f]{64})")
_SNIPPET = re.compile(r"snippets/([0-9a-f]{64})\.bundle")
_AVATAR = re.compile(r"avatar/([^/]+)")
_BUNDLES = {"project.bundle": "", "project.wiki.bundle": ".wiki", "project.design.bundle": ".design"}
_TABLES = {".wiki": "project_wiki_repositories", ".design": "design_management_repositories"}


class Files:
    """The files of one archive.

    others: their paths by name. left_out: counts the files that cannot be stored, by a description.
    """

    def __init__(self, disk: Disk, rows: Rows, archive: Path, others: Mapping[str, Path]) -> None:
        self.left_out: Counter[str] = Counter()
        self._disk = disk
        self._rows = rows
        self._archive = archive
        self._others = others
        self._snippets: dict[str, list[int]] = defaultdict(list)

    def note_snippet(self, record: Record, number: int) -> None:
        """Note the id of a snippet, whose bundle is named by its record."""
        self._snippets[snippet_digest(record)].append(number)

    def add(self, project_id: int) -> None:
        """Store all files and their rows; the records must have been stored.

        Raises ArchiveBroken if a bundle cannot be cloned, or if the LFS objects are not those that are listed.
        """
        own = {"project_id": project_id}
        disk_path = hashed("@hashed", project_id)
        listed = self._listed()
        self._rows.update("projects", project_id, {"storage_version": HASHED_UPLOADS})
        for name, path in self._others.items():
            if name in _BUNDLES:
                self._add_repository(name, path, disk_path, own)
            elif found := _SNIPPET.fullmatch(name):
                self._add_snippet(found[1], name, path, own)
            elif found := _UPLOAD.fullmatch(name):
                row = {"path": f"{found[1]}/{found[2]}", "secret": found[1], "uploader": "FileUploader"}
                self._add_upload(path, f"uploads/{disk_path}/{row['path']}", row, project_id)
            elif found := _AVATAR.fullmatch(name):
                where = f"uploads/-/system/project/avatar/{project_id}/{found[1]}"
                self._rows.update("projects", project_id, {"avatar": found[1]})
                row = {"path": where, "uploader": "AvatarUploader", "mount_point": "avatar"}
                self._add_upload(path, where, row, project_id)
            elif (found := _LFS.fullmatch(name)) and found[1] in listed:
                self._add_lfs_object(found[1], name, path, listed[found[1]], own)
            elif name != LFS_OBJECTS:
                self.left_out[f"{name.partition('/')[0]} (files of other names)"] += 1

    def _add_repository(self, name: str, bundle: Path, disk_path: str, own: Row) -> None:
        kind = _BUNDLES[name]
        sha256 = self._clone(name, bundle, disk_path + kind)
        if kind:
            self._rows.insert(_TABLES[kind], {"id": self._rows.next_id(_TABLES[kind]), **own})
            return
        row = {"id": self._rows.next_id("project_repositories"), "disk_path": disk_path, "shard_id": self._shard()}
        self._rows.insert("project_repositories", {**row, **own, "object_format": SHA256 if sha256 else 0})

    def _add_snippet(self, named: str, name: str, bundle: Path, own: Row) -> None:
        if named not in self._snippets:
            self.left_out["snippets (bundles of no snippet)"] += 1
        for number in self._snippets.get(named, ()):
            disk_path = hashed("@snippets", number)
            self._clone(name, bundle, disk_path)
            row = {"snippet_id": number, "disk_path": disk_path, "shard_id": self._shard()}
            self._rows.insert("snippet_repositories", {**row, "snippet_project_id": own["project_id"]})

    def _clone(self, name: str, bundle: Path, disk_path: str) -> bool:
        """Clone a bundle and return whether it has SHA-256 ids."""
        reader = BundleReader()
        for chunk in _chunks(bundle):
            reader.feed(chunk)
        if problems := reader.end():
            raise ArchiveBroken(f"{self._archive}: {name} is broken: {problems[0]}")
        try:
            self._disk.clone(bundle, disk_path)
        except GitError as error:
            raise ArchiveBroken(f"{self._archive}: {name} cannot be cloned: {error}") from error
        return reader.object_format == "sha256"

    def _add_upload(self, path: Path, where: str, row: Row, project_id: int) -> None:
        found = digest(_chunks(path))
        self._disk.move(path, where)
        self._rows.insert(
            "uploads",
            {
                "id": self._rows.next_id("uploads"),
                "size": found.size,
                "checksum": found.sha256,
                "model_id": project_id,
                "model_type": "Project",
                "store": LOCAL,
                "project_id": project_id,
                **row,
            },
        )

    def _listed(self) -> dict[str, list[int | None]]:
        """Return the types of the repositories that refer to each LFS object, by oid."""
        if LFS_OBJECTS not in self._others:
            return {}
        where = f"{self._archive}: {LFS_OBJECTS}"
        try:
            listed: dict[str, Any] = json.loads(self._others[LFS_OBJECTS].read_bytes())
            for oid, types in listed.items():
                if any(isinstance(one, bool) or one not in (None, 0, 1, 2) for one in types):
                    raise ValueError(f"the value of {oid} is not a list of repository types")
        except (ValueError, TypeError, AttributeError) as error:
            raise ArchiveBroken(f"{where} is not an object with lists: {error}") from error
        missing = [oid for oid in listed if f"lfs-objects/{oid}" not in self._others]
        if missing:
            raise ArchiveBroken(f"{where} lists {missing[0]}, which the archive does not contain")
        return listed

    def _add_lfs_object(self, oid: str, name: str, path: Path, types: list[int | None], own: Row) -> None:
        found = digest(_chunks(path))
        if found.sha256 != oid:
            raise ArchiveBroken(f"{self._archive}: {name} has the SHA-256 {found.sha256}")
        self._disk.move(path, lfs_path(oid))
        number = self._rows.find("lfs_objects", {"oid": oid}) or self._new_lfs_object(oid, found)
        for repository_type in dict.fromkeys(types):
            row = {"lfs_object_id": number, "repository_type": repository_type, "oid": oid, **own}
            self._rows.insert("lfs_objects_projects", {"id": self._rows.next_id("lfs_objects_projects"), **row})

    def _new_lfs_object(self, oid: str, found: Digest) -> int:
        number = self._rows.next_id("lfs_objects")
        row = {"id": number, "oid": oid, "size": found.size, "file": oid[4:], "file_store": LOCAL}
        self._rows.insert("lfs_objects", row)
        return number

    def _shard(self) -> int:
        found = self._rows.find("shards", {"name": "default"})
        if not found:
            found = self._rows.next_id("shards")
            self._rows.insert("shards", {"id": found, "name": "default"})
        return found


def snippet_digest(record: Record) -> str:
    """Return the name of a snippet's bundle, without .bundle.

    >>> found = snippet_digest({"title": "a", "description": None, "created_at": "2024-05-06T07:08:09.123Z"})
    >>> found == hashlib.sha256(b"a2024-05-06 07:08:09 UTC").hexdigest()
    True
    """
    parts = [record.get(name) or "" for name in ("title", "description")]
    parts += [_as_ruby(record.get(name)) for name in ("created_at", "updated_at")]
    return hashlib.sha256("".join(parts).encode()).hexdigest()


def _as_ruby(moment: str | None) -> str:
    """Return a time of a record as Rails writes it into a text; its zone is that of the instance."""
    if not moment:
        return ""
    found = datetime.fromisoformat(moment.replace("Z", "+00:00"))
    return f"{found:%Y-%m-%d %H:%M:%S} {'UTC' if moment.endswith('Z') else f'{found:%z}'}"


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            yield chunk
