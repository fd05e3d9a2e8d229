"""What is not in a relation's own table rows: additional rows, successors, values in files; and forms of times."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from project_export.errors import SourceRefused, StoreRefused, TreeError
from project_export.external import Locations
from project_export.source import Limits, Reader, Session
from project_export.tree import bind, load, tables

TREE = """
name: clubs
root:
  relation: team
  table: teams
  derived: {above: {from: clubs, match: {id: club_id}, column: path}}
  keys: [id]
relations:
  - relation: players
    table: players
    join: {of_id: id}
    where: {of_type: team}
    also: [{join: {of_id: above}, where: {of_type: club}, unless: person, best: [rank desc, of_id desc]}]
    keys: [person, rank, {of_type: {constant: team}}]
    children:
      - relation: games
        table: games
        join: {player_id: id}
        keys: [result, {film: {default: "", elsewhere: file}}]
        successor: {table: new_games, join: {player_id: id}, order: [id desc], keys: [{result: {else: draw}}]}
"""
SQL = """
CREATE TABLE clubs (id int PRIMARY KEY, path int[]);
CREATE TABLE teams (id int PRIMARY KEY, club_id int);
CREATE TABLE players (id int PRIMARY KEY, of_type text, of_id int, person int, rank int);
CREATE TABLE games (id int PRIMARY KEY, player_id int, result text, film text, file text);
CREATE TABLE new_games (id int PRIMARY KEY, player_id int, result text, draw text);
INSERT INTO clubs VALUES (1, '{1}'), (2, '{1,2}'), (3, '{3}');
INSERT INTO teams VALUES (1, 2), (2, NULL);
INSERT INTO players VALUES
    (1, 'team', 1, 10, 5), (2, 'team', 1, NULL, 1),
    (3, 'club', 2, 10, 9), (4, 'club', 1, 11, 3), (5, 'club', 2, 11, 3), (6, 'club', 1, 12, 7), (7, 'club', 2, 12, 4),
    (8, 'club', 2, NULL, 1), (9, 'club', 3, 13, 1), (10, 'team', 2, 14, 1);
INSERT INTO games VALUES (1, 1, 'won', 'x', NULL), (2, 1, 'lost', NULL, '/films/2'), (3, 1, NULL, NULL, NULL);
INSERT INTO new_games VALUES (1, 1, 'won', NULL), (2, 2, NULL, 'even'), (3, 2, 'lost', 'even');
"""

Read = Callable[..., Reader]


@pytest.fixture
def read(database: str, tmp_path: Path) -> Iterator[Read]:
    """Read a team of the clubs."""
    with psycopg.connect(database) as conn:
        conn.execute(SQL)
    sessions = []

    def read(root: int = 1, tree: str = TREE, sql: str = "SELECT 1", **options: Any) -> Reader:
        with psycopg.connect(database) as conn:
            conn.execute(sql.encode())
        path = tmp_path / f"tree{len(sessions)}.yaml"
        path.write_text(tree)
        session = Session(lambda: psycopg.connect(database), "test", Limits())
        sessions.append(session)
        loaded = load(str(path))
        return Reader(session, bind(loaded, session.catalogue(tables(loaded))), root, **options)

    yield read
    for session in sessions:
        session.close()


def records(reader: Reader, name: str, part: int = 0, parts: int = 1) -> list[Any]:
    data = b"".join(chunk.data for chunk in reader.read(name, part, parts))
    return [json.loads(line) for line in data.splitlines()]


def test_additional_rows_come_after_the_own_ones_once_for_each_who_has_none(read: Read) -> None:
    players = records(read(), "players")
    assert [(p["person"], p["rank"]) for p in players] == [(10, 5), (None, 1), (11, 3), (12, 7)]
    assert {p["of_type"] for p in players} == {"team"}


def test_the_order_decides_between_equal_additional_rows(read: Read) -> None:
    reader = read(sql="UPDATE players SET rank = 8 WHERE id = 4; UPDATE players SET rank = 9 WHERE id = 5")
    assert [(p["person"], p["rank"]) for p in records(reader, "players")][2] == (11, 9)


def test_additional_rows_are_counted_and_split_like_others(read: Read) -> None:
    reader = read()
    assert reader.count("players") == 4
    joined = [record for part in range(3) for record in records(reader, "players", part, 3)]
    assert joined == records(reader, "players")


def test_a_root_without_the_value_has_its_own_rows_only(read: Read) -> None:
    assert [p["person"] for p in records(read(2), "players")] == [14]


def test_a_successor_is_read_for_parents_that_have_no_rows_before(read: Read) -> None:
    games = [player["games"] for player in records(read(), "players")]
    assert [game["result"] for game in games[0]] == ["won", "lost", None]
    assert games[1] == [{"result": "lost"}, {"result": "even"}]
    assert games[2:] == [[], []]


def test_additional_rows_and_successors_are_read_piece_by_piece_too(read: Read) -> None:
    whole, small = read(), read(batch_bytes=1)
    assert records(small, "players") == records(whole, "players")
    assert (small.oddities, small.omissions) == (whole.oddities, whole.omissions)


def test_a_value_stored_outside_the_database_is_counted(read: Read) -> None:
    reader = read()
    assert [game["film"] for game in records(reader, "players")[0]["games"]] == ["x", "", ""]
    note = "players.games.film: a value that is stored outside the database was left out"
    assert reader.omissions == {note: 1}


CABINET = """
name: cabinet
locations: {tins: films}
root: {relation: cabinet, table: cabinets, keys: [id]}
relations:
  - relation: films
    table: films
    join: {cabinet_id: id}
    keys:
      - title
      - reel:
          transform: base64_text
          when: packed
          default: ""
          elsewhere:
            {location: tins, offset: at, size: size, from: tins, match: {id: tin_id}, file: "50%/of-{shelf}/{name}"}
