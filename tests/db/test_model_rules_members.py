"""Who is exported as a member: variants of the cases, on a generated sample with other members.

Expected values follow GitLab's finders; both the engine and the second reader are compared with them.
"""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from tests import reader
from tests.archives import Record
from tests.producers import PRODUCERS, Producer

GROUPS = (
    "INSERT INTO namespaces (id, name, path, type, parent_id, traversal_ids) VALUES"
    " (901, 'top', 'top', 'Group', NULL, '{901}'),"
    " (902, 'mid', 'mid', 'Group', 901, '{901,902}'),"
    " (903, 'own', 'own', 'Group', 902, '{901,902,903}'),"
    " (904, 'else', 'else', 'Group', NULL, '{904}'),"
    " (905, 'jane', 'jane', 'User', NULL, '{905}')"
)
DAY = "2024-01-01"


@pytest.fixture(params=PRODUCERS)
def produce(request: pytest.FixtureRequest) -> Producer:
    return request.param


@pytest.fixture
def members(generated_copy: str, produce: Producer) -> Any:
    """Return the project's members for given rows: (source, user, level, more columns); the project is in group 903."""

    def made(*rows: tuple[Any, ...], sql: str = "") -> list[Record]:
        with psycopg.connect(generated_copy) as conn:
            conn.execute("SET session_replication_role = replica")  # parents may be missing
            conn.execute("DELETE FROM members")
            conn.execute(GROUPS)
            conn.execute("UPDATE projects SET namespace_id = 903 WHERE id = 1")
            for number, (source, user, level, *more) in enumerate(rows, 1):
                of_project = source == "project"
                row = {
                    "id": number,
                    "source_id": 1 if of_project else source,
                    "source_type": "Project" if of_project else "Namespace",
                    "type": "ProjectMember" if of_project else "GroupMember",
                    "user_id": user,
                    "access_level": level,
                    "notification_level": number,
                    "created_at": DAY,
                    **(more[0] if more else {}),
                }
                names, values = SQL(", ").join(map(Identifier, row)), SQL(", ").join(SQL("%s") for _ in row)
                query = SQL("INSERT INTO members ({}) VALUES ({})").format(names, values)
                conn.execute(query, list(row.values()))
            conn.execute(sql.encode() or b"SELECT 1")
        return produce(generated_copy)["project_members"]

    return made


def who(found: list[Record]) -> list[tuple[int | None, int]]:
    """Return user and number of the row of each member."""
    return [(member["user_id"], member["notification_level"]) for member in found]


def test_direct_members_come_first_in_any_state_without_those_who_only_requested_access(members):
    found = members(
        (903, 11, 30),
        ("project", 12, 30, {"state": 1, "expires_at": "2020-01-01"}),
        ("project", 13, 30, {"requested_at": DAY}),
        (901, 14, 30, {"requested_at": DAY}),
        ("project", None, 30, {"invite_email": "a@example.com"}),
        ("project", 12345, 5),
    )
    assert who(found) == [(12, 2), (None, 5), (12345, 6), (11, 1)]
    assert {member["source_type"] for member in found} == {"Project"}
    assert [member.get("user", {}).get("id") for member in found] == [12, None, None, 11]
    assert "user" not in found[1]
    assert "user" not in found[2]


def test_the_highest_level_of_a_user_counts_and_the_own_group_counts_one_more(members):
    found = members(
        (901, 11, 30), (903, 11, 30),
        (901, 12, 31), (903, 12, 30),
        (903, 13, 30), (901, 13, 40),
        (902, 14, 30), (901, 14, 20),
        (904, 15, 50),
    )  # fmt: skip
    # 31 in an ancestor and 30 + 1 in the own group are equal, and so are their dates: the lower id decides
    assert who(found) == [(11, 2), (12, 3), (13, 6), (14, 7)]


def test_ties_are_decided_by_role_then_end_then_start(members):
    found = members(
        (901, 11, 30), (902, 11, 30, {"member_role_id": 9}),
        (901, 12, 30, {"member_role_id": 8}), (902, 12, 30, {"member_role_id": 7, "expires_at": "2030-01-01"}),
        (901, 13, 30, {"expires_at": "2030-01-01"}), (902, 13, 30, {"expires_at": "2031-01-01"}),
        (901, 14, 30, {"expires_at": "2031-01-01"}), (902, 14, 30),
        (901, 15, 30, {"created_at": "2024-02-01"}), (902, 15, 30, {"created_at": "2024-01-31"}),
        (901, 16, 30, {"created_at": None}), (902, 16, 30, {"created_at": "2026-01-31"}),
        (902, 17, 30), (901, 17, 30),
    )  # fmt: skip
    assert who(found) == [(11, 2), (12, 4), (13, 6), (14, 8), (15, 10), (16, 12), (17, 13)]


