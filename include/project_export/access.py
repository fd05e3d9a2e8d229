"""Who may export which projects: the rules of the setting `access`.

    alice=42,group/app; team:data=group/*; *=public/*

Each rule names a user, a team (`team:NAME`) or everybody (`*`), and then projects: an id, a path, `GROUP/*` for all
projects in a group and its subgroups, or `*` for all projects. A user may export what any rule allows.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from project_export.errors import SettingRefused

EVERYBODY = ALL = "*"
_TEAM = "team:"
_BELOW = "/*"


@dataclass(frozen=True)
class Rule:
    """One rule. subject: a user's name, `team:NAME` or `*`. projects: ids, paths, `GROUP/*` or `*`."""

    subject: str
    projects: tuple[str, ...]

    @property
    def team(self) -> str | None:
        """The team that it is for, None if it is for a user or everybody."""
        return self.subject.removeprefix(_TEAM) if self.subject.startswith(_TEAM) else None

    def applies_to(self, user_name: str, teams: Collection[str]) -> bool:
        """Return whether it is for this user or one of the user's teams."""
        if self.team is not None:
            return self.team in teams
        return self.subject in (EVERYBODY, user_name)

    def covers(self, project_id: int, path: str | None) -> bool:
        """Return whether it names this project. path: None or empty if it is unknown."""
        return any(_covers(named, project_id, (path or "").lower()) for named in self.projects)


@dataclass(frozen=True)
class Access:
    """The rules of the setting. What no rule allows is not allowed."""

    rules: tuple[Rule, ...]

    @staticmethod
    def parse(text: str) -> Access | None:
        """Return the rules of a text; None if it is empty, which sets no limits. Raises SettingRefused."""
        if not text.strip():
            return None
        return Access(tuple(_rule(part.strip()) for part in text.split(";")))

    def may(self, user_name: str, teams: Collection[str], project_id: int, path: str | None) -> bool:
        """Return whether a user may export a project.

        teams: those of the user. path: the project's; paths compare without regard to case. None or empty if it is
        unknown; then only ids and `*` allow it.
        """
        return any(rule.applies_to(user_name, teams) and rule.covers(project_id, path) for rule in self.rules)


def _covers(named: str, project_id: int, path: str) -> bool:
    if named == ALL:
        return True
    if named.isdecimal():
        return int(named) == project_id
    if named.endswith(_BELOW):
        return path.startswith(named.removesuffix("*").lower())
    return path == named.lower()


def _rule(text: str) -> Rule:
    subject, equals, projects = (part.strip() for part in text.partition("="))
    if not text:
        raise _refused("a rule is empty; rules are separated by one semicolon")
    if not equals:
        raise _refused(f"the rule {text!r} has no =; a rule is USER=PROJECT,PROJECT")
    if subject in ("", _TEAM) or (EVERYBODY in subject and subject != EVERYBODY):
        raise _refused(f"the rule {text!r} is for nobody; a rule is for a user, team:NAME, or * for everybody")
    named = tuple(part.strip() for part in projects.split(","))
    for fault in (fault for one in named for fault in _faults(one)):
        raise _refused(f"the rule for {subject} {fault}")
    return Rule(subject, named)


def _faults(named: str) -> Iterator[str]:
    """Yield what is wrong with the name of projects."""
    path = named.removesuffix(_BELOW)
    if not named:
        yield "names an empty project; write * for all projects"
    elif "=" in named:
        yield f"names the project {named!r}; is a semicolon missing before it?"
    elif named != ALL and "*" in path:
        yield f"names the project {named!r}; * is allowed alone, or as the last part of a path: group/*"
    elif named.isdecimal() and (not named.isascii() or int(named) == 0):
        yield f"names the project {named!r}; an id is a positive integer"
    elif named != ALL and "" in path.split("/"):
        yield f"names the project {named!r}; a path has no slash at its start or end, and never two in a row"


def _refused(fault: str) -> SettingRefused:
    return SettingRefused(f"PROJECT_EXPORT_ACCESS cannot be used: {fault}.")
