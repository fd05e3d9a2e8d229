"""The pins suit what people install next to the project; `make check-constraints` installs all of it for real."""

from __future__ import annotations

from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

# What the newest releases for Airflow 3.3 ask of packages that the project needs, too (from their metadata).
BESIDE = {
    "alembic": {"apache-airflow-core": "<2.0"},
    "click": {"celery": ">=8.3.1,<9.0", "click-repl": ">=7.0,<9.0", "flask-appbuilder": ">=8,<9"},
    "fastapi": {"apache-airflow-core": ">=0.129.0,<0.137.0"},
    "jsonschema": {"flask-appbuilder": ">=3,<5"},
    "pyjwt": {"flask-appbuilder": ">=2.0.0,<3.0.0", "flask-jwt-extended": ">=2.11.0,<3.0"},
    "python-dateutil": {"celery": "==2.9.0.post0", "flask-appbuilder": ">=2.3,<3", "botocore": ">=2.1,<3.0.0"},
    "requests": {"requests-toolbelt": ">=2.0.1,<3.0.0", "redshift-connector": ">=2.23.0,<3.0.0"},
    "sqlalchemy": {"flask-appbuilder": ">=1.4.0,<3", "marshmallow-sqlalchemy": ">=1.4.40,<3.0"},
    "urllib3": {"botocore": ">=1.25.4,!=2.2.0,<3", "requests": ">=1.26,<3"},
}


def pins(repo: Path, python: str) -> dict[str, str]:
    """Return package and version of all pins for a Python (such as 3.12) on Linux."""
    lines = (repo / "constraints.txt").read_text().splitlines()
    environment: dict[str, str] = {**default_environment(), "python_version": python}  # type: ignore[dict-item]
    environment["python_full_version"] = f"{python}.0"
    requirements = [Requirement(line) for line in lines if not line.startswith("#")]
    found = [one for one in requirements if one.marker is None or one.marker.evaluate(environment)]
    assert len({one.name for one in found}) == len(found)
    return {one.name: str(one.specifier).removeprefix("==") for one in found}


@pytest.mark.parametrize("python", ["3.10", "3.11", "3.12", "3.13", "3.14"])
def test_the_pins_are_accepted_by_the_providers_that_people_install_beside(python: str, repo: Path) -> None:
    pinned = pins(repo, python)
    refused = [
        f"{who} wants {package}{wanted}, pinned is {pinned[package]}"
        for package, limits in BESIDE.items()
        for who, wanted in limits.items()
        if not SpecifierSet(wanted).contains(pinned[package], prereleases=True)
    ]
    assert refused == []


def test_no_package_of_a_provider_beside_is_pinned(repo: Path) -> None:
    assert pins(repo, "3.12").keys().isdisjoint({"celery", "boto3", "botocore", "flask-appbuilder", "kubernetes"})
