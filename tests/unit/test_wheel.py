"""What is installed holds all that runs: the wheel is built, unpacked, and used without the clone."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.heavy


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory, repo: Path) -> Path:
    """The folder of an unpacked wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    clone = folder / "clone"
    clone.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(repo / name, clone)
    for name in ("include", "dags", "plugins"):
        ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
        shutil.copytree(repo / name, clone / name, symlinks=True, ignore=ignored)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(clone)]
    subprocess.run(command, check=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "installed")
    shutil.rmtree(clone)
    return folder / "installed"


def project_export(installed: Path, *arguments: str) -> list[str]:
    program = "import project_export.cli as cli; assert cli.__file__.startswith(sys.argv.pop(1)); cli.app()"
    command = [sys.executable, "-c", f"import sys; {program}", str(installed), *arguments]
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    done = subprocess.run(command, env=environment, cwd=installed, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_a_wheel_brings_the_dag_files_and_writes_them(installed: Path, tmp_path: Path, repo: Path) -> None:
    to = tmp_path / "a b" / "dags"
    names = sorted(path.name for path in (repo / "dags").glob("*.py"))
    assert project_export(installed, "dags", "--to", str(to)) == [f"{to / name}: written" for name in names]
    assert {path.name: path.read_bytes() for path in to.iterdir()} == {
        name: (repo / "dags" / name).read_bytes() for name in names
    }
    (to / names[0]).write_text("of another version")
    states = ["replaced", *["unchanged"] * (len(names) - 1)]
    said = [f"{to / name}: {state}" for name, state in zip(names, states, strict=True)]
    assert project_export(installed, "dags", "--to", str(to)) == said
    assert (to / names[0]).read_bytes() == (repo / "dags" / names[0]).read_bytes()


def test_a_wheel_brings_the_plugin_too(installed: Path, tmp_path: Path, repo: Path) -> None:
    names = sorted(path.name for path in (repo / "plugins").glob("*.py"))
    to = tmp_path / "plugins"
    said = project_export(installed, "dags", "--to", str(tmp_path / "dags"), "--plugins", str(to))
    assert said[-len(names) :] == [f"{to / name}: written" for name in names]
    assert {path.name: path.read_bytes() for path in to.iterdir()} == {
        name: (repo / "plugins" / name).read_bytes() for name in names
    }


def test_a_wheel_holds_every_file_of_the_package(installed: Path, repo: Path) -> None:
    package = Path("project_export")
    here = {path.relative_to(repo / "include") for path in (repo / "include" / package).rglob("*") if path.is_file()}
    here |= {package / name / path.name for name in ("dags", "plugins") for path in (repo / name).glob("*.py")}
    wanted = {path for path in here if "__pycache__" not in path.parts}
    assert {path.relative_to(installed) for path in (installed / package).rglob("*") if path.is_file()} >= wanted
