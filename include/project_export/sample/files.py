"""Rows for a project's repositories, uploads, LFS objects and avatar, with the files that they name."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from datetime import datetime
from functools import partial

from project_export.sample.contents import image, lines, noise
from project_export.sample.disk import digest, lfs_path
from project_export.sample.history import History
from project_export.sample.side_repositories import Designs, add_wiki
from project_export.sample.values import FIRST_DAY
from project_export.sample.world import Lfs, Project, World

PROJECT, WIKI, DESIGN = 0, 1, 2
"""Types of the repository that refers to an LFS object; older rows have none (NULL), which is the project's."""
LFS_BYTES = 1000
LOCAL = 1
"""The store of a file: a folder, not an object store."""
AVATAR = "avatar.png"
LARGE = "large.bin"

Content = Callable[[], Iterable[bytes]]


def add_files(world: World, project: Project) -> None:
    """Add everything; call it before anything that names a commit or an upload."""
    if project.empty:
        _add_repository_rows(world, project)
        return
    for number in range(3):
        _add_upload(world, project, number)
    if project.full:
        _add_avatar(world, project)
    objects = [_add_lfs_object(world, project, repository_type) for repository_type in (None, PROJECT, WIKI, DESIGN)]
    _link(world, project, objects[1], WIKI)
    if world.shared_lfs_object:
        _link(world, project, world.shared_lfs_object, PROJECT)
    world.shared_lfs_object = objects[0]
    _add_repository_rows(world, project)
    files = {f"assets/{number}.bin": found.pointer() for number, found in enumerate(objects[:2])}
    project.history = History(project.repository, files)
    project.designs = Designs(world.disk, project.disk_path, objects[3].pointer())
    wiki = {"uploads/diagram.bin": objects[2].pointer(), "uploads/shared.bin": objects[1].pointer()}
    add_wiki(world.disk, project.disk_path, wiki, empty=not project.full)
    if world.large_bytes and project.id == 1:
        _add_large(world, project, project.history)


def _add_repository_rows(world: World, project: Project) -> None:
    """Add the rows of the repositories that exist: an empty project has neither a wiki nor designs."""
    own, times = {"project_id": project.id}, {"created_at": FIRST_DAY, "updated_at": FIRST_DAY}
    world.writer.add("project_repositories", shard_id=1, disk_path=project.disk_path, object_format=0, **own)
    if not project.empty:
        world.writer.add("project_wiki_repositories", **own, **times)
        world.writer.add("design_management_repositories", **own, **times)


def _add_upload(world: World, project: Project, number: int) -> None:
    """Add a file that people attached to a text: an image, a document that cannot be compressed, or a log."""
    values = world.values
    secret = f"{values.random.getrandbits(128):032x}"
    name, content = (
        ("screen_shot.png", lambda: [image(secret)]),
        ("naïve_name.pdf", partial(noise, secret, 6000)),
        ("log.txt", lambda: [lines(secret, 3000)]),
    )[number]
    _add_uploaded(world, project, secret, name, content, world.user(), created_at=values.after(FIRST_DAY))


def _add_uploaded(
    world: World, project: Project, secret: str, name: str, content: Content, user: int, created_at: datetime
) -> None:
    found = digest(content())
    world.writer.add(
        "uploads",
        size=found.size,
        checksum=found.sha256,
        model_id=project.id,
        model_type="Project",
        uploader="FileUploader",
        path=f"{secret}/{name}",
        secret=secret,
        store=LOCAL,
        uploaded_by_user_id=user,
        project_id=project.id,
        created_at=created_at,
    )
    project.uploads.append(f"{'!' * name.endswith('.png')}[{name}](/uploads/{secret}/{name})")
    if world.disk:
        world.disk.write(f"uploads/{project.uploads_path}/{secret}/{name}", content())


def _add_avatar(world: World, project: Project) -> None:
    path = f"uploads/-/system/project/avatar/{project.id}/{AVATAR}"
    content = image(path)
    found = digest([content])
    world.writer.add(
        "uploads",
        size=found.size,
        checksum=found.sha256,
        model_id=project.id,
        model_type="Project",
        uploader="AvatarUploader",
        mount_point="avatar",
        path=path,
        store=LOCAL,
        project_id=project.id,
        created_at=FIRST_DAY,
    )
    if world.disk:
        world.disk.write(path, [content])


def _add_lfs_object(world: World, project: Project, repository_type: int | None) -> Lfs:
    seed = f"{world.values.random.getrandbits(256):064x}"
    return _add_lfs(world, project, partial(noise, seed, LFS_BYTES), repository_type)


def _add_lfs(world: World, project: Project, content: Content, repository_type: int | None) -> Lfs:
    found = digest(content())
    times = {"created_at": FIRST_DAY, "updated_at": FIRST_DAY}
    oid = found.sha256
    number = world.writer.add("lfs_objects", oid=oid, size=found.size, file=oid[4:], file_store=LOCAL, **times)
    made = Lfs(number, oid, found.size)
    _link(world, project, made, repository_type)
    if world.disk:
        world.disk.write(lfs_path(oid), content())
    return made


def _link(world: World, project: Project, lfs: Lfs, repository_type: int | None) -> None:
    """Note that a repository of the project refers to an LFS object."""
    world.writer.add(
        "lfs_objects_projects",
        lfs_object_id=lfs.id,
        project_id=project.id,
        repository_type=repository_type,
        oid=lfs.oid,
        created_at=FIRST_DAY,
        updated_at=FIRST_DAY,
    )


def _add_large(world: World, project: Project, history: History) -> None:
    """Add an upload, an LFS object and a file of a branch, each as large as the caller wants."""
    size = world.large_bytes
    secret = hashlib.sha256(LARGE.encode()).hexdigest()[:32]
    _add_uploaded(world, project, secret, LARGE, partial(noise, "upload", size), world.users[0], created_at=FIRST_DAY)
    lfs = _add_lfs(world, project, partial(noise, "lfs object", size), PROJECT)
    repository = history.repository
    commit = repository.large_file(history.main, LARGE, size, noise("blob", size))
    repository.branch("large", repository.commit([commit], {"large-lfs.bin": lfs.pointer()}, "Add a pointer\n"))
