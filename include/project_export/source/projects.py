"""Several projects of the source at once: those of a group, those with recent activity, and what they are called."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from psycopg import sql

from project_export.errors import SourceChanged
from project_export.source.names import Params, comma, every, named
from project_export.source.session import Session
from project_export.source.title import backwards, rows
from project_export.tree import Tree
from project_export.tree.forms import Ref

_ZONES = {"timestamp": " AT TIME ZONE 'UTC'", "timestamptz": ""}
"""What gives a column a zone, by its type; times without a zone are in UTC."""


def titles(session: Session, tree: Tree, ids: Collection[int]) -> dict[int, str]:
    """Return the titles of projects by id, without those that have none. Raises SourceRefused, SourceBusy."""
    title = backwards(tree)
    if title is None or not isinstance(title.value, Ref):
        return {}
    params = Params()
    its_id, its_title = named(title.row.match[0][0]), named(title.value.column)
    condition = sql.SQL("{} = ANY({}::bigint[])").format(its_id, params(list(ids)))
    found = rows(session, title, params, [its_id, its_title], condition, len(ids))
    return {int(number): str(name) for number, name in found if name is not None}


def below(session: Session, tree: Tree, group: str, most: int) -> dict[int, str]:
    """Return the projects whose title is below a path, in any case, by id: those of a group and its subgroups.

    At most `most` of them; none where a tree's title cannot be looked up backwards. Raises SourceRefused, SourceBusy.
    """
    title = backwards(tree)
    if title is None or not isinstance(title.value, Ref):
        return {}
    params = Params()
    its_id, its_title = named(title.row.match[0][0]), named(title.value.column)
    # Not LIKE, for which _ in a path would be a pattern.
    condition = sql.SQL("starts_with(lower({}), lower({}))").format(its_title, params(f"{group}/"))
    found = rows(session, title, params, [its_id, its_title], condition, most)
    return {int(number): str(name) for number, name in found if number is not None}


def active(session: Session, tree: Tree, since: datetime, before: datetime | None, most: int) -> list[int]:
    """Return the ids of at most `most` projects with activity since a time and before another, in ascending order.

    What activity means is up to the tree, see `Activity`. Raises SourceChanged if the source does not have its columns
    or the tree names none; SourceRefused, SourceBusy.
    """
    activity, table = tree.activity, tree.root.table
    if activity is None:
        raise SourceChanged(f"{tree.file}: the root has no activity, so nobody knows which projects are active")
    there = session.catalogue(frozenset([table])).get(table, {})
    for name in activity.columns:
        if there.get(name) not in _ZONES:
            kind = there.get(name)
            fault = f"{name} has the type {kind}, which is not a time" if kind else f"has no column {name}"
            raise SourceChanged(f"{tree.file}: activity: the source's table {table} {fault}")
    params = Params()
    late = sql.SQL("make_interval(secs => {})").format(params(activity.late))
    times = [sql.SQL(f"{{}}{_ZONES[there[name]]}").format(named(name)) for name in activity.columns]
    last = sql.SQL("greatest({})").format(comma(times))
    tests = [sql.SQL("{} >= {}::timestamptz - {}").format(last, params(since), late)]
    if before is not None:
        tests.append(sql.SQL("{} < {}::timestamptz - {}").format(last, params(before), late))
    key = named(tree.root.key[0])
    query = sql.SQL("SELECT {} FROM {} WHERE {} ORDER BY 1 LIMIT {}").format(
        key, named(table), every(tests), params(most)
    )
    return [int(number) for page in session.pages(query, params.values, lambda: most) for (number,) in page]
