"""The generator: fills an empty database that has the sample's schema with projects of any size.

By default it writes what GitLab writes: rows that its models accept (docs/sample.md lists the validations), stored in
the way of the database's layout. `hostile` adds everything else that a database may contain.

The same arguments always give the same rows. The rows of projects are interleaved, as in a real database, and memory
does not grow with their number.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from psycopg import Connection

from project_export.errors import BadRequest, SourceChanged
from project_export.sample.disk import Disk, written
from project_export.sample.history import pool
from project_export.sample.hostile import make as make_hostile
from project_export.sample.issues import add_issue
from project_export.sample.members import count as count_members
from project_export.sample.merge_requests import add_merge_request
from project_export.sample.others import add_others
from project_export.sample.people import add_people
from project_export.sample.pipelines import add_pipeline
from project_export.sample.planning import (
    add_boards,
    add_labels,
    add_members,
    add_milestones,
    add_releases,
    add_snippets,
)
from project_export.sample.project import add_project
from project_export.sample.rules import add_rules
from project_export.sample.values import Values
from project_export.sample.world import Project, World
from project_export.sample.writer import Writer
from project_export.tree import load

SIZES = {"issues": 60, "merge_requests": 20, "ci_pipelines": 20}
"""What the first project has at scale 1; a pipeline is written after the merge request that it belongs to."""

COMPLETE = (1, 0.01, 1, False, True)
"""Arguments of `generate` for the smallest sample in which every key that can have a value has one."""

ADDERS: dict[str, Callable[[World, Project, int], None]] = {
    "issues": add_issue,
    "merge_requests": add_merge_request,
    "ci_pipelines": add_pipeline,
}


@dataclass(frozen=True)
class GeneratedProject:
    """A project's id and how many records its export must contain, by top-level relation (0: none)."""

    id: int
    records: dict[str, int]


def generate(
    conn: Connection[tuple[object, ...]],
    projects: int,
    scale: float,
    seed: int = 1,
    hostile: bool = False,
    complete: bool = False,
    files: Path | None = None,
    large_bytes: int = 0,
) -> list[GeneratedProject]:
    """Add projects with the ids 1 to `projects`, in one transaction, and return what each has.

    projects: how many, at least 1. The k-th has a k-th of the first one's issues, merge requests and pipelines. If
    there are three or more, the last has only what every project has.
    scale: the size of the first one as a multiple of SIZES, above 0.
    hostile: whether to add what GitLab would not write (hostile.yaml).
    complete: whether to add only those kinds of it that give a value to a key that would not have one otherwise.
    files: the folder for the repositories, uploads and LFS objects that the rows name; None: they are not written, and
    the rows are the same. What an earlier sample wrote there is removed.
    large_bytes: the size of an upload, an LFS object and a file in the repository that project 1 gets as well, if it is
    above 0; this needs `files`.

    Raises BadRequest for other numbers, if the database already has projects, or if the folder has other files;
    SourceChanged if the database lacks the sample's schema; StoreRefused if the folder cannot be written.
    """
    if projects < 1 or scale <= 0:
        raise BadRequest(f"{projects} projects at scale {scale}: give 1 project or more and a scale above 0.")
    if large_bytes < 0 or (large_bytes and not files):
        raise BadRequest(f"Large files of {large_bytes} bytes: give a size above 0, and the folder for files.")
    tree = load("gitlab")
    with conn.transaction(), written():
        _require_empty(conn)
        disk = Disk(files) if files else None
        if disk:
            disk.clear()
        world = World(Writer(conn), Values(seed), disk, large_bytes)
        if projects > 1:
            world.pool = pool(disk)
        add_people(world)
        made = [_start(world, number, projects, scale) for number in range(1, projects + 1)]
        for project, relation, number in _interleaved(made):
            world.values.generous = number < 2
            ADDERS[relation](world, project, number)
            world.writer.settle()
        world.writer.finish()
        for project in made:
            project.write()
        add_others(conn, world.writer, tree, made, seed)
        if hostile or complete:
            make_hostile(conn, world.writer, only_filling=not hostile)
        for project in made:
            project.records["project_members"] = count_members(conn, project.id)
    relations = [relation.name for relation in tree.relations if relation.table]
    return [GeneratedProject(project.id, {name: project.records[name] for name in relations}) for project in made]


def _require_empty(conn: Connection[tuple[object, ...]]) -> None:
    database = conn.info.dbname
    if conn.execute("SELECT to_regclass('public.projects')").fetchone() == (None,):
        raise SourceChanged(f"Database {database} has no table projects. Create the sample's schema in it first.")
    if conn.execute("SELECT EXISTS (SELECT FROM public.projects)").fetchone() == (True,):
        raise BadRequest(f"Database {database} already has projects. Generate into one that has the schema only.")


def _start(world: World, number: int, projects: int, scale: float) -> Project:
    """Add a project with everything that does not grow with the scale."""
    empty = number == projects >= 3
    sizes = {relation: 0 if empty else max(2, round(size * scale / number)) for relation, size in SIZES.items()}
    project = add_project(world, full=number % 2 == 1 and not empty, empty=empty, sizes=sizes)
    add_members(world, project)
    if not empty:
        add_labels(world, project)
        add_milestones(world, project)
        add_snippets(world, project)
        add_releases(world, project)
        add_boards(world, project)
        add_rules(world, project)
    world.writer.settle()
    return project


def _interleaved(projects: list[Project]) -> Iterator[tuple[Project, str, int]]:
    """Yield the issues, merge requests and pipelines of all projects by number, each project's spread evenly."""
    streams = (_stream(project, place) for project in projects for place in range(len(SIZES)))
    for _, project_id, place, number in heapq.merge(*streams):
        yield projects[project_id - 1], list(SIZES)[place], number


def _stream(project: Project, place: int) -> Iterator[tuple[float, int, int, int]]:
    size = project.sizes[list(SIZES)[place]]
    for number in range(size):
        yield (number + 0.5) / size, project.id, place, number
