"""The prose uses plain English, and one term for each concept: the glossary's."""

from __future__ import annotations

import io
import re
import subprocess
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, get_args

import pytest

from project_export.ledger import Outcome

REPO = Path(__file__).resolve().parents[2]
ROOTS = (
    *("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs"),
    *("dev", "bench", "docker-compose.yaml", ".env.example", "Makefile", "pyproject.toml"),
    *("include/project_export/trees/gitlab.md", "include/project_export/trees/gitlab.yaml"),
    *("include/project_export/importers", "tests/db/validations.yaml"),
    *("tests/reader", "tests/update", "tests/golden", "tests/specimen.py", "tests/producers.py"),
    *("tests/db/test_add_relation.py", "tests/db/test_sample_*.py", "tests/db/test_golden*.py"),
    *("tests/db/test_model_rules_*.py", "tests/db/test_reader_keys.py"),
    *("tests/unit/test_reader.py", "tests/unit/test_update.py"),
    *("include/project_export/tree", "include/project_export/source", "include/project_export/coders"),
    *("include/project_export/trees", "include/project_export/formats", "include/project_export/variables.py"),
    *("tests/unit/test_tree_*.py", "tests/unit/test_relations_doc.py", "tests/unit/test_formats.py"),
    *("include/project_export/ledger", "tests/*/test_ledger_*.py"),
    *(
        "include/project_export/steps",
        "include/project_export/cli",
        "include/project_export/airflow",
        "dags",
        "plugins",
    ),
    *("include/project_export/store", "include/project_export/producers", "include/project_export/sample"),
    *("include/project_export/archive", "include/project_export/errors.py", "include/project_export/external"),
    *("include/project_export/credentials.py", "tests/buckets.py", "tests/*/test_*bucket*.py"),
    *("include/project_export/merged.py", "include/project_export/plan.py", "include/project_export/request.py"),
    *("include/project_export/send.py", "include/project_export/settings.py", "include/project_export/shell.py"),
    *("include/project_export/repositories", "tests/unit/test_repositories_*.py", "tests/repositories.py"),
    "tests/chaos",
    *("tests/unit/test_transforms*.py", "tests/db/test_engine_*.py", "tests/db/test_source_*.py"),
    *("tests/db/test_encodings.py", "tests/db/test_schema_drift.py", "tests/db/test_hidden_rows.py"),
    *("tests/*/test_other_schema.py", "tests/library.py"),
)
"""What is held to plain English; add a folder or file here once its prose is clean."""

GENERATED = (re.compile(r"<!-- (\w+) -->\n.*?<!-- /\1 -->", re.DOTALL), "docs/relations.md")
"""Text and page that are written from elsewhere, and are judged there."""

AVOIDED = {
    r"\btold\b|\btells?\b(?! (?:\w+ ){0,2}apart)": "report, say, notify",
    r"\bl(?:ies?|ay|ying) (?:in|on|at|below|beside|there)\b|\bwhat lies\b": "is",
    r"\b(?:stands?|stood) (?:in|on|beside|above|below|before|behind|there|still)\b(?! for)": "is",
    r"(?<!there )\b(?:is|are|was|were|be) no (?!more\b|longer\b|later\b|less\b|other\b|different\b)": "is not a",
    r"\b(?:so|of|for|after|by) so (?:many|much|long|often)\b|\bso many\b": "the number; this long",
    r"\bleaves? (?:empty|as|the source)\b": "is exported",
    r"\bnowhere\b": "unusable, not found",
    r"(?<!-)\banew\b": "again, from scratch",
    r"\bwho(?:m)?ever\b": "the one who; rename the subject",
    r"\b(?:that|which|what) (?:is|are) to be\b": "must be, will be",
    r"\bin the place of\b": "instead of",
    r"\bat the most\b|\bat the least\b": "at most, at least",
    r"\bof (?:the )?dead\b": "dead processes",
    r"(?<!all )(?<!one )(?<!most )(?<!some )\bof (?:which|whom)\b": "two sentences",
    r"\bgives? back\b|\bgiven back\b|\bgave back\b": "return, release",
    r"\bbe it\b|\bbe their\b": "whether",
    r"\bthe \d+\. (?!\d)": "the second",
    r"\bmend(?:s|ed)?\b": "fix",
    r"\breckon(?:s|ed)?\b": "calculate, estimate",
    r"\bin silence\b": "silently",
    r"\btheatre\b": "environment",
    r"\bof one's own\b": "its own, separate",
    r"\bto be had\b": "available",
    r"\bcomes? along\b": "is included",
    r"\bleads? (?:there|out of|to it)\b": "is at",
    r"\bso that nobody\b|\bnobody sees\b": "no one; name the reader",
}
"""Habits to avoid, as patterns, and what to write instead."""


class Passage(NamedTuple):
    """A piece of prose, and where it is."""

    file: str
    line: int
    text: str


def files() -> list[Path]:
    tracked = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", *ROOTS],
        cwd=REPO, capture_output=True, check=True, text=True,
    ).stdout.split("\0")  # fmt: skip
    return [REPO / name for name in tracked if name and name not in GENERATED and is_prose(name)]


def is_prose(name: str) -> bool:
    return Path(name).suffix in (".md", ".py", ".yaml", ".toml", ".example", "") and (REPO / name).is_file()


