"""The facts that come with the tests are those of the folder they were copied from, where that exists."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / "facts"
COPIES = sorted(
    str(path.relative_to(FOLDER))
    for path in FOLDER.rglob("*")
    if path.is_file() and path.name != "README.md" and path.parent.name != "__pycache__"
)


def test_every_copy_is_like_its_original(facts_folder: Path) -> None:
    assert [name for name in COPIES if (FOLDER / name).read_bytes() != (facts_folder / name).read_bytes()] == []


def test_every_case_is_copied(facts_folder: Path) -> None:
    there = {path.name for path in (facts_folder / "cases").iterdir() if path.name != "README.md"}
    assert there == {Path(name).name for name in COPIES if name.startswith("cases/")}


def test_the_copies_are_small_and_name_no_folder_of_a_machine() -> None:
    assert COPIES
    data = [(FOLDER / name).read_bytes() for name in COPIES]
    assert sum(map(len, data)) < 500_000
    above = f"{FOLDER.parents[2]}/".encode()  # whatever this machine calls it
    assert [name for name, text in zip(COPIES, data, strict=True) if b"/home/" in text or above in text] == []


def test_the_readme_says_where_each_copy_comes_from() -> None:
    rows = [line for line in (FOLDER / "README.md").read_text("utf-8").splitlines() if line.startswith("| `")]
    named = {row.split("`")[1] for row in rows}
    assert named == {"cases/*.sql" if name.startswith("cases/") and name.endswith(".sql") else name for name in COPIES}
