"""Who may ask the API of GitLab's clients for what: tokens, roles, and the projects of the setting `access`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from fastapi.routing import APIRoute

from tests.runs import context
from tests.web.api import HOUR, Api, mounted

UNAUTHORIZED = (401, {"message": "401 Unauthorized"})
FORBIDDEN = (403, {"message": "403 Forbidden"})
NO_PROJECT = (404, {"message": "404 Project Not Found"})


def routes() -> list[tuple[str, str]]:
    """Return method and path of every route, for project and group 1."""
    from project_export.airflow.web.gitlab.build import routes as built

    return [
        (method, route.path.replace("{id}", "1"))
        for route in built().routes
        if isinstance(route, APIRoute)
        for method in sorted(route.methods)
    ]


def said(answer: Any) -> tuple[int, Any]:
    return answer.status_code, answer.json()


def jwt(api: Api, user: str, seconds: int = HOUR) -> str:
    """Return a token of Airflow's own."""
    from airflow.api_fastapi.app import get_auth_manager
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser

    manager: Any = get_auth_manager()
    one = SimpleAuthManagerUser(username=user, role="user")
    return str(manager.generate_jwt(one, expiration_time_in_seconds=seconds))


def test_every_route_answers_401_without_a_token_and_403_without_the_right_to_read(api: Api) -> None:
    for method, path in routes():
        for user, expected in ((None, UNAUTHORIZED), ("nobody", FORBIDDEN)):
            answer = api.ask(method, path, user)
            assert answer.status_code == expected[0], (method, path, user)
            assert method == "HEAD" or said(answer) == expected, (method, path, user)
    assert not api.triggered


@pytest.mark.parametrize("header", ["PRIVATE-TOKEN", "JOB-TOKEN", "Authorization"])
def test_each_header_takes_long_lived_tokens_and_airflows_own(api: Api, header: str) -> None:
    for token, name in ((api.tokens["vera"], "vera"), (jwt(api, "jack"), "jack")):
        value = f"Bearer {token}" if header == "Authorization" else token
        answer = api.get("/user", None, headers={header: value})
        assert (answer.status_code, answer.json().get("username")) == (200, name), answer.text


def test_a_wrong_token_is_refused_whatever_is_wrong_with_it(api: Api) -> None:
    ledger = api.ctx.ledger
    revoked, secret = ledger.tokens.create("vera", "old", {"sub": "vera", "role": "viewer"}, HOUR)
    ledger.tokens.revoke(revoked.id)
    _, expired = ledger.tokens.create("vera", "old", {"sub": "vera", "role": "viewer"}, -1)
    _, unreadable = ledger.tokens.create("vera", "odd", {"no": "user"}, HOUR)
    good = jwt(api, "jack")
    wrong = [secret, expired, unreadable, "pxp_", "pxp_unknown", "x", good[:-4] + "AAAA", jwt(api, "jack", -60)]
    for token in wrong:
        for headers in ({"PRIVATE-TOKEN": token}, {"Authorization": f"Bearer {token}"}):
            assert said(api.get("/projects/1/export", None, headers=headers)) == UNAUTHORIZED, token
            assert said(api.post("/projects/1/export", None, headers=headers)) == UNAUTHORIZED, token
    assert not api.triggered


def test_tokens_in_the_query_and_in_cookies_do_not_count(api: Api) -> None:
    good = jwt(api, "jack")
    for name in ("private_token", "job_token", "access_token"):
        for token in (good, api.tokens["ann"]):
            assert said(api.post("/projects/1/export", None, params={name: token})) == UNAUTHORIZED
            assert said(api.get("/projects/1/export", None, params={name: token})) == UNAUTHORIZED
    for name in ("_token", "session"):
        assert said(api.post("/projects/1/export", None, headers={"Cookie": f"{name}={good}"})) == UNAUTHORIZED
    assert not api.triggered


def test_the_document_is_for_readers_with_a_token_or_the_cookie(api: Api) -> None:
    good = jwt(api, "jack")
    assert said(api.get("/openapi.json", None)) == UNAUTHORIZED
    assert said(api.get("/openapi.json", None, headers={"Cookie": "_token=x"})) == UNAUTHORIZED
    assert said(api.get("/openapi.json", "nobody")) == FORBIDDEN
    for headers in ({"Cookie": f"_token={good}"}, {"PRIVATE-TOKEN": api.tokens["vera"]}):
        document = api.get("/openapi.json", None, headers=headers).json()
        assert document["servers"] == [{"url": "http://airflow.example:8080/base/api/v4"}]


def test_who_may_only_read_starts_nothing(api: Api) -> None:
    for path in ("/projects/1/export", "/projects/1/export_relations"):
        assert said(api.post(path, "vera")) == FORBIDDEN
    assert not api.triggered
    assert api.get("/projects/1/export", "vera").json()["export_status"] == "none"


