"""Many and large files of a bucket: they overlap, arrive in order, and memory grows with neither number nor size."""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.attic import Attic
from tests.buckets import KEY, SECRET, Buckets

pytestmark = pytest.mark.slow

MIB = 1 << 20
MOST = 100 * MIB
"""By which an exporting process may grow: botocore's models, 16 files of up to 1 MiB, blocks of 8 MiB."""
SMALL = 10_000
LATENCY_SECONDS = 0.02

EXPORT = """
import json, sys, threading, time
from pathlib import Path
import psycopg
from project_export.external import Locations
from project_export.producers import KINDS, Project, files
from project_export.source import Allowed, Limits, Session, Tables
from project_export.tree import bind, load, tables

def peak():
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) * 1024

find, lock, now, most = files._find, threading.Lock(), 0, 0

def counted(*arguments):
    global now, most
    with lock:
        now += 1
        most = max(most, now)
    try:
        return find(*arguments)
    finally:
        with lock:
            now -= 1

files._find = counted
database, tree, out = sys.argv[1:]
tree = load(tree)
with Session(lambda: psycopg.connect(database), "memory", Limits()) as session, open(out, "wb") as file:
    bound = bind(tree, session.catalogue(tables(tree)))
    project = Project(session, bound, Tables(session, bound, Allowed.of("", policies=False)), 1,
                      locations=Locations({"boxes": "s3://boxes"}))
    before, start = peak(), time.monotonic()
    for chunk in KINDS["files"].producer(project, "things", 0, 1).chunks():
        file.write(chunk.data)
    print(json.dumps({"seconds": time.monotonic() - start, "growth": peak() - before, "most": most}))
"""


@pytest.fixture
def attic(database: str, ledger_dsn: str, tmp_path: Path) -> Attic:
    return Attic(database, ledger_dsn, tmp_path).make()


def figures(attic: Attic, latency_seconds: float) -> tuple[dict[str, Any], dict[str, int]]:
    """Export the things in a process of its own; return its figures, and what the server has seen."""
    with Buckets(attic.folder, latency_seconds) as buckets:
        names = {"ACCESS_KEY_ID": KEY, "SECRET_ACCESS_KEY": SECRET, "ENDPOINT_URL": buckets.url}
        environment = {**os.environ, **{f"AWS_{name}": value for name, value in names.items()}}
        words = [sys.executable, "-c", EXPORT, attic.database, attic.folder / "attic.yaml", attic.folder / "out.tar"]
        done = subprocess.run(words, env=environment, check=True, capture_output=True, text=True)
        return json.loads(done.stdout), buckets.seen()


def test_ten_thousand_small_files_are_fetched_several_at_a_time_in_order(attic):
    rng = random.Random(1)
    rows, digests = [], {}
    for number in range(SMALL):
        data, name = rng.randbytes(rng.randrange(1, 8000)), f"{number % 256:02x}/{number}"
        (attic.boxes / name).parent.mkdir(exist_ok=True)
        (attic.boxes / name).write_bytes(data)
        rows.append((name, len(data)))
        digests[f"./things/{name}"] = hashlib.sha256(data).digest()
    with psycopg.connect(attic.database) as conn, conn.cursor() as cursor:
        cursor.executemany("INSERT INTO things (attic_id, path, size) VALUES (1, %s, %s)", rows)
    process, seen = figures(attic, LATENCY_SECONDS)
    with tarfile.open(attic.folder / "out.tar") as tar:
        found = {member.name: hashlib.sha256(tar.extractfile(member).read()).digest() for member in tar}
    assert found == digests
    assert list(found) == list(digests)
    assert seen["GET"] == SMALL
    assert "HEAD" not in seen
    assert seen["most"] >= 8
    assert process["most"] <= 16
    assert process["growth"] < MOST
    assert process["seconds"] < SMALL * LATENCY_SECONDS


def test_a_large_file_is_read_in_blocks(attic):
    size, hashed = 400 * MIB, hashlib.sha256()
    with (attic.boxes / "large").open("wb") as file:
        for seed in range(size // MIB):
            block = random.Random(seed).randbytes(MIB)
            hashed.update(block)
            file.write(block)
    attic.row("large", size, hashed.hexdigest())
    process, seen = figures(attic, 0)
    with tarfile.open(attic.folder / "out.tar") as tar:
        (member,) = tar
        assert (member.name, member.size) == ("./things/large", size)
        copied, content = hashlib.sha256(), tar.extractfile(member)
        while block := content.read(MIB):
            copied.update(block)
    assert copied.digest() == hashed.digest()
    assert process["growth"] < MOST
    assert seen["GET"] <= 60
