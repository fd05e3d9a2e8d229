"""The rules of who may export which projects: what they allow, and which texts are refused."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from project_export.access import Access
from project_export.errors import SettingRefused

RULES = "alice=42,group/app; team:data=group/*; *=public/*; root=*; team:all=*"


def access(text: str = RULES) -> Access:
    found = Access.parse(text)
    assert found is not None
    return found


@pytest.mark.parametrize("text", ["", "  ", "\n"])
def test_without_rules_nothing_is_limited(text: str) -> None:
    assert Access.parse(text) is None


@pytest.mark.parametrize(
    ("user", "teams", "project_id", "path", "may"),
    [
        # ids and paths of a user
        ("alice", (), 42, "other/project", True),
        ("alice", (), 42, None, True),
        ("alice", (), 43, None, False),
        ("alice", (), 43, "group/app", True),
        ("alice", (), 43, "Group/APP", True),
        ("alice", (), 43, "group/app/sub", False),
        ("alice", (), 43, "group/app2", False),
        ("alice", (), 4, "42", False),
        ("alice", (), 43, "other/42", False),
        # users by their exact names
        ("Alice", (), 42, None, False),
        ("alic", (), 42, None, False),
        ("bob", (), 42, "group/app", False),
        ("", (), 42, "group/app", False),
        # a group with its subgroups, for a team
        ("bob", ("data",), 43, "group/app", True),
        ("bob", ("data",), 43, "GROUP/sub/sub/app", True),
        ("bob", ("web", "data"), 43, "group/app", True),
        ("bob", ("data",), 43, "group", False),
        ("bob", ("data",), 43, "group2/app", False),
        ("bob", ("data",), 43, "a/group/app", False),
        ("bob", ("data",), 43, None, False),
        ("bob", ("data",), 43, "", False),
        ("bob", ("dat", "Data", "team:data"), 43, "group/app", False),
        # a user is not a team, and a team is not a user
        ("data", (), 43, "group/app", False),
        ("team:data", (), 43, "group/app", False),
        ("bob", ("alice", "root"), 42, "group/app", False),
        # everybody; everything
        ("bob", (), 43, "public/site", True),
        ("bob", (), 43, "public", False),
        ("*", (), 42, "group/app", False),
        ("root", (), 99, None, True),
        ("root", (), 99, "secret/app", True),
        ("bob", ("all",), 99, None, True),
    ],
)
def test_a_user_may_export_what_any_rule_allows(
    user: str, teams: tuple[str, ...], project_id: int, path: str | None, may: bool
) -> None:
    assert access().may(user, teams, project_id, path) is may


def test_rules_keep_their_order_and_names() -> None:
    rules = access(" alice = 42 , group/app ;\n team:a:b = * ; jane doe@corp\\x=g/*").rules
    assert [(rule.subject, rule.team, rule.projects) for rule in rules] == [
        ("alice", None, ("42", "group/app")),
        ("team:a:b", "a:b", ("*",)),
        ("jane doe@corp\\x", None, ("g/*",)),
    ]
    assert access("team:a:b=*").may("jane", ("a:b",), 1, None)


def test_several_rules_for_a_user_add_up() -> None:
    rules = access("alice=1; alice=2")
    assert [rules.may("alice", (), number, None) for number in (1, 2, 3)] == [True, True, False]


def test_no_name_is_a_pattern() -> None:
    rules = access("a.ice=group/a.p; al[i]ce=*")
    assert not rules.may("alice", (), 1, "group/app")
    assert rules.may("a.ice", (), 1, "group/a.p")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("alice", "the rule 'alice' has no =; a rule is USER=PROJECT,PROJECT"),
        (";", "a rule is empty"),
        ("alice=1;", "a rule is empty"),
        ("alice=1;;bob=2", "a rule is empty"),
        ("=1", "the rule '=1' is for nobody"),
        ("team:=1", "the rule 'team:=1' is for nobody"),
        ("al*=1", "the rule 'al*=1' is for nobody"),
        ("team:*=1", "the rule 'team:*=1' is for nobody"),
        ("alice=", "the rule for alice names an empty project"),
        ("alice=1,,2", "the rule for alice names an empty project"),
        ("alice=1 bob=2", "the rule for alice names the project '1 bob=2'; is a semicolon missing"),
        ("alice=gr*", "the rule for alice names the project 'gr*'; * is allowed alone"),
        ("alice=*/app", "the rule for alice names the project '*/app'; * is allowed alone"),
        ("alice=g/**", "the rule for alice names the project 'g/**'; * is allowed alone"),
        ("alice=g/*/app", "the rule for alice names the project 'g/*/app'; * is allowed alone"),
        ("alice=g*/*", "the rule for alice names the project 'g*/*'; * is allowed alone"),
        ("alice=0", "the rule for alice names the project '0'; an id is a positive integer"),
        ("alice=\uff14\uff12", "the rule for alice names the project '\uff14\uff12'; an id is a positive integer"),
        ("alice=/group/app", "the rule for alice names the project '/group/app'; a path has no slash at"),
        ("alice=group/", "the rule for alice names the project 'group/'; a path has no slash at"),
        ("alice=group//app", "the rule for alice names the project 'group//app'; a path has no slash at"),
        ("alice=/*", "the rule for alice names the project '/*'; a path has no slash at"),
    ],
)
def test_a_malformed_text_is_refused_with_its_fault(text: str, fault: str) -> None:
    with pytest.raises(SettingRefused, match=re.escape(f"PROJECT_EXPORT_ACCESS cannot be used: {fault}")):
        Access.parse(text)


NAMES = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1)


@given(NAMES, st.lists(NAMES), st.integers(min_value=1), NAMES)
def test_whatever_is_asked_only_rules_allow(user: str, teams: list[str], project_id: int, path: str) -> None:
    rules = access("alice=42,group/app; team:data=group/*")
    expected = (user == "alice" and (project_id == 42 or path.lower() == "group/app")) or (
        "data" in teams and path.lower().startswith("group/")
    )
    assert rules.may(user, teams, project_id, path) is expected