def test_the_query_does_not_choose_the_dag_whose_permissions_count(api: Api) -> None:
    for user, expected in (("nobody", 403), ("vera", 403)):
        for path in ("/projects/1/export?dag_id=another", "/projects/1/export?dag_id=export_project"):
            assert api.post(path, user).status_code == expected
    assert not api.triggered


@pytest.fixture
def divided(generated: str, ledger_dsn: str, tmp_path: Path) -> Iterator[Api]:
    """The API where Ulla may export project 1 by its path, and Vera project 2 by its id."""
    rules = "ulla=acme/tools/*; vera=2; ann=*"
    with mounted(context(generated, ledger_dsn, tmp_path / "store", access=rules)) as api:
        yield api


OTHERS = ["2", "acme%2Fproject-2", "ACME%2FProject-2", "acme%2Ftools%2F..%2Fproject-2", "02", "999", "no%2Fsuch"]


@pytest.mark.parametrize("project", OTHERS)
def test_a_project_that_a_user_may_not_export_does_not_exist_for_that_user(divided: Api, project: str) -> None:
    asked = [(method, path) for method, path in routes() if path.startswith("/projects/1")]
    assert len(asked) > 10
    for method, path in asked:
        answer = divided.ask(method, path.replace("/1", f"/{project}", 1))
        assert answer.status_code == 404, (method, path)
        assert method == "HEAD" or answer.json() == NO_PROJECT[1], (method, path)
    assert not divided.triggered


def test_lists_and_groups_show_only_what_a_user_may_export(divided: Api) -> None:
    def ids(path: str, user: str) -> list[int]:
        return [one["id"] for one in divided.get(path, user).json()]

    assert ids("/projects", "ulla") == [1]
    assert ids("/projects", "vera") == [2]
    assert ids("/projects", "ann") == [2, 1]
    assert divided.get("/projects?per_page=1&page=2", "ann").json()[0]["id"] == 1
    assert divided.get("/projects?per_page=1", "ulla").headers["x-total"] == "1"
    assert ids("/groups/acme/projects", "vera") == [2]
    assert ids("/groups/acme/projects?include_subgroups=true", "ulla") == [1]
    assert divided.get("/groups/acme%2Ftools", "ulla").status_code == 200
    hidden, unknown = (divided.get(f"/groups/{group}", "vera") for group in ("acme%2Ftools", "unknown"))
    assert said(hidden) == said(unknown) == (404, {"message": "404 Group Not Found"})
    assert said(divided.get("/namespaces/2", "vera")) == (404, {"message": "404 Namespace Not Found"})


def test_a_user_starts_an_export_of_an_allowed_project_by_a_path_in_any_case(divided: Api) -> None:
    assert divided.post("/projects/ACME%2Ftools%2FPROJECT-1/export").status_code == 202
    assert [*divided.triggered.values()] == [{"project_id": 1}]


INJECTIONS = [
    *("1;DROP TABLE projects", "1'; DROP TABLE projects; --", "1 OR 1=1", "' OR '1'='1", "$$", "%s", "%(p0)s", "{}"),
    *("1/**/", '"', "\\", "%00", "%ff", "1%00", "-1", "+1", " 1", "1e0", "0x1", "٣", "9" * 30, "9223372036854775808"),
    *("a" * 5000, "%2e%2e", "%2F", "%252F"),
]


@pytest.mark.slow
def test_ids_and_names_cannot_change_a_statement(api: Api, generated: str) -> None:
    def state() -> Any:
        tables = "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public'"
        with psycopg.connect(generated) as conn:
            counts = conn.execute("SELECT (SELECT count(*) FROM projects), (SELECT count(*) FROM routes)").fetchall()
            return sorted(conn.execute(tables).fetchall()), counts

    before = state()
    for one in INJECTIONS:
        for method, path in routes():
            if "/1" not in path:
                continue
            answer = api.ask(method, path.replace("/1", f"/{one}", 1))
            assert answer.status_code in (404, 405), (method, path, one, answer.text)
        answer = api.get("/projects/1/export_relations/download", params={"relation": one})
        assert answer.status_code == 400
        answer = api.get("/projects/1/export_relations/status", params={"relation": one})
        assert answer.status_code == 404
        for name in ("page", "per_page", "simple"):
            assert api.get("/projects", params={name: one}).status_code in (200, 400)
    assert state() == before
    assert not api.triggered


def test_an_error_of_the_server_says_nothing_about_it(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = "postgresql://jane:s3cret@db.internal/x"

    def broken(*_: Any, **__: Any) -> Any:
        raise psycopg.OperationalError(f"connection failed: {secret}")

    monkeypatch.setattr(type(api.ctx), "session", broken)
    assert said(api.get("/projects/1")) == (500, {"message": "500 Internal Server Error"})
    monkeypatch.undo()
    monkeypatch.setattr(psycopg, "connect", broken)
    assert said(api.get("/projects/1")) == (503, {"message": "503 Service Unavailable"})