def passages(file: Path) -> Iterator[Passage]:
    """Yield the prose of a file: text of a page, docstrings, comments and messages of code, comments of other files.

    YAML is taken whole, for its notes. Text in backticks is not prose.
    """
    text = file.read_text("utf-8")
    name = str(file.relative_to(REPO))
    if file.suffix == ".md":
        found = [(1, markdown(text))]
    elif file.suffix == ".py":
        found = list(python(text))
    elif file.suffix == ".yaml":
        found = [(1, text)]
    else:
        found = [(1, "\n".join(line.partition("#")[2] if "#" in line else "" for line in text.splitlines()))]
    for line, passage in found:
        yield Passage(name, line, re.sub(r"`[^`\n]*`", lambda code: "_" * len(code[0]), passage))


def markdown(text: str) -> str:
    """Return a page's prose; code and generated text become empty lines, so that lines keep their numbers."""
    blocks = (GENERATED[0], re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE), re.compile(r"\]\([^)]*\)"))
    for pattern in blocks:
        text = pattern.sub(lambda block: "\n" * block[0].count("\n"), text)
    return text


def python(text: str) -> Iterator[tuple[int, str]]:
    """Yield each string of a module and each block of comments, with its line."""
    block: list[tuple[int, str]] = []
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.STRING or tokenize.tok_name[token.type] == "FSTRING_MIDDLE":
            yield token.start[0], token.string
        if token.type == tokenize.COMMENT:
            if block and token.start[0] != block[-1][0] + 1:
                yield block[0][0], "\n".join(comment for _, comment in block)
                block = []
            block.append((token.start[0], token.string))
    if block:
        yield block[0][0], "\n".join(comment for _, comment in block)


def habits(passage: Passage) -> Iterator[str]:
    """Yield each habit of a passage, with where it is and what to write instead."""
    text = re.sub(r"[ \t]*\n[ \t]*(?:# )?|[ \t]+", lambda space: "\n" if "\n" in space[0] else " ", passage.text)
    for pattern, instead in AVOIDED.items():
        for found in re.finditer(pattern.replace(" ", r"\s"), text, re.IGNORECASE):
            line = passage.line + text.count("\n", 0, found.start())
            yield f"{passage.file}:{line}: {' '.join(found[0].split())!r} -> {instead}"


def test_the_prose_has_none_of_the_habits_to_avoid() -> None:
    found = files()
    assert len(found) > 60
    assert [habit for file in found for passage in passages(file) for habit in habits(passage)] == []


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("the waiter is told by\nwhoever lies in wait", 3),
        ("there is no row, and nobody is no longer waiting", 0),
        ("an id that is no integer", 1),
        ("tells two jobs apart", 0),
        ("it was the 2. time, in version 18.2. It", 1),
    ],
)
def test_habits_are_found_across_lines_and_only_they(text: str, count: int) -> None:
    assert len(list(habits(Passage("page.md", 1, text)))) == count


def test_quotes_and_code_are_not_prose(tmp_path: Path) -> None:
    assert markdown("so\n```\nanew\n```\n<!-- x -->\nanew\n<!-- /x -->\nend").split() == ["so", "end"]
    assert list(python('"""Doc."""\nname = "text"  # note\n')) == [(1, '"""Doc."""'), (2, '"text"'), (2, "# note")]


GLOSSARY = REPO / "docs" / "glossary.md"
TERMS = re.findall(r"^- \*\*(.+?)\*\*: ", GLOSSARY.read_text("utf-8"), re.MULTILINE)


def test_the_glossary_defines_each_term_once_and_is_linked() -> None:
    assert len(TERMS) >= 25
    assert sorted(set(TERMS)) == sorted(TERMS)
    for page in ("README.md", "CONTRIBUTING.md", "docs/operate.md"):
        assert "glossary.md" in (REPO / page).read_text("utf-8"), page


@pytest.mark.parametrize("term", TERMS)
def test_a_term_of_the_glossary_is_used_in_the_docs(term: str) -> None:
    others = [page for page in files() if page.suffix == ".md" and page != GLOSSARY]
    assert any(re.search(rf"\b{term}s?\b", page.read_text("utf-8")) for page in others)


def test_every_name_that_the_glossary_quotes_is_one_of_the_code() -> None:
    code = "\n".join(file.read_text("utf-8") for root in ("include", "dags") for file in (REPO / root).rglob("*.py"))
    names = set(re.findall(r"`([^`]+)`", GLOSSARY.read_text("utf-8")))
    assert len(names) > 12
    missing = [name for name in names if not re.search(rf"\b{as_code(name)}\b", code)]
    assert missing == []


def as_code(name: str) -> str:
    """Return the pattern of a name in the code: a setting is a field there, a parameter's value a literal."""
    if name.startswith("PROJECT_EXPORT_"):
        return name.removeprefix("PROJECT_EXPORT_").lower()
    return re.escape(name).replace("=", ".*")


def test_the_outcomes_of_the_glossary_are_those_of_the_ledger() -> None:
    outcome = re.search(r"^- \*\*outcome\*\*: (.*)$", GLOSSARY.read_text("utf-8"), re.MULTILINE)
    assert outcome
    assert set(re.findall("`([^`]+)`", outcome[1])) == set(get_args(Outcome))
