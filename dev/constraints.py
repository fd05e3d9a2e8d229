"""`make constraints`, `make check-constraints`: pins that also work with packages that people install with the project.

A constraint applies to everything that pip installs in the same command, including providers of an existing Airflow. So
the versions are resolved together with the most common providers, but only the project's own dependencies are pinned.
A pinned package keeps its version if possible.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]
CONSTRAINTS = REPO / "constraints.txt"
PROVIDERS = ("amazon", "celery", "cncf-kubernetes", "fab", "redis", "smtp")
EXTRAS = ("bench", "browser", "dev")
OLDEST_PYTHON = "3.10"
HEAD = """\
# For a new environment; an existing Airflow keeps its own versions (docs/operate.md).
# Written by `make constraints`: resolved together with the providers {providers}.
"""


def main() -> int:
    """Run the command line and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m dev.constraints", description=__doc__)
    parser.add_argument("command", choices=["write", "check"])
    with tempfile.TemporaryDirectory() as folder:
        try:
            {"write": _write, "check": _check}[parser.parse_args().command](Path(folder))
        except subprocess.CalledProcessError as error:
            print(f"`{' '.join(map(str, error.cmd))}` failed with exit code {error.returncode}.", file=sys.stderr)
            return 1
    return 0


def _write(folder: Path) -> None:
    """Resolve the project with the providers, then the project alone at these versions."""
    beside, all_pins, pins = (folder / name for name in ("beside.in", "all.txt", "pins.txt"))
    beside.write_text("".join(f"{name}\n" for name in _providers()))
    for out in (all_pins, pins):
        out.write_text(CONSTRAINTS.read_text())  # uv keeps these versions if possible
    extras = [word for extra in EXTRAS for word in ("--extra", extra)]
    compile_ = [Path(sys.executable).with_name("uv"), "pip", "compile", "--universal", "--quiet"]
    compile_ += ["--python-version", OLDEST_PYTHON, "--no-annotate", "--no-header", REPO / "pyproject.toml", *extras]
    _run(*compile_, beside, "--output-file", all_pins)
    _run(*compile_, "--constraint", all_pins, "--output-file", pins)
    CONSTRAINTS.write_text(HEAD.format(providers=", ".join(PROVIDERS)) + pins.read_text())
    print(f"Wrote {CONSTRAINTS}; `make check-constraints` installs it.")


def _check(folder: Path) -> None:
    """Install the project with the providers in a new environment, and run `pip check`."""
    venv.create(folder / "venv", with_pip=True)
    pip = [folder / "venv" / "bin" / "python", "-m", "pip", "--disable-pip-version-check"]
    _run(*pip, "install", "--quiet", "--no-compile", "--constraint", CONSTRAINTS, REPO, *_providers())
    _run(*pip, "check")


def _providers() -> list[str]:
    return [f"apache-airflow-providers-{name}" for name in PROVIDERS]


def _run(*command: object) -> None:
    words = [str(word) for word in command]
    subprocess.run(words, check=True, env={**os.environ, "UV_NO_CONFIG": "1"})


if __name__ == "__main__":
    sys.exit(main())
