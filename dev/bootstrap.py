"""Make `.venv` with everything the project needs; `make setup` runs this with any python3.

It only uses the syntax of Python 3.6, so that an old Python can report that it is too old.
"""

import shutil
import subprocess
import sys
from pathlib import Path

OLDEST = (3, 10)
NEWEST = (3, 14)
REPO = Path(__file__).resolve().parents[1]
VENV = REPO / ".venv"
STAMP = VENV / "installed"


def main() -> None:
    """Make the environment; exit with a message if something is missing."""
    version = ".".join(str(number) for number in sys.version_info[:3])
    if not OLDEST <= sys.version_info[:2] <= NEWEST:
        needed = f"Python {OLDEST[0]}.{OLDEST[1]} to {NEWEST[0]}.{NEWEST[1]} is required"
        sys.exit(f"{needed}; {sys.executable} is {version}. Choose another: make setup PYTHON=python3.12")
    if not shutil.which("git"):
        sys.exit("git is missing. Install it (Debian, Ubuntu: apt install git).")
    python = VENV / "bin" / "python"
    if not works(python):
        try:
            import ensurepip  # noqa: F401
            import venv  # noqa: F401
        except ImportError:
            hint = "Debian, Ubuntu: apt install python3-venv"
            sys.exit(f"The modules venv and ensurepip of {sys.executable} are missing. Install them ({hint}).")
        print(f"Making .venv with Python {version}", flush=True)
        run(sys.executable, "-m", "venv", "--clear", VENV)
    print("Installing the pinned packages into .venv (some minutes the first time)", flush=True)
    install = [python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    run(*install, "--constraint", "constraints.txt", "--editable", ".[dev,s3]")
    # If pip is configured not to compile, each process would compile Airflow again. Some packages include templates
    # that are not valid Python, so the exit code is ignored; a broken module that matters fails on import anyway.
    subprocess.call([str(python), "-m", "compileall", "-qq", "-j", "0", str(VENV / "lib")])
    STAMP.touch()


def works(python: Path) -> bool:
    """Return whether this interpreter runs and has pip."""
    return python.exists() and subprocess.call([str(python), "-m", "pip", "--version"], stdout=subprocess.DEVNULL) == 0


def run(*command: object) -> None:
    """Run a command in the repository; exit with a message if it fails."""
    words = [str(word) for word in command]
    code = subprocess.call(words, cwd=str(REPO))
    if code != 0:
        sys.exit(f"`{' '.join(words)}` failed with exit code {code}.")


if __name__ == "__main__":
    main()
