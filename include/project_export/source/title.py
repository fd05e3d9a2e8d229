"""What people call a project, for messages. An export never fails because of it."""

from __future__ import annotations

import logging

from psycopg import sql

from project_export.errors import SourceBusy, SourceRefused
from project_export.source.names import Params, column, named
from project_export.source.references import References, Scope
from project_export.source.session import Session
from project_export.tree import BoundTree

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
