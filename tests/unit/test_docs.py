"""The docs match the code: their commands exist, their examples work, their tables are current."""

from __future__ import annotations

import ast
import errno
import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dev.docs import with_layers, with_rules, with_settings
from project_export.errors import Failure
from project_export.formats import FORMATS
from project_export.tree import load
from project_export.variables import variable
from tests.commands import command as project_export

REPO = Path(__file__).resolve().parents[2]
PAGES = sorted([REPO / "README.md", REPO / "CONTRIBUTING.md", *(REPO / "docs").glob("*.md")])
ADRS = REPO / "docs" / "adr"


def commands(page: Path) -> list[str]:
    """Every `project-export ...` in the page's code, up to the end of the line or of the code span."""
    return re.findall(r"(?<=[`\n])\s*project-export ((?:[a-z]|--).*?)(?=`|\n|\\)", page.read_text("utf-8"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_of_the_docs_exists_with_its_options(page: Path) -> None:
    for line in commands(page):
        command = project_export()
        words = shlex.split(line)
        while words and (sub := getattr(command, "commands", {}).get(words[0])):
            command = sub
            words.pop(0)
        assert not getattr(command, "commands", None), f"{page.name}: project-export {line} is not a command"
        options = {option for parameter in command.params for option in parameter.opts}
        used = {word.split("=")[0] for word in words if word.startswith("--")}
        assert used <= options, f"{page.name}: project-export {line} has unknown options"


def test_the_readme_shows_commands_for_the_test_above() -> None:
    assert any(line.startswith("export --project-id") for line in commands(REPO / "README.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_make_target_of_the_docs_exists(page: Path) -> None:
    makefile = (REPO / "Makefile").read_text("utf-8")
    for target in re.findall(r"\bmake ([a-z][a-z-]*)\b(?=[ `\n])(?= +#| *`|\n)", page.read_text("utf-8")):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"{page.name}: make {target}"


@pytest.mark.parametrize("page", [*PAGES, *sorted(ADRS.glob("*.md"))], ids=lambda page: page.name)
def test_every_relative_link_has_a_target(page: Path) -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)", page.read_text("utf-8")):
        assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_table_of_settings_is_current() -> None:
    page = (REPO / "docs" / "operate.md").read_text("utf-8")
    assert page == with_settings(page), "write it by: python -m dev.docs"


def test_the_rules_of_the_sample_are_those_that_are_tested() -> None:
    page = (REPO / "docs" / "sample.md").read_text("utf-8")
    assert page == with_rules(page), "write it by: python -m dev.docs"


def test_the_layers_are_those_of_the_import_contract() -> None:
    page = (REPO / "CONTRIBUTING.md").read_text("utf-8")
    assert page == with_layers(page), "write it by: python -m dev.docs"


def test_every_message_that_the_operators_page_quotes_is_in_the_code(repo: Path) -> None:
    table = (
        (repo / "docs" / "operate.md").read_text("utf-8").partition("## When something fails")[2].partition("\n## ")[0]
    )
    seen = [row.split(" | ")[0] for row in re.findall(r"^\| (.*)", table, re.MULTILINE)]
    quoted = [text for cell in seen for text in re.findall("`([^`]+)`", cell)]
    assert len(quoted) > 30
    said = "\n".join(messages(repo / "include" / "project_export"))
    unknown = [text for text in quoted if not (names_no_message(text) or re.search(as_pattern(text), said))]
    assert unknown == []


def messages(package: Path) -> Iterator[str]:
    """Yield every text of the code, with \\0 in place of values."""
    for file in package.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.JoinedStr):
                yield "".join(str(part.value) if isinstance(part, ast.Constant) else "\0" for part in node.values)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield re.sub(r"%[.\d]*[sdrf]", "\0", node.value)


def as_pattern(quoted: str) -> str:
    """Return a pattern for a quoted message: N, numbers and dots mean values."""
    return r"\0".join(map(re.escape, re.split(r"\bN\b|\d+|\.\.\.", quoted)))


def names_no_message(quoted: str) -> bool:
    """Whether the quote is a task, a parameter, an errno, or a relation with its SQLSTATE."""
    failure = str(Failure("labels", 1, "", "22021"))
    return bool(
        re.fullmatch("[a-z_]+(=[a-z]+)?", quoted)
        or hasattr(errno, quoted)
        or (re.fullmatch(r"[a-z]+ \[\w{5}\]", quoted) and failure.startswith("labels [22021] ("))
    )


def test_every_decision_is_in_the_index() -> None:
    index = (ADRS / "README.md").read_text("utf-8")
    for page in ADRS.glob("0*.md"):
        assert f"({page.name})" in index


def test_the_example_tree_is_a_tree(tmp_path: Path) -> None:
    page = (REPO / "docs" / "your-schema.md").read_text("utf-8")
    example = re.search(r"```yaml\n(.*?)```", page, re.DOTALL)
    assert example
    file = tmp_path / "library.yaml"
    file.write_text(example[1], "utf-8")
    assert load(str(file)).names == ("library", "books")


def test_the_example_of_parameters_is_one(tmp_path: Path) -> None:
    page = (REPO / "docs" / "your-schema.md").read_text("utf-8")
    (example,) = re.findall(r"```yaml\n(parameters:.*?)```", page, re.DOTALL)
    file = tmp_path / "library.yaml"
    file.write_text(f"name: library\nrelations: []\n{example}", "utf-8")
    assert {name: declared.type for name, declared in load(str(file)).parameters.items()} == {
        "motto": "string",
        "shelves": "integer",
    }


def test_the_table_of_formats_has_each_with_its_files_and_settings() -> None:
    page = (REPO / "docs" / "your-schema.md").read_text("utf-8").partition("## The format of the archive")[2]
    found = re.findall(r"^\| `(\w+)`.*? \| (.*?) \| .*? \| (.*?)\|", page, re.MULTILINE)
    cells = {name: [re.findall("`([^`]+)`", cell) for cell in row] for name, *row in found}
    for name, format in FORMATS.items():
        assert cells[name] == [list(format.files), [variable(setting) for setting in format.settings]]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_page_installs_the_package_from_an_index_that_lacks_it(page: Path) -> None:
    assert not re.search(r"pip install [^`\n]*\bproject[-_]export\b", page.read_text("utf-8"))


def test_the_recording_in_the_readme_shows_every_relation_that_is_not_newer_than_the_facts(
    newer: Callable[[str], bool],
) -> None:
    shown = (REPO / "docs" / "images" / "export.svg").read_text("utf-8").replace("&#160;", "")
    assert "images/export.svg" in (REPO / "README.md").read_text("utf-8")
    names = [one.name for one in load("gitlab").relations if not newer(one.name)]
    assert [name for name in names if f">{name}<" not in shown] == []
