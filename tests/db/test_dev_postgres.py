from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from dev.postgres import PostgresError, Server


def answer(uri: str) -> object:
    with psycopg.connect(uri) as connection:
        row = connection.execute("SELECT current_database()").fetchone()
    return row and row[0]


def works_in(process: psutil.Process, folder: Path) -> bool:
    try:
        return process.cwd() == str(folder)
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return False


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path / "pg", durable=False)
    yield server
    server.stop()


def test_a_database_is_created_once_and_answers_under_its_uri(server: Server) -> None:
    name = 'odd "name'
    assert server.create_database(name) == server.create_database(name)
    assert answer(server.uri(name)) == name
    server.drop_database(name)


def test_a_database_is_a_copy_of_its_template_or_of_the_encoding_that_is_asked_for(server: Server) -> None:
    with psycopg.connect(server.create_database("original")) as conn:
        conn.execute("CREATE TABLE notes AS SELECT 'kept' AS note")
    with psycopg.connect(server.create_database("copy", template="original")) as conn:
        assert conn.execute("SELECT note FROM notes").fetchall() == [("kept",)]
    with psycopg.connect(server.create_database("encoded", encoding="LATIN1")) as conn:
        assert conn.execute("SHOW server_encoding").fetchone() == ("LATIN1",)
    for name in ("copy", "encoded", "original"):
        server.drop_database(name)


def test_a_reader_reads_every_database_and_changes_none_whatever_it_sets(server: Server) -> None:
    server.make_reader("reader of tests")
    uri = server.uri("postgres", "reader of tests")
    server.make_reader("reader of tests")
    assert server.uri("postgres", "reader of tests") == uri
    name = "read"
    with psycopg.connect(server.create_database(name), autocommit=True) as owner:
        owner.execute("CREATE SCHEMA later; CREATE TABLE later.facts (id int); INSERT INTO later.facts VALUES (1)")
    with psycopg.connect(server.uri(name, "reader of tests"), autocommit=True) as reader:
        assert reader.execute("SELECT id FROM later.facts").fetchall() == [(1,)]
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            reader.execute("CREATE TEMPORARY TABLE mine (id int); DELETE FROM later.facts")
        reader.execute("SET default_transaction_read_only = off")
        for statement in ("DELETE FROM later.facts", "CREATE TABLE later.mine (id int)", "CREATE TABLE mine (id int)"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                reader.execute(statement)
    server.drop_database(name)


def test_another_object_of_the_same_folder_finds_the_running_server(own: Server) -> None:
    own.start()
    twin = Server(own.data_dir)
    twin.start()
    assert twin.uri() == own.uri()
    twin.stop()
    assert not own.running()


def test_a_killed_server_starts_again_over_its_stale_pid_file(own: Server) -> None:
    own.start()
    pid_file = own.cluster / "postmaster.pid"
    os.kill(int(pid_file.read_text().split()[0]), signal.SIGKILL)
    lines = pid_file.read_text().splitlines()
    pid_file.write_text("\n".join([str(os.getpid()), *lines[1:]]) + "\n")
    assert not own.running()
    own.start()
    assert answer(own.uri()) == "postgres"


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_a_restart_keeps_the_port(own: Server, mode: str) -> None:
    own.start()
    before = own.uri()
    own.restart(mode)  # type: ignore[arg-type]
    assert own.uri() == before
    assert answer(before) == "postgres"


def test_stop_leaves_no_process_and_is_harmless_twice(own: Server) -> None:
    own.start()
    own.stop()
    own.stop()
    assert not [process for process in psutil.process_iter() if works_in(process, own.cluster)]
    with pytest.raises(PostgresError, match="Start it first"):
        own.uri()


def test_an_unknown_password_is_refused(server: Server) -> None:
    password = server.uri().split(":")[2].split("@")[0]
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        answer(server.uri().replace(password, "wrong"))
