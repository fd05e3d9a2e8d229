"""Parts of the docs that are generated: `python -m dev.docs` writes them, and tests check that they are current."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import yaml

from project_export.settings import Settings

REPO = Path(__file__).resolve().parents[1]
PACKAGE = REPO / "include" / "project_export"
OPERATE = REPO / "docs" / "operate.md"
SAMPLE = REPO / "docs" / "sample.md"
CONTRIBUTING = REPO / "CONTRIBUTING.md"
RULES = REPO / "tests" / "db" / "validations.yaml"
UNREAD = " (not read)"
"""Ends the `file` of a rule whose source was not read."""


def settings_table() -> str:
    """Return the table of all settings as Markdown."""
    lines = ["| variable | default | meaning |", "| --- | --- | --- |"]
    for name, field in Settings.model_fields.items():
        default = f"`{field.default}`" if field.default != "" else ""
        lines.append(f"| `PROJECT_EXPORT_{name.upper()}` | {default} | {field.description} |")
    return "\n".join(lines)


def rules_table() -> str:
    """Return the table of what GitLab's models require of rows as Markdown, one line per file."""
    demands: dict[str, list[str]] = {}
    for rule in yaml.safe_load(RULES.read_text("utf-8")):
        demands.setdefault(rule["file"], []).append(rule["demand"])
    lines = ["| file | requirements |", "| --- | --- |"]
    for file, texts in demands.items():
        star = " *" if file.endswith(UNREAD) else ""
        lines.append(f"| `{file.removesuffix(UNREAD)}`{star} | {'; '.join(texts)} |")
    return "\n".join(lines)


def layers() -> str:
    """Return the layers of the import contract, highest first, with the purpose of each module."""
    contract = re.search(
        r"^layers = \[\n(.*?)^\]", (REPO / "pyproject.toml").read_text("utf-8"), re.DOTALL | re.MULTILINE
    )
    assert contract is not None
    names = re.findall(r'"([^"]+)"', contract[1])
    width = max(len(name) for layer in names for name in layer.split(" | ")) + 2
    blocks = []
    for layer in names:
        lines = [f"{name:<{width}}{_purpose(name)}" for name in layer.split(" | ")]
        blocks.append("\n".join(lines))
    return "```text\n" + f"\n{'─' * width}\n".join(blocks) + "\n```"


def _purpose(name: str) -> str:
    """Return the first sentence of a module's docstring."""
    file = PACKAGE / name / "__init__.py" if (PACKAGE / name).is_dir() else PACKAGE / f"{name}.py"
    text = ast.get_docstring(ast.parse(file.read_text("utf-8"))) or ""
    return re.split(r"(?<=\.)\s|\n\n", text.replace("\n", " "), maxsplit=1)[0]


def with_settings(page: str) -> str:
    """Return the page for operators with a current table between its marks."""
    return _between("settings", settings_table(), page)


def with_rules(page: str) -> str:
    """Return the page about the sample with a current table between its marks."""
    return _between("rules", rules_table(), page)


def with_layers(page: str) -> str:
    """Return the page for contributors with the current layers between its marks."""
    return _between("layers", layers(), page)


def _between(mark: str, text: str, page: str) -> str:
    return re.sub(rf"(?<=<!-- {mark} -->\n).*?(?=<!-- /{mark} -->)", lambda _: text + "\n", page, flags=re.DOTALL)


if __name__ == "__main__":
    for file, current in ((OPERATE, with_settings), (SAMPLE, with_rules), (CONTRIBUTING, with_layers)):
        file.write_text(current(file.read_text("utf-8")), "utf-8")
