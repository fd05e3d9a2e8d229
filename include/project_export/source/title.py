"""What people call a project: for messages, which an export never fails for, and to find a project by it."""

from __future__ import annotations

import logging
from typing import Any

from psycopg import sql

from project_export.errors import SourceBusy, SourceRefused
from project_export.source.names import Params, column, every, named
from project_export.source.references import References, Scope
from project_export.source.session import Session
from project_export.tree import BoundTree, Lookup, Tree
from project_export.tree.forms import Ref

log = logging.getLogger(__name__)


def title(session: Session, bound: BoundTree, project_id: int) -> str:
    """Return a project's title; empty if the source has none or does not let this role read it.

    Raises SourceRefused and SourceBusy only if the session is lost.
    """
    if bound.tree.title is None:
        return ""
    root, params = bound.tree.root, Params()
    references = References(bound.catalogue, root, {}, zoned=False)
    query = sql.SQL("SELECT ({})::text FROM {} AS t WHERE {} = {}").format(
        references.read(bound.tree.title, Scope(root.table), params, form=False),
        named(root.table),
        column(root.key[0]),
        params(project_id),
    )
    try:
        with session.attempt("title"):
            return session.one(query, params.values)[0] or ""
    except (SourceRefused, SourceBusy) as error:
        if session.lost:
            raise
        log.warning("the project's title cannot be read: %s", error)
        return ""


def find(session: Session, tree: Tree, wanted: str) -> tuple[int, str] | None:
    """Return id and title of the project with this id (digits) or title (in any case), None if there is none.

    Where a tree's title cannot be looked up backwards, projects are found by id only, without a title. Raises
    SourceRefused, SourceBusy.
    """
    if wanted.isdecimal():
        number = int(wanted)
        exists = number < 1 << 63 and _exists(session, tree, number)
        return (number, _title_of(session, tree, number)) if exists else None
    title = backwards(tree)
    if title is None or not isinstance(title.value, Ref):
        return None
    params = Params()
    its_id, its_title = named(title.row.match[0][0]), named(title.value.column)
    queries = (sql.SQL("{} = {}"), sql.SQL("lower({}) = lower({})"))  # by the plain index first
    for query in queries:
        found = rows(session, title, params, [its_id, its_title], query.format(its_title, params(wanted)))
        for number, name in found:
            if number is not None and _exists(session, tree, number):
                return int(number), str(name)
    return None


def _title_of(session: Session, tree: Tree, number: int) -> str:
    title = backwards(tree)
    if title is None or not isinstance(title.value, Ref):
        return ""
    params = Params()
    its_id, its_title = named(title.row.match[0][0]), named(title.value.column)
    found = rows(session, title, params, [its_title], sql.SQL("{} = {}").format(its_id, params(number)))
    return str(found[0][0]) if found and found[0][0] is not None else ""


def rows(
    session: Session,
    title: Lookup,
    params: Params,
    wanted: list[sql.Identifier],
    condition: sql.Composable,
    most: int = 2,
) -> list[tuple[Any, ...]]:
    """Return these columns of at most `most` rows that have a title and fulfil a condition.

    title: one that `backwards` returned. Raises SourceRefused, SourceBusy.
    """
    fixed = [sql.SQL("{} = {}").format(named(one.column), params(one.only)) for one in title.row.where]
    query = sql.SQL("SELECT {} FROM {} WHERE {} LIMIT {}").format(
        sql.SQL(", ").join(wanted), named(title.row.table), every([condition, *fixed]), params(most)
    )
    return [row for page in session.pages(query, params.values, lambda: most) for row in page]


def _exists(session: Session, tree: Tree, number: int) -> bool:
    query = sql.SQL("SELECT EXISTS (SELECT FROM {} WHERE {} = {})").format(
        named(tree.root.table), named(tree.root.key[0]), sql.Placeholder("number")
    )
    return bool(session.one(query, {"number": number})[0])


def backwards(tree: Tree) -> Lookup | None:
    """Return the tree's title if its row names the project by its key, and has no other conditions but equations."""
    title = tree.title
    if title is None or len(title.row.match) != 1:
        return None
    refs = title.row.match[0][1]
    by_key = len(refs) == 1 and not refs[0].row and refs[0].column == tree.root.key[0]
    equations = all(one.test == "in" and len(one.values) == 1 and not one.ref.row for one in title.row.where)
    return title if by_key and equations else None
