"""How many members an export of a project contains: its own, and members of its groups who are not among them.

The rule is that of project_export_presenter.rb and group_members_finder.rb for a user who may administer the group.
"""

from __future__ import annotations

from psycopg import Connection

_COUNT = """
WITH RECURSIVE own AS (
    SELECT g.id, g.parent_id, g.traversal_ids
    FROM public.projects JOIN public.namespaces g ON g.id = projects.namespace_id AND g.type = 'Group'
    WHERE projects.id = %s
), up AS (
    SELECT g.id, g.parent_id FROM public.namespaces g JOIN own ON g.id = own.parent_id
    WHERE g.type = 'Group' AND cardinality(own.traversal_ids) = 0
    UNION
    SELECT g.id, g.parent_id FROM public.namespaces g JOIN up ON g.id = up.parent_id WHERE g.type = 'Group'
), groups AS (
    SELECT id FROM own UNION SELECT id FROM up UNION
    SELECT g.id FROM own JOIN public.namespaces parent ON parent.id = own.parent_id
    JOIN public.namespaces g ON g.id = ANY (parent.traversal_ids) AND g.type = 'Group'
    WHERE cardinality(own.traversal_ids) > 0
), direct AS (
    SELECT user_id FROM public.members
    WHERE source_id = %s AND source_type = 'Project' AND type = 'ProjectMember' AND requested_at IS NULL
), inherited AS (
    SELECT DISTINCT user_id, invite_email FROM public.members
    WHERE type = 'GroupMember' AND source_type = 'Namespace' AND requested_at IS NULL AND access_level > 5
      AND source_id IN (SELECT id FROM groups)
)
SELECT (SELECT count(*) FROM direct) + count(*) FROM inherited
WHERE CASE WHEN user_id IS NULL THEN NOT EXISTS (SELECT FROM direct WHERE user_id IS NOT NULL)
    ELSE user_id NOT IN (SELECT user_id FROM direct WHERE user_id IS NOT NULL) END
"""


def count(conn: Connection[tuple[object, ...]], project_id: int) -> int:
    """Return the number of records of the relation project_members of a project."""
    row = conn.execute(_COUNT, [project_id, project_id]).fetchone()
    assert row is not None
    return int(str(row[0]))
