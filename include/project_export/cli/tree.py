"""`project-export tree`: describe a tree, check it against a database, and measure how much of it a project uses."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import groupby
from typing import Annotated

import typer

from project_export import libpq
from project_export.cli.exits import errors
from project_export.cli.options import GitlabVersion, settings
from project_export.errors import BadRequest, nearest
from project_export.settings import Settings
from project_export.source import Limits, Reader, Session, Tables
from project_export.source.coverage import coverage
from project_export.source.indexes import joins
from project_export.source.privileges import grants, lacking
from project_export.source.queries import asked, explained
from project_export.steps import allowed, bound_tree
from project_export.tree import BoundTree, Relation, bind, load, load_all, tables
from project_export.tree.describe import document

app = typer.Typer(no_args_is_help=True, help="The tree: what it exports, and whether a database has it.")

Source = Annotated[str, typer.Option(help="DSN of the database to read: libpq URI or keyword string.")]
Name = Annotated[str, typer.Option("--tree", help="A shipped tree or the path of a YAML file; the setting when empty.")]


@app.command()
def doc(tree: Name = "") -> None:
    """Describe the tree as Markdown: relations, tables, keys, order and computed values."""
    with errors():
        text = document(load_all(tree or Settings().tree))
    sys.stdout.write(text)


@app.command()
def check(source: Source, tree: Name = "", gitlab_version: GitlabVersion = "") -> None:
    """Show for each relation what is exported, what is left out and why, and which index serves each of its joins.

    Exit code 1 if the database lacks something that the tree requires, or may hide rows, if this role may not read all
    of it, or if the tree has a mistake.
    """
    with errors(), _bound(source, tree, gitlab_version) as (session, bound):
        found = joins(session, bound)
        unread = lacking(session, bound)
        seen = Tables(session, bound, allowed(Settings()))
    ways = {name: list(group) for name, group in groupby(found, lambda join: join.path.partition(".")[0])}
    for relation in bound.tree.tops:
        print(f"{relation.name}: {'optional, ' * relation.optional}{_state(relation)}")
        for remark in bound.remarks(relation.name):
            print(f"    {remark}")
        for omission in bound.omissions(relation.name):
            print(f"    OMISSION: {omission}")
        for join in ways.get(relation.name, ()):
            print(f"    {join.path} by {join}")
    if bound.absent:
        print(f"optional, and not in this source: {', '.join(bound.absent)}")
    slow = [join for join in found if join.index is None]
    if slow:
        print(f"\nWARNING: {len(slow)} of {len(found)} joins have no index; each reads a whole table:", file=sys.stderr)
        for join in slow:
            print(f"  {join.path} by {join}", file=sys.stderr)
    if unread:
        print("\nThis role may not read these; see `project-export tree grants`:", file=sys.stderr)
        for table, columns in unread.items():
            print(f"  {seen.found[table].full} ({', '.join(columns)})", file=sys.stderr)
    with errors():
        seen.require(bound.tree.exported)
    raise typer.Exit(1 if unread else 0)


@app.command("grants")
def show_grants(
    source: Source,
    role: Annotated[str, typer.Option(help="The role that exports.")],
    tree: Name = "",
    gitlab_version: GitlabVersion = "",
) -> None:
    """Print the GRANT statements that a role needs for an export, for the tables of the tree that this database has."""
    with errors(), _bound(source, tree, gitlab_version) as (session, bound):
        seen = Tables(session, bound, replace(allowed(Settings()), policies=True))
        seen.require(bound.tree.exported)
    for statement in grants(seen.found.values(), bound, role):
        print(statement)


@app.command("sql")
def show_sql(
    relation: Annotated[str, typer.Argument(help="A top-level relation, or the root.")],
    source: Annotated[str, typer.Option(help="DSN of a database; the newest layout when empty.")] = "",
    explain: Annotated[bool, typer.Option("--explain", help="Show PostgreSQL's plans; needs SOURCE.")] = False,
    project_id: Annotated[int, typer.Option(min=1, help="The project for whose rows PostgreSQL plans.")] = 1,
    tree: Name = "",
    gitlab_version: GitlabVersion = "",
) -> None:
    """Print the statements that an export runs for a relation and everything nested in it.

    In psql, set the keys of a batch before each statement that reads by them: \\set key0 '{1,2,3}'
    """
    with errors():
        if explain and not source:
            raise BadRequest("--explain needs a database: give --source DSN")
        known = load(tree or Settings().tree, Settings().edition)
        if relation not in (names := known.extended().exported):
            raise BadRequest(f"relation {relation} is unknown; {nearest(relation, names)}")
        if source:
            with _bound(source, tree, gitlab_version) as (session, bound):
                found = list(explained(session, bound, relation, project_id) if explain else asked(bound, relation))
        else:
            whole = {table: known.known[table] for table in tables(known)}
            found = list(asked(bind(known, whole, gitlab_version), relation))
    for one in found:
        print(f"-- {one.path}\n{one.query};")
        for line in one.plan:
            print(f"--   {line}")
        print()


@app.command("coverage")
def show_coverage(
    source: Source,
    project_id: Annotated[int, typer.Option(help="The project's id in the source.")],
    tree: Name = "",
    gitlab_version: GitlabVersion = "",
) -> None:
    """Count how often each key has a value in a project's export; exit code 1 if one never has.

    A key that cannot have one is listed with the reason and does not count.
    """
    with errors(), _bound(source, tree, gitlab_version) as (session, bound):
        found = coverage(Reader(session, bound, project_id), bound)
    for path, seen in groupby(found, lambda key: key.path):
        keys = list(seen)
        print(f"{path}: {keys[0].records} records")
        for key in keys:
            print(f"    {key.values:>8}  {key.key}" + (f"  ({key.why})" if not key.values else ""))
    unseen = [key for key in found if key.unseen]
    excused = [key for key in found if not key.values and not key.unseen]
    if bound.absent:
        print(f"\noptional, and not in this source: {', '.join(bound.absent)}")
    print(f"\n{len(found)} keys, {len(found) - len(unseen) - len(excused)} seen")
    for key in excused:
        print(f"never, for a reason: {key.path}.{key.key}: {key.why}")
    for key in unseen:
        print(f"UNSEEN: {key.path}.{key.key}")
    raise typer.Exit(1 if unseen else 0)


def _state(relation: Relation) -> str:
    if relation.table:
        return f"bound, {len(relation.keys)} keys, {sum(1 for _ in relation.walk()) - 1} nested relations"
    return "no records" if relation.constant is None else f"always {relation.constant}"


@contextmanager
def _bound(source: str, name: str, version: str) -> Iterator[tuple[Session, BoundTree]]:
    given = settings(gitlab_version=version)
    tree = load(name or given.tree, given.edition)
    policies = given.allow_row_security
    with Session(lambda: libpq.connect(source), "project-export tree", Limits(), policies=policies) as session:
        yield session, bound_tree(tree, session, given)
