"""What only Airflow knows of its own readiness: the pool by its command line, the services by the API's health.

A task can ask for neither: it cannot touch Airflow's database, and the interface of the task SDK has no pools. Nothing
is imported from Airflow, so that the shell can ask in whatever environment it runs.
"""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from typing import Any

from project_export.errors import ProjectExportError, Retryable, SettingMissing
from project_export.steps import Finding

_AIRFLOW = (sys.executable, "-m", "airflow")
_SECONDS = 60
_ANSWER_SECONDS = 10
_BASE_URL = "http://localhost:8080"
_SERVICES = {
    "scheduler": "Nothing runs without it: start `airflow scheduler`.",
    "triggerer": "It holds the snapshot of exports with consistency=project: start `airflow triggerer`.",
}


def findings(pool: str) -> Iterator[Finding]:
    """Yield whether the pool of the export tasks is there, and whether scheduler and triggerer run."""
    yield Finding(f"pool {pool}", _pool(pool))
    code, url = _run("config", "get-value", "api", "base_url")
    health = _health(url.splitlines()[-1] if code == 0 and url else _BASE_URL)
    for service, hint in _SERVICES.items():
        if isinstance(health, ProjectExportError):
            yield Finding(service, health)
            continue
        state = health.get(service, {}).get("status")
        wrong = f"Airflow says that it is {state or 'not there, and never was'}. {hint}"
        yield Finding(service, None if state == "healthy" else Retryable(wrong))


def _pool(name: str) -> ProjectExportError | None:
    code, said = _run("pools", "get", name, "--output", "json")
    if code:
        last = said.splitlines()[-1] if said else f"exit code {code}"
        return SettingMissing(f'`airflow pools get` says: {last}. Make it: airflow pools set {name} 4 "exports"')
    slots = int(json.loads(said[said.index("[") :])[0]["slots"])
    return SettingMissing(f'it has no slots. Give it some: airflow pools set {name} 4 "exports"') if not slots else None


def _health(base_url: str) -> Mapping[str, Any] | ProjectExportError:
    url = f"{base_url.rstrip('/')}/api/v2/monitor/health"
    try:
        with urllib.request.urlopen(url, timeout=_ANSWER_SECONDS) as answer:
            found: Mapping[str, Any] = json.load(answer)
            return found
    except (OSError, ValueError) as error:
        return Retryable(f"{url} does not answer ({error}). Does the API server run? Is [api] base_url its address?")


def _run(*command: str) -> tuple[int, str]:
    """Run a command of Airflow; return its exit code and what it said, on stderr where it failed."""
    done = subprocess.run([*_AIRFLOW, *command], capture_output=True, text=True, timeout=_SECONDS, check=False)
    return done.returncode, (done.stderr if done.returncode else done.stdout).strip()