"""
CABINET_SQL = """
CREATE TABLE cabinets AS SELECT 1 AS id;
CREATE TABLE tins (id int PRIMARY KEY, shelf int, name text);
CREATE TABLE films (id int, cabinet_id int, tin_id int, title text, reel text, packed bool, at int, size int);
INSERT INTO tins VALUES (1, 7, 'tin'), (2, 7, 'gone'), (3, 7, NULL), (4, 7, '../tin'), (5, 7, 'link');
INSERT INTO films VALUES (1, 1, 1, 'here', 'in the row', false, NULL, NULL), (2, 1, 1, 'none', NULL, true, NULL, NULL);
"""


@pytest.fixture
def film(database: str, tmp_path: Path) -> Iterator[Callable[..., Reader]]:
    """Add a film whose reel is in a tin, and read the cabinet with a store of tins."""
    store = tmp_path / "store"
    (store / "50%" / "of-7").mkdir(parents=True)
    (store / "50%" / "of-7" / "tin").write_bytes("<é>aMOpabc\xff".encode("latin-1") + "\U0001f600 z\0".encode())
    (store / "50%" / "of-7" / "link").symlink_to("tin")
    (tmp_path / "cabinet.yaml").write_text(CABINET)
    tree = load(str(tmp_path / "cabinet.yaml"))
    locations = Locations({"tins": str(store)})
    with psycopg.connect(database) as conn:
        conn.execute(CABINET_SQL)
    sessions: list[Session] = []

    def film(tin: int, packed: bool | None, at: int, size: int | None, store: Locations | None = locations) -> Reader:
        with psycopg.connect(database) as conn:
            conn.execute("INSERT INTO films VALUES (3, 1, %s, 'away', NULL, %s, %s, %s)", [tin, packed, at, size])
        sessions.append(Session(lambda: psycopg.connect(database), "test", Limits()))
        bound = bind(tree, sessions[0].catalogue(tables(tree)))
        return Reader(sessions[0], bound, 1, locations=store)

    yield film
    locations.close()
    for session in sessions:
        session.close()


@pytest.mark.parametrize(
    ("packed", "at", "size", "reel", "said"),
    [
        (False, 0, 3, "<\ufffd>", None),
        (True, 3, 4, "hé", None),
        (None, 3, 4, "aMOp", None),
        (True, 7, 3, "abc", None),  # no base64, so it stays as it is
        (False, 11, 4, "\U0001f600", None),
        (False, 17, 1, "\0", None),
        (False, 3, 0, "", None),
        (False, 16, 10, "z\0", "a value that is stored outside the database is cut short there"),
        (False, 99, 1, "", "a value that is stored outside the database is cut short there"),
    ],
)
def test_a_value_in_a_file_is_read_there(
    film: Callable[..., Reader], packed: bool | None, at: int, size: int, reel: str, said: str | None
) -> None:
    reader = film(1, packed, at, size)
    assert [(f["title"], f["reel"]) for f in records(reader, "films")] == [
        ("here", "in the row"), ("none", ""), ("away", reel),
    ]  # fmt: skip
    assert dict(reader.omissions) == ({f"films.reel: {said}": 1} if said else {})


@pytest.mark.parametrize(
    ("tin", "at", "size"), [(2, 0, 3), (3, 0, 3), (99, 0, 3), (1, -1, 3), (1, 0, -1), (1, 0, None)]
)
def test_a_value_whose_file_is_missing_is_the_default_and_counted(
    film: Callable[..., Reader], tin: int, at: int, size: int | None
) -> None:
    reader = film(tin, True, at, size)
    assert records(reader, "films")[2]["reel"] == ""
    said = "a value that is stored outside the database was left out: there is no such file"
    assert dict(reader.omissions) == {f"films.reel: {said}": 1}


@pytest.mark.parametrize(("tin", "said"), [(4, "is outside the store"), (5, "contains a link")])
def test_a_file_that_must_not_be_followed_fails_its_relation_and_names_the_row(
    film: Callable[..., Reader], tin: int, said: str
) -> None:
    with pytest.raises(SourceRefused, match=rf"films\.reel of the row with id 3: .*{said}"):
        records(film(tin, False, 0, 3), "films")


def test_without_a_store_it_is_only_counted(film: Callable[..., Reader]) -> None:
    reader = film(1, False, 0, 3, None)
    assert records(reader, "films")[2]["reel"] == ""
    assert dict(reader.omissions) == {"films.reel: a value that is stored outside the database was left out": 1}


def test_a_missing_store_can_be_tried_again(film: Callable[..., Reader]) -> None:
    with pytest.raises(StoreRefused, match="ENOENT"):
        records(film(1, False, 0, 3, Locations({"tins": "/not/there"})), "films")


def test_what_is_read_from_files_counts_for_the_size_of_a_batch(database: str, tmp_path: Path) -> None:
    (tmp_path / "50%" / "of-7").mkdir(parents=True)
    (tmp_path / "50%" / "of-7" / "tin").write_bytes(b"x" * 5000)
    (tmp_path / "cabinet.yaml").write_text(CABINET)
    with psycopg.connect(database) as conn:
        conn.execute(CABINET_SQL)
        conn.execute("INSERT INTO films SELECT i, 1, 1, i, NULL, false, 0, 5000 FROM generate_series(3, 50) AS i")
    tree = load(str(tmp_path / "cabinet.yaml"))
    locations = Locations({"tins": str(tmp_path)})
    with Session(lambda: psycopg.connect(database), "test", Limits()) as session:
        bound = bind(tree, session.catalogue(tables(tree)))
        reader = Reader(session, bound, 1, batch_bytes=4000, locations=locations)
        chunks = [len(chunk.data) for chunk in reader.read("films")]
    locations.close()
    assert sum(chunks) > 48 * 5000
    assert max(chunks) < 3 * 5100


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("unless: person, ", "", "13: also lacks the attribute unless"),
        ("unless: person", "unles: person", "13: also has no attribute unles; nearest: unless"),
        ("    also:", "    one: true\n    also:", "also is for a top-level relation of many"),
        (
            "    keys: [person,",
            "    successor: {table: x, join: {id: id}}\n    keys: [person,",
            "only a nested relation",
        ),
        ("{table: new_games, join", "{join", "20: the successor of games lacks the attribute table"),
    ],
)
def test_a_mistake_beside_a_relation_is_named_with_its_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in TREE
    path = tmp_path / "tree.yaml"
    path.write_text(TREE.replace(old, new))
    with pytest.raises(TreeError, match=message):
        load(str(path))
