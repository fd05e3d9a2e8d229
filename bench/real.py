"""Fill a database with a project as teams have them, of any size: PostgreSQL makes the rows, from texts made here.

What is public of large projects shapes it:

- New issues go to the end of the manual order, 513 apart (gitlab-org/gitlab: lib/gitlab/relative_positioning.rb).
  Few are moved on a board, and those that a worker has not placed yet have no position: the order is nearly by id.
- GitLab measures its export with issues of a dozen notes (gitlab-org/gitlab!131621); most have fewer, a few have
  hundreds. Nearly half of all notes are written by the system. Changes of labels and milestones have not been notes
  since GitLab 12, but resource_*_events. Only merge requests have notes on diffs here; none has `st_diff`.
- Commits of diffs are in merge_request_commits_metadata, each once per project (GitLab 18 and later).
- Pipelines have a handful of stages with some jobs each. Projects with thousands of pipelines are usual: 7,200 and
  15,000 in gitlab-org/gitlab's work items 542369 and 366254.
- Rows of all projects are stored in the order of their time. Every third one is of another project here.

Texts are from Python's own documentation, diffs are edits of its own source files: they compress as such texts do.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from pathlib import Path
from pydoc_data.topics import topics
from random import Random

import psycopg

from project_export.sample import schema
from project_export.sample.generate import generate
from project_export.sample.positions import Refs, text_position

_STATEMENTS = Path(__file__).with_suffix(".sql")
_TABLES = """
    CREATE TEMP TABLE sizes (issues int, merge_requests int, pipelines int);
    CREATE TEMP TABLE texts (n int PRIMARY KEY, text text);
    CREATE TEMP TABLE patches (n int PRIMARY KEY, path text, diff text);
    CREATE TEMP TABLE positions (n int PRIMARY KEY, position text);
"""
SCALE = 0.1
"""Of the sample that the project starts as, which has its users, labels and milestones."""
TEXTS, PATCHES, POSITIONS = 2000, 2000, 3000
_TYPICAL_TEXT, _TYPICAL_PATCH = 220, 900  # characters; the mean is nearly twice as large
_SPREAD = 1.1
_SOURCES = ("argparse", "ast", "calendar", "csv", "difflib", "inspect", "ipaddress", "mailbox", "tarfile", "zipfile")


def fill(uri: str, issues: int, merge_requests: int, pipelines: int) -> None:
    """Fill an empty database. issues, merge_requests, pipelines: how many project 1 gets, besides the sample's few."""
    with psycopg.connect(uri) as conn:
        schema.create(conn)
        generate(conn, 2, SCALE)
        conn.execute("SET session_replication_role = replica")  # the rows refer to each other as they should
        conn.execute("SET max_parallel_workers_per_gather = 0")
        conn.execute("SET work_mem = '256MB'")
        conn.execute("SELECT setseed(0.5)")
        _temporary(conn, issues, merge_requests, pipelines)
        conn.execute(_STATEMENTS.read_bytes())


def _temporary(conn: psycopg.Connection[tuple[object, ...]], *sizes: int) -> None:
    """Make the temporary tables of the statements: sizes, and what rows choose from."""
    conn.execute(_TABLES)
    conn.execute("INSERT INTO sizes VALUES (%s, %s, %s)", sizes)
    random = Random(1)
    pools = {
        "texts": _texts(random),
        "patches": _patches(random),
        "positions": ((text,) for text in positions(random, POSITIONS)),
    }
    for name, rows in pools.items():
        with conn.cursor() as cursor, cursor.copy(f"COPY {name} FROM STDIN") as copy:
            for number, row in enumerate(rows):
                copy.write_row((number, *row))


def _length(random: Random, typical: int) -> int:
    return int(random.lognormvariate(math.log(typical), _SPREAD))


def _texts(random: Random) -> Iterator[tuple[str]]:
    paragraphs = [part for name in sorted(topics) for part in topics[name].split("\n\n") if part.strip()]
    for _ in range(TEXTS):
        length, at = _length(random, _TYPICAL_TEXT), random.randrange(len(paragraphs))
        text = "\n\n".join(paragraphs[at : at + 40])
        yield (text[: max(length, 12)],)


def _patches(random: Random) -> Iterator[tuple[str, str]]:
    """Yield paths and diffs, as GitLab stores them: hunks without a header."""
    folder = Path(csv.__file__).parent
    sources = {name: (folder / f"{name}.py").read_text().splitlines() for name in _SOURCES}
    for number in range(PATCHES):
        name = random.choice(_SOURCES)
        left, hunks, lines = _length(random, _TYPICAL_PATCH), "", sources[name]
        while left > 0 or not hunks:
            at, gone, new = random.randrange(len(lines) - 20), random.randint(0, 4), random.randint(0, 8)
            changed = [f"-{line}" for line in lines[at + 3 : at + 3 + gone]]
            changed += [f"+{line}" for line in random.sample(lines, new)]
            before, after = (map(" {}".format, lines[start : start + 3]) for start in (at, at + 3 + gone))
            hunk = "\n".join((*before, *changed, *after))
            hunks += f"@@ -{at + 1},{6 + gone} +{at + 1},{6 + new} @@\n{hunk}\n"
            left -= len(hunk)
        yield f"lib/{name}/{name}_{number}.py", hunks


def positions(random: Random, number: int) -> Iterator[str]:
    """Yield positions of notes on lines; one in five on several."""
    for place in range(number):
        base, head = (f"{random.getrandbits(160):040x}" for _ in range(2))
        line, lines = random.randrange(4, 900), 3 if place % 5 == 0 else 0
        path = f"lib/{random.choice(_SOURCES)}/file_{place}.py"
        yield text_position(Refs(base, base, head), path, line if place % 3 == 0 else None, line + 1, lines)
