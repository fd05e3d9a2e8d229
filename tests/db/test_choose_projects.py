"""Which projects of a source a run exports: by id, path, group and activity."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import psycopg
import pytest

from project_export.errors import BadRequest, ProjectNotFound, SourceChanged
from project_export.ledger import Ledger, make_engine
from project_export.settings import Settings
from project_export.source import Limits, Session
from project_export.source.projects import active, below, titles
from project_export.steps import Context, Interval, choose_projects
from project_export.tree import load
from tests import library
from tests.databases import Databases

DAY = datetime(2031, 5, 2, tzinfo=timezone.utc)
HOUR = timedelta(hours=1)
FIRST, SECOND = "acme/tools/project-1", "acme/project-2"
TIMES = """
    UPDATE projects SET updated_at = '2020-01-01', last_repository_updated_at = NULL,
        last_activity_at = CASE id WHEN 1 THEN timestamp '2031-05-01 23:30' ELSE timestamp '2031-05-02 23:30' END
"""


@pytest.fixture(scope="module")
def ctx(databases: Databases, generated_template: str) -> Iterator[Context]:
    """Project 1 was last active half an hour before the day, project 2 half an hour before its end."""
    with databases.new(generated_template) as uri:
        with psycopg.connect(uri) as connection:
            connection.execute(TIMES)
        settings = Settings(projects=f"2, {FIRST}", zone="Asia/Tokyo")
        yield Context(settings, Ledger(make_engine("sqlite://")), "source", lambda: psycopg.connect(uri))


def chosen(ctx: Context, *words: str | int, interval: Interval | None = None, only_active: bool = False) -> list[int]:
    return [found.id for found in choose_projects(ctx, words, interval, most=100, only_active=only_active)]


@pytest.mark.parametrize(
    ("words", "ids"),
    [
        ([2, 1, "2"], [1, 2]),
        (["ACME/project-2"], [2]),
        (["acme/*"], [1, 2]),
        (["ACME/Tools/*", 999], [1, 999]),
        ([], [1, 2]),
    ],
)
def test_projects_are_named_by_id_path_and_group_or_by_the_setting(ctx: Context, words: list[str], ids: list[int]):
    assert chosen(ctx, *words) == ids


def test_they_are_called_by_their_paths(ctx: Context):
    found = choose_projects(ctx, [1, 999, SECOND], None, most=100)
    assert [one.title for one in found] == [FIRST, SECOND, ""]


def test_what_nothing_is_called_is_listed(ctx: Context):
    with pytest.raises(ProjectNotFound) as caught:
        chosen(ctx, "acme/tool/*", "acme_tools/*", "acme/tools/project", 1, "%/*")
    said = str(caught.value)
    assert [word in said for word in ("acme/tool/*", "acme_tools/*", "acme/tools/project:", "%/*")] == [True] * 4


@pytest.mark.parametrize("words", [["0"], ["9" * 30]])
def test_an_id_that_none_has_is_refused(ctx: Context, words: list[str]):
    with pytest.raises(BadRequest, match="project id"):
        chosen(ctx, *words)


def test_more_than_a_run_can_map_are_refused(ctx: Context):
    with pytest.raises(BadRequest, match="more than 1 projects"):
        choose_projects(ctx, ["acme/*"], None, most=1)


@pytest.mark.parametrize(
    ("since", "before", "ids"),
    [
        (DAY, None, [1, 2]),
        (DAY + HOUR, None, [2]),
        (DAY, DAY + 24 * HOUR, [1]),
        (DAY + 24 * HOUR, DAY + 48 * HOUR, [2]),
        (DAY + 48 * HOUR, None, []),
    ],
    ids=("an hour late", "later", "a day", "the next day", "nothing"),
)
def test_active_projects_are_those_with_activity_which_may_be_written_late(
    ctx: Context, since: datetime, before: datetime | None, ids: list[int]
):
    interval = Interval(since, before)
    assert chosen(ctx, "active", interval=interval) == ids
    assert chosen(ctx, "active", "acme/*", 999, interval=interval, only_active=True) == ids


def test_active_needs_an_interval(ctx: Context):
    with pytest.raises(BadRequest, match="data interval"):
        chosen(ctx, "active")


def test_a_tree_without_titles_and_activity_has_projects_by_id_only(database: str, tmp_path: Path):
    library.fill(database)
    tree = load(str(library.write_tree(tmp_path)))
    with Session(lambda: psycopg.connect(database), "choose", Limits()) as session:
        assert titles(session, tree, [7]) == {}
        assert below(session, tree, "Town", 9) == {}
        with pytest.raises(SourceChanged, match="has no activity"):
            active(session, tree, DAY, None, 9)
