"""docker-compose.yaml and what it needs, read; `make compose-test` starts it."""

from __future__ import annotations

import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

SECRETS = {
    "AIRFLOW_ADMIN_PASSWORD",
    "AIRFLOW_FERNET_KEY",
    "AIRFLOW_JWT_SECRET",
    "AIRFLOW_SECRET_KEY",
    "POSTGRES_PASSWORD",
}


@pytest.fixture
def text(repo: Path) -> str:
    return (repo / "docker-compose.yaml").read_text()


@pytest.fixture
def services(text: str) -> dict[str, Any]:
    services: dict[str, Any] = yaml.safe_load(text)["services"]
    return services


def variables(repo: Path) -> dict[str, str]:
    """Return what .env.example sets."""
    return dict(re.findall(r"^(\w+)=(.*)$", (repo / ".env.example").read_text(), re.MULTILINE))


def test_no_secret_has_a_default_and_a_missing_one_is_refused_by_name(text: str, repo: Path) -> None:
    used = re.findall(r"\$\{(\w+)(:?[?-][^}]*)?\}", text)
    assert {name for name, rule in used if rule.startswith(":?")} == SECRETS
    assert {name for name, rule in used if not rule.startswith(":?")}.isdisjoint(SECRETS)
    assert {name for name, value in variables(repo).items() if not value} >= SECRETS


def test_every_variable_of_the_example_is_used(text: str, repo: Path) -> None:
    assert variables(repo).keys() <= set(re.findall(r"\$\{(\w+)", text))


def test_nothing_of_the_clone_is_mounted(services: dict[str, Any], text: str) -> None:
    named = yaml.safe_load(text)["volumes"]
    mounts = [mount for service in services.values() for mount in service.get("volumes", [])]
    assert [mount for mount in mounts if mount.split(":")[0] not in named] == []


def test_no_uri_holds_a_password(services: dict[str, Any]) -> None:
    uris = [value for one in services.values() for value in one["environment"].values() if "://" in str(value)]
    assert [uri for uri in uris if re.search(r"://[^/]*:[^/]*@", uri)] == []
    assert any("://reader@" in uri for uri in uris)


def test_the_tasks_of_a_killed_scheduler_are_looked_for_within_a_minute(services: dict[str, Any]) -> None:
    scheduler = services["scheduler"]["environment"]
    waits = ("ORPHANED_TASKS_CHECK_INTERVAL", "SCHEDULER_HEALTH_CHECK_THRESHOLD")
    assert sum(int(scheduler[f"AIRFLOW__SCHEDULER__{name}"]) for name in waits) < 60


def test_git_and_docker_ignore_the_secrets(repo: Path) -> None:
    assert "/.env" in (repo / ".gitignore").read_text().splitlines()
    assert "**/.env*" in (repo / ".dockerignore").read_text().splitlines()


def test_make_env_writes_secrets_for_the_owner_alone_and_never_over_others(repo: Path, tmp_path: Path) -> None:
    (tmp_path / "dev" / "compose").mkdir(parents=True)
    script = shutil.copy(repo / "dev" / "compose" / "env.py", tmp_path / "dev" / "compose")
    shutil.copy(repo / ".env.example", tmp_path)
    subprocess.run([sys.executable, script], check=True)
    env = tmp_path / ".env"
    made = dict(re.findall(r"^(\w+)=(.*)$", env.read_text(), re.MULTILINE))
    assert made.keys() == variables(repo).keys()
    assert {name for name in made if made[name] != variables(repo)[name]} == SECRETS
    assert len({made[name] for name in SECRETS}) == len(SECRETS)
    assert stat.S_IMODE(env.stat().st_mode) == 0o600
    before = env.read_text()
    again = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert again.returncode == 1
    assert "was not changed" in again.stderr
    assert env.read_text() == before
