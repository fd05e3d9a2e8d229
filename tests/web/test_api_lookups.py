"""What clients of GitLab's API look up around an export."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from tests.databases import Databases
from tests.runs import context
from tests.web.api import Api, mounted

NOT_FOUND = {"error": "404 Not Found"}
EMPTY = ["packages", "variables", "triggers", "hooks", "access_tokens", "runners", "registry/repositories"]


def test_ids_and_encoded_paths_name_the_same_project(api: Api) -> None:
    found = api.get("/projects/1").json()
    assert (found["id"], found["path_with_namespace"]) == (1, "acme/tools/project-1")
    assert found["namespace"] == {
        "id": 2,
        "name": "tools “Group” żółw",
        "path": "tools",
        "kind": "group",
        "full_path": "acme/tools",
        "parent_id": 1,
    }
    for written in ("acme%2Ftools%2Fproject-1", "acme%2ftools%2fproject-1", "ACME%2Ftools%2FProject%2D1", "1/"):
        assert api.get(f"/projects/{written}").json() == found, written
    assert api.get("/projects/acme%2Ftools%2Fproject-1/export").json()["id"] == 1
    assert api.get("/projects/acme%252Ftools%252Fproject-1").status_code == 404


def test_a_path_that_is_not_encoded_is_no_path_of_a_project(api: Api) -> None:
    for path in ("/projects/acme/tools/project-1", "/projects/acme/tools/project-1/export", "/nothing", "/"):
        answer = api.get(path)
        assert (answer.status_code, answer.json()) == (404, NOT_FOUND), path
    answer = api.ask("DELETE", "/projects/1/export")
    assert (answer.status_code, answer.json()) == (405, {"error": "405 Not Allowed"})
    assert answer.headers["allow"] == "GET, POST"


def test_projects_are_listed_page_by_page_until_one_is_empty(api: Api) -> None:
    pages = [api.get(f"/projects?simple=True&membership=True&per_page=1&page={number}") for number in (1, 2, 3)]
    assert [[one["id"] for one in page.json()] for page in pages] == [[2], [1], []]
    first, last = pages[0].headers, pages[1].headers
    assert (first["x-page"], first["x-per-page"], first["x-next-page"], first["x-prev-page"]) == ("1", "1", "2", "")
    assert (last["x-next-page"], last["x-prev-page"]) == ("", "1")
    assert (first["x-total"], first["x-total-pages"]) == ("2", "2")
    links = dict(reversed(link.split("; ")) for link in first["link"].split(", "))
    assert set(links) == {'rel="next"', 'rel="first"', 'rel="last"'}
    following = urlsplit(links['rel="next"'].strip("<>"))
    assert (following.netloc, following.path) == ("airflow.example:8080", "/base/api/v4/projects")
    query = {"simple": ["True"], "membership": ["True"], "per_page": ["1"], "page": ["2"]}
    assert parse_qs(following.query) == query
    assert "archived" not in pages[0].json()[0]


def test_a_page_has_a_largest_size_and_a_wrong_one_is_refused(api: Api) -> None:
    assert api.get("/projects?per_page=5000").headers["x-per-page"] == "100"
    for query in ("page=0", "page=x", "per_page=-1", "per_page=", "simple=perhaps", f"page={1 << 31}"):
        answer = api.get(f"/projects?{query}")
        assert (answer.status_code, answer.json()) == (400, {"error": f"{query.partition('=')[0]} is invalid"}), query
    assert api.get(f"/projects?page={(1 << 31) - 1}&per_page=100").json() == []


def test_groups_and_namespaces_are_found_by_id_and_path(api: Api) -> None:
    group = api.get("/groups/2").json()
    assert (group["full_path"], group["parent_id"]) == ("acme/tools", 1)
    assert api.get("/groups/acme%2Ftools").json() == api.get("/groups/ACME%2FTools").json() == group
    assert api.get("/namespaces/acme").json()["kind"] == "group"
    assert api.get("/groups/none").json() == {"message": "404 Group Not Found"}
    assert [one["id"] for one in api.get("/groups/acme/projects").json()] == [2]
    deep = api.get("/groups/acme/projects?include_subgroups=True&simple=True").json()
    assert [one["id"] for one in deep] == [2, 1]
    assert api.get("/groups/none/projects").status_code == 404


@pytest.mark.parametrize("name", EMPTY)
def test_lists_of_what_is_never_exported_are_empty(api: Api, name: str) -> None:
    answer = api.get(f"/projects/acme%2Ftools%2Fproject-1/{name}", "vera")
    assert (answer.status_code, answer.json()) == (200, [])
    assert api.get(f"/projects/99/{name}").status_code == 404


@pytest.mark.parametrize("verb", ["archive", "unarchive"])
def test_the_source_is_never_changed(api: Api, verb: str) -> None:
    answer = api.post(f"/projects/1/{verb}", "ann")
    assert answer.status_code == 403
    assert answer.json()["message"].startswith("403 Forbidden")
    assert api.get("/projects/1").json()["archived"] is False


def test_the_caller_and_the_version_are_described(api: Api) -> None:
    user = api.get("/user").json()
    assert (user["username"], user["name"], user["state"]) == ("ulla", "ulla", "active")
    assert isinstance(user["id"], int)
    assert user["id"] != api.get("/user", "vera").json()["id"]
    assert api.get("/version").json() == {"version": "18.6.0", "revision": "0123456789a"}


def test_every_response_is_json_without_a_charset_and_has_its_exact_length(api: Api) -> None:
    asked: list[tuple[str, str, dict[str, Any]]] = [
        *(
            ("GET", path, {})
            for path in ("/projects", "/projects/1", "/projects/1/export", "/openapi.json", "/nothing")
        ),
        ("GET", "/projects/9" + "9" * 300, {}),
        ("POST", "/projects/1/export", {"json": {"description": "x" * 5000}}),
        ("GET", "/projects?page=x", {}),
        ("PUT", "/projects", {}),
        ("POST", "/projects/1/export", {}),
    ]
    for method, path, more in asked:
        for user in ("ulla", None):
            answer = api.ask(method, path, user, headers={"Accept-Encoding": "gzip"}, **more)
            assert answer.headers["content-type"] == "application/json", path
            assert answer.headers["content-length"] == str(len(answer.content)), path
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["cache-control"] == "no-store"


def test_links_follow_scheme_host_port_and_base_path_of_the_request(
    generated: str, ledger_dsn: str, tmp_path: Path
) -> None:
    with mounted(context(generated, ledger_dsn, tmp_path)) as api:
        headers = {"Host": "exports.example"}
        link = api.get("/projects?per_page=1", headers=headers).headers["link"]
        assert link.startswith("<http://exports.example/api/v4/projects?")
        token = {"PRIVATE-TOKEN": api.tokens["vera"]}
        document = api.client.get("https://a.example:8443/api/v4/openapi.json", headers=token).json()
        assert document["servers"] == [{"url": "https://a.example:8443/api/v4"}]


@pytest.fixture
def poor(databases: Databases, generated_template: str, role: str) -> Iterator[str]:
    """A source whose role may read only what an export of the oldest tree needs to find a project."""
    with databases.new(generated_template) as uri:
        with psycopg.connect(uri) as conn:
            grants = {"projects": "id, namespace_id", "routes": "source_id, source_type, path"}
            conn.execute(f"GRANT USAGE ON SCHEMA public TO {role}")
            for table, columns in grants.items():
                conn.execute(f"GRANT SELECT ({columns}) ON {table} TO {role}".encode())
        yield make_conninfo(uri, options=f"-c role={role}")


def test_a_role_that_may_not_read_names_gets_them_from_paths(poor: str, ledger_dsn: str, tmp_path: Path) -> None:
    with mounted(context(poor, ledger_dsn, tmp_path)) as api:
        found = api.get("/projects/acme%2Ftools%2Fproject-1").json()
        assert (found["id"], found["name"], found["created_at"], found["description"]) == (1, "project-1", None, None)
        assert found["name_with_namespace"] == "acme/tools / project-1"
        assert [one["id"] for one in api.get("/projects").json()] == [2, 1]
        assert api.get("/groups/acme").json()["name"] == "acme"
        assert [one["id"] for one in api.get("/groups/acme/projects").json()] == [2]
        assert api.get("/projects/1/export").json()["export_status"] == "none"


def test_a_role_with_the_grants_of_the_documentation_reads_all_fields(
    repo: Path, poor: str, role: str, api: Api, ledger_dsn: str, tmp_path: Path
) -> None:
    (grants,) = re.findall(r"```postgresql\n(.*?)```", (repo / "docs" / "api.md").read_text("utf-8"), re.DOTALL)
    with psycopg.connect(poor, options="") as conn:
        conn.execute(grants.replace("TO exporter", f"TO {role}").encode())
    with mounted(context(poor, ledger_dsn, tmp_path)) as with_grants:
        for path in ("/projects", "/projects/1", "/groups/2", "/namespaces/1", "/groups/acme/projects"):
            assert with_grants.get(path).json() == api.get(path).json()
