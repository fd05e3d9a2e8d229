"""`make env`: write .env from .env.example, with generated secrets. Runs with any python3 and no packages."""

import base64
import os
import re
import secrets
import sys
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]


def main() -> None:
    """Write .env, readable only by its owner; exit with a message if it exists."""
    path = REPO / ".env"
    content = re.sub(r"^(\w+_(?:PASSWORD|SECRET|KEY))=$", _with_secret, _example(), flags=re.MULTILINE)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        sys.exit(f"{path} exists and was not changed: the volumes use its secrets.")
    with os.fdopen(descriptor, "w") as file:
        file.write(content)
    print(f"Wrote {path}. AIRFLOW_ADMIN_PASSWORD in it is the password of admin.")


def _example() -> str:
    return (REPO / ".env.example").read_text()


def _with_secret(match: "re.Match[str]") -> str:
    name = match.group(1)
    if name.startswith("PROJECT_EXPORT_"):  # the password of an existing source
        return match.group()
    random = secrets.token_bytes(32)
    return f"{name}={base64.urlsafe_b64encode(random).decode() if name == 'AIRFLOW_FERNET_KEY' else random.hex()}"


if __name__ == "__main__":
    main()