def test_one_user_can_be_exported_twice_by_an_accepted_invitation(members):
    found = members(
        (901, 11, 30, {"invite_email": "old@example.com", "invite_accepted_at": DAY}),
        (902, 11, 20),
        (903, 11, 10, {"invite_email": "old@example.com"}),
    )
    assert who(found) == [(11, 1), (11, 2)]


@pytest.mark.parametrize(("level", "exported"), [(0, False), (5, False), (6, True), (10, True)])
def test_a_group_s_members_with_at_most_minimal_access_are_not_exported(members, level, exported):
    assert who(members((903, 11, level), ("project", 12, 5))) == [(12, 2), (11, 1)][: 1 + exported]


def test_minimal_access_does_not_hide_a_better_membership(members):
    assert who(members((903, 11, 5), (901, 11, 10))) == [(11, 2)]


def test_invitations_to_groups_are_not_exported_if_a_direct_member_has_a_user(members):
    invitation = (903, None, 30, {"invite_email": "a@example.com"})
    assert who(members(invitation, ("project", 12, 30), (903, 12, 50), (903, 11, 30))) == [(12, 2), (11, 4)]


@pytest.mark.parametrize("direct", [(), (("project", None, 30, {"invite_email": "b@example.com"}),)])
def test_invitations_to_groups_are_exported_if_no_direct_member_has_a_user(members, direct):
    found = members(
        (903, None, 30, {"invite_email": "a@example.com"}),
        (901, None, 40, {"invite_email": "a@example.com"}),
        (901, None, 20, {"invite_email": "c@example.com"}),
        *direct,
    )
    inherited = found[len(direct) :]
    assert [(member["invite_email"], member["access_level"]) for member in inherited] == [
        ("a@example.com", 40),
        ("c@example.com", 20),
    ]


EVERYONE = ((901, 11, 30), (902, 12, 30), (903, 13, 30), (904, 14, 30))


@pytest.mark.parametrize(
    ("sql", "users"),
    [
        ("SELECT 1", [11, 12, 13]),
        # its own path is stale: the parent's path is read
        ("UPDATE namespaces SET traversal_ids = '{904,903}' WHERE id = 903", [11, 12, 13]),
        ("UPDATE namespaces SET traversal_ids = '{904,902}' WHERE id = 902", [12, 13, 14]),
        # it has no path: groups are found by parents, whatever their paths are
        ("UPDATE namespaces SET traversal_ids = '{}' WHERE id = 903", [11, 12, 13]),
        ("UPDATE namespaces SET traversal_ids = '{904}' WHERE id IN (901, 902);"
         "UPDATE namespaces SET traversal_ids = '{}' WHERE id = 903", [11, 12, 13]),
        # the parent has no path: no ancestors
        ("UPDATE namespaces SET traversal_ids = '{}' WHERE id = 902", [13]),
        # no parent, or a missing one: no ancestors
        ("UPDATE namespaces SET parent_id = NULL WHERE id = 903", [13]),
        ("UPDATE namespaces SET parent_id = 987 WHERE id = 903", [13]),
        ("UPDATE namespaces SET parent_id = 987, traversal_ids = '{}' WHERE id = 903", [13]),
        # an ancestor that is not a group
        ("UPDATE namespaces SET type = 'User' WHERE id = 901", [12, 13]),
        # parents in a circle
        ("UPDATE namespaces SET traversal_ids = '{}', parent_id = coalesce(parent_id, 902)", [11, 12, 13]),
        # not in a group
        ("UPDATE projects SET namespace_id = 905 WHERE id = 1", []),
        ("UPDATE namespaces SET type = 'User' WHERE id = 903", []),
    ],
)  # fmt: skip
def test_groups_are_the_own_one_and_those_above_it(members, sql, users):
    assert [user for user, _ in who(members(*EVERYONE, sql=sql))] == users


def test_the_second_reader_finds_the_members_that_the_statement_of_the_facts_finds(generated_copy, facts):
    statement = (facts / "gitlab" / "models" / "members.sql").read_text(encoding="utf-8")
    with psycopg.connect(generated_copy) as conn:
        for project_id in (1, 2):
            rows = conn.execute(statement.replace(":p", str(project_id)).encode()).fetchall()
            found = reader.read_project(conn, project_id)["project_members"]
            assert len(rows) > 3
            assert [(m["user_id"], m["access_level"], m["invite_email"], m["notification_level"]) for m in found] == [
                row[2:6] for row in rows
            ]


def test_a_licensed_group_exports_minimal_access_too(generated_copy):
    with psycopg.connect(generated_copy) as conn:
        conn.execute("UPDATE members SET access_level = 5 WHERE source_type = 'Namespace' AND user_id IN (1, 2)")
        conn.execute("UPDATE members SET access_level = 0 WHERE source_type = 'Namespace' AND user_id = 4")
        users = {
            edition: {member["user_id"] for member in reader.read_project(conn, 1, edition=edition)["project_members"]}
            for edition in ("ce", "ee-unlicensed", "ee")
        }
    assert users["ee"] - users["ce"] == {1, 2, 4}
    assert users["ee-unlicensed"] == users["ce"]
