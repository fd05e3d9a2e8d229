"""A relation is added as CONTRIBUTING.md describes it: in a copy of the repository, by the page's two entries."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

TREE = Path("include/project_export/trees/gitlab.yaml")
READER = Path("tests/reader/relations.yaml")
STRUCTURE = """\
CREATE TABLE ci_resource_groups (
    id bigint NOT NULL,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    project_id bigint NOT NULL,
    key character varying(255) NOT NULL,
    process_mode smallint DEFAULT 0 NOT NULL
);

ALTER TABLE ONLY ci_resource_groups
    ADD CONSTRAINT ci_resource_groups_pkey PRIMARY KEY (id);

CREATE UNIQUE INDEX index_ci_resource_groups_on_project_id_and_key ON ci_resource_groups USING btree (project_id, key);

ALTER TABLE ONLY ci_resource_groups
    ADD CONSTRAINT fk_774722d144 FOREIGN KEY (project_id) REFERENCES projects(id) ON DELETE CASCADE;
"""
BY_HAND = {str(TREE), str(READER)}
BY_THE_COMMAND = {
    "docs/relations.md",
    "include/project_export/importers/gitlab.yaml",
    "include/project_export/trees/gitlab-columns.tsv",
    "include/project_export/trees/gitlab-evidence.tsv",
    "include/project_export/trees/gitlab-keys.tsv",
    "tests/golden/resource_groups.ndjson",
}
CHECKS = (
    *("tests/unit/test_tree_load.py", "tests/unit/test_tree_facts.py", "tests/unit/test_tree_evidence.py"),
    *("tests/unit/test_relations_doc.py", "tests/unit/test_archive_models.py", "tests/unit/test_sample_facts.py"),
    *("tests/unit/test_reader.py", "tests/unit/test_update.py", "tests/unit/test_docs.py"),
    *("tests/db/test_golden.py", "tests/db/test_engine_oracle.py", "tests/db/test_reader_keys.py"),
    *("tests/db/test_sample_generate.py", "tests/db/test_sample_schema.py", "tests/db/test_cli_tree.py"),
    *("tests/db/test_model_rules_layouts.py", "tests/db/test_cases.py"),
)
"""The tests that compare the tree with something."""


@pytest.fixture(scope="module")
def copy(repo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the repository with the two entries and with GitLab's statements for the table."""
    found = tmp_path_factory.mktemp("added") / "copy"
    names = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=repo, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    for name in filter(None, names.split("\0")):
        if (repo / name).is_file():
            (found / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(repo / name, found / name)
    of_tree, of_reader = entries(repo)
    insert(found / TREE, "  - relation: user_contributions\n", of_tree)
    insert(found / READER, "  user_contributions: ", of_reader)
    (found.parent / "structure.sql").write_text(STRUCTURE, "utf-8")
    return found


def entries(repo: Path) -> tuple[str, str]:
    """Return the entries of the page: for the tree, and for the second reader."""
    section = (repo / "CONTRIBUTING.md").read_text("utf-8").partition("\n## Add a relation\n")[2].partition("\n## ")[0]
    blocks = re.findall(r"```yaml\n(.*?)```", section, re.DOTALL)
    of_tree, of_reader = (textwrap.indent(textwrap.dedent(block), "  ") for block in blocks)
    return of_tree, of_reader


def insert(file: Path, before: str, entry: str) -> None:
    text = file.read_text("utf-8")
    assert text.count(before) == 1
    file.write_text(text.replace(before, entry + before), "utf-8")


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a module of a copy of the repository."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "PROJECT_EXPORT_"))}
    environment = {**ours, "PYTHONPATH": str(folder / "include")}
    return subprocess.run(
        [sys.executable, "-m", *words], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def added(copy: Path) -> Iterator[subprocess.CompletedProcess[str]]:
    """What the command prints."""
    refused = run(copy, "tests.update")
    assert refused.returncode == 1
    assert "ci_resource_groups, which is new: give its CREATE TABLE by --structure FILE" in refused.stderr
    yield run(copy, "tests.update", "--structure", "../structure.sql")


def changed(repo: Path, copy: Path) -> set[str]:
    """Return the files of the copy that the repository does not have, or has with other contents."""
    files = [
        path for path in copy.rglob("*") if path.is_file() and not {"__pycache__", ".pytest_cache"} & {*path.parts}
    ]
    names = {str(path.relative_to(copy)): path.read_bytes() for path in files}
    return {name for name, data in names.items() if not (repo / name).exists() or (repo / name).read_bytes() != data}


def test_two_entries_and_one_command_change_no_other_files_than_those_that_are_derived(repo, copy, added):
    assert (added.returncode, added.stderr) == (0, "")
    assert changed(repo, copy) == BY_HAND | BY_THE_COMMAND
    assert added.stdout.splitlines() == [
        "importers/gitlab.yaml accepts resource_groups as it is exported: add what the importer's model rejects",
        "docs/images/export.svg does not show resource_groups: `make recording` draws it",
        "The derived files are current. Read the changes: git diff",
    ]


def test_the_golden_file_has_a_record_of_each_row_with_the_keys_of_both_entries(copy, added):
    lines = (copy / "tests/golden/resource_groups.ndjson").read_text("utf-8").splitlines()
    full, bare = map(json.loads, lines)
    assert list(full) == list(bare) == ["created_at", "updated_at", "project_id", "key", "process_mode"]
    assert full["key"].startswith("ci_resource_groups.key ")
    assert full["process_mode"] == "newest_ready_first"


@pytest.mark.slow
def test_the_command_finds_where_the_two_entries_disagree(repo, copy, added, tmp_path):
    wrong = shutil.copytree(copy, tmp_path / "wrong")
    text = (wrong / READER).read_text("utf-8")
    _, entry = entries(repo)
    other = entry.replace(" key process_mode\n", " process_mode\n").replace("resource_group_mode", "diff_type")
    (wrong / READER).write_text(text.replace(entry, other), "utf-8")
    done = run(wrong, "tests.update")
    assert done.returncode == 1
    assert "WRONG: specimen.resource_groups[0] has the keys ['created_at', 'updated_at'" in done.stdout
    assert (
        "WRONG: specimen.resource_groups[0].process_mode is 'newest_ready_first' from the engine and None from"
        in done.stdout
    )
    assert "WRONG: sample.resource_groups[0].process_mode is" in done.stdout


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_all_checks_pass_in_the_copy(copy, added):
    assert added.returncode == 0
    done = run(copy, "pytest", "-q", "-n", "2", "-m", "not slow", "-p", "no:cacheprovider", *CHECKS)
    assert done.returncode == 0, done.stdout[-5000:]
    assert " passed" in done.stdout
