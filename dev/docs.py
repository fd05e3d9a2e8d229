"""Parts of the docs written from what they describe: `python -m dev.docs` writes them, a test compares them."""

from __future__ import annotations

import re
from pathlib import Path

from project_export.settings import Settings

REPO = Path(__file__).resolve().parents[1]
OPERATE = REPO / "docs" / "operate.md"


def settings_table() -> str:
    """Return the table of all settings as Markdown."""
    lines = ["| variable | default | meaning |", "| --- | --- | --- |"]
    for name, field in Settings.model_fields.items():
        default = f"`{field.default}`" if field.default != "" else ""
        lines.append(f"| `PROJECT_EXPORT_{name.upper()}` | {default} | {field.description} |")
    return "\n".join(lines)


def with_settings(page: str) -> str:
    """Return the operator's page with the table between its marks."""
    return re.sub(
        r"(?<=<!-- settings -->\n).*?(?=<!-- /settings -->)", lambda _: settings_table() + "\n", page, flags=re.DOTALL
    )


if __name__ == "__main__":
    OPERATE.write_text(with_settings(OPERATE.read_text("utf-8")), "utf-8")
