"""Whether Airflow itself is ready: the pool by its command line, the services by the health endpoint of the API.

A task can check neither: it has no access to Airflow's database, and the task SDK has no pools. This module imports
nothing from Airflow, so that the shell can run it in any environment.
"""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from project_export.errors import ProjectExportError, Retryable, SettingMissing
from project_export.steps import Finding

_AIRFLOW = (sys.executable, "-m", "airflow")
_SECONDS = 60
_ANSWER_SECONDS = 10
_BASE_URL = "http://localhost:8080"
_SERVICES = {
    "scheduler": "Nothing runs without it; start `airflow scheduler`.",
    "triggerer": "It holds the snapshot of exports with consistency=project; start `airflow triggerer`.",
}

Run = Callable[..., tuple[int, str]]
"""Runs a command of Airflow, given as its words; returns the exit code and the output, stderr when it failed."""


def run_airflow(*command: str) -> tuple[int, str]:
    """Run a command of Airflow; return its exit code and its output, stderr when it failed."""
    done = subprocess.run([*_AIRFLOW, *command], capture_output=True, text=True, timeout=_SECONDS, check=False)
    return done.returncode, (done.stderr if done.returncode else done.stdout).strip()


def findings(pool: str, run: Run = run_airflow) -> Iterator[Finding]:
    """Yield whether the pool of the export tasks exists, and whether scheduler and triggerer are running.

    run: runs Airflow's commands; by default with the Airflow of this environment.
    """
    yield Finding(f"pool {pool}", _pool(pool, run))
    code, url = run("config", "get-value", "api", "base_url")
    health = _health(url.splitlines()[-1] if code == 0 and url else _BASE_URL)
    for service, hint in _SERVICES.items():
        if isinstance(health, ProjectExportError):
            yield Finding(service, health)
            continue
        state = health.get(service, {}).get("status")
        wrong = f"{f'Airflow reports it as {state}' if state else 'it has never run'}. {hint}"
        yield Finding(service, None if state == "healthy" else Retryable(wrong))


def _pool(name: str, run: Run) -> ProjectExportError | None:
    code, said = run("pools", "get", name, "--output", "json")
    if code:
        last = said.splitlines()[-1] if said else f"exit code {code}"
        return SettingMissing(f'`airflow pools get` says: {last}. Create it: airflow pools set {name} 4 "exports"')
    slots = int(json.loads(said[said.index("[") :])[0]["slots"])
    return SettingMissing(f'it has no slots. Add some: airflow pools set {name} 4 "exports"') if not slots else None


def _health(base_url: str) -> Mapping[str, Any] | ProjectExportError:
    url = f"{base_url.rstrip('/')}/api/v2/monitor/health"
    try:
        with urllib.request.urlopen(url, timeout=_ANSWER_SECONDS) as answer:
            found: Mapping[str, Any] = json.load(answer)
            return found
    except (OSError, ValueError) as error:
        return Retryable(
            f"{url} does not answer ({error}). Is the API server running, and is [api] base_url its address?"
        )
