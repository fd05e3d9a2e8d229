"""Another schema than GitLab's in Airflow: the form has the parameters of its tree, and a run exports with them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from dev.airflow import Airflow
from dev.postgres import Server
from project_export.archive.verify import verify
from project_export.tree import load_all
from tests import library
from tests.dags.stage import DAG_ID


def test_the_form_has_the_parameters_of_the_tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.sdk.exceptions import ParamValidationError  # takes seconds, which other workers need not spend

    from project_export.airflow.form import export_params

    monkeypatch.setenv("PROJECT_EXPORT_TREE", str(library.write_tree(tmp_path)))
    params = export_params()
    assert list(params)[:7] == ["project_id", "relations", "motto", "shelves", "price", "lent", "consistency"]
    assert "description" not in params
    assert params["relations"].schema["examples"] == ["library", "books", "rules", "no_rules"]
    motto, shelves, price = params["motto"], params["shelves"], params["price"]
    assert (motto.schema["title"], motto.description) == ("Motto", "What is written above the door.")
    assert (motto.resolve(None), motto.resolve("x" * 20), price.resolve(), shelves.resolve(3)) == (
        None,
        "x" * 20,
        0.5,
        3,
    )
    for param, value in [(motto, "x" * 21), (motto, 5), (shelves, "3"), (shelves, 1.5), (params["lent"], 1)]:
        with pytest.raises(ParamValidationError):
            param.resolve(value)


@pytest.mark.slow
@pytest.mark.parametrize("source", [None, "books"])
def test_a_run_exports_with_the_parameters_that_its_conf_gives(
    server: Server, database: str, ledger_dsn: str, tmp_path: Path, source: str | None
) -> None:
    """source: beside the default one, which cannot be reached then."""
    library.fill(database)
    tree = library.write_tree(tmp_path)
    nowhere = "postgresql://nobody@127.0.0.1:1/nothing"
    one = {
        "AIRFLOW_CONN_PROJECT_EXPORT_SOURCE": database,
        "PROJECT_EXPORT_TREE": str(tree),
        "PROJECT_EXPORT_STORE": (tmp_path / "store").as_uri(),
    }
    two = {
        "AIRFLOW_CONN_PROJECT_EXPORT_SOURCE": nowhere,
        "AIRFLOW_CONN_BOOKS": database,
        "PROJECT_EXPORT_SOURCES": "books",
        "PROJECT_EXPORT_TREE__BOOKS": str(tree),
        "PROJECT_EXPORT_STORE__BOOKS": (tmp_path / "store").as_uri(),
    }
    settings = {
        # A database of its own: no scheduler looks for tasks there.
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{tmp_path}/airflow.db",
        "AIRFLOW_CONN_PROJECT_EXPORT_LEDGER": ledger_dsn,
        **(two if source else one),
    }
    environment = Airflow(tmp_path / "airflow", server, settings=settings).environment()
    assert not [name for name in environment if "GITLAB" in name]
    conf = {"project_id": library.ID, "motto": "a < b", "lent": True, "after_export": "none"}
    conf |= {"source": source} if source else {}
    for words in (["db", "migrate"], ["dags", "test", DAG_ID, "--conf", json.dumps(conf)]):
        command = [sys.executable, "-m", "airflow", *words]
        done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=230)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    (archive,) = (tmp_path / "store").rglob("project.tar.gz")
    assert library.files_of(archive) == library.FILES
    report = verify(archive, tree=load_all(str(tree)))
    assert (report.problems, report.warnings, report.remarks) == ((), (), ())
    assert "gitlab" not in archive.with_name("project.manifest.json").read_text("utf-8").lower()
