"""Run one peer in this process, and print its cost, or a hash of its records, as one line of JSON.

python -m bench.peers NAME URI [--every N] [--relation NAME] [--check N ...]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import time
import zlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import psycopg
from isal import isal_zlib

from bench import proc
from bench.peers import PEERS, Compressor
from project_export.archive.part import PartWriter


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("peer", choices=PEERS)
    parser.add_argument("uri")
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--relation", default="issues", help="another one than issues, which few peers can read")
    parser.add_argument("--check", type=int, nargs="+", help="hash every Nth record instead of measuring")
    arguments = parser.parse_args()
    peer = PEERS[arguments.peer]
    which = () if arguments.relation == "issues" else (arguments.relation,)
    read = partial(peer.load(), arguments.uri, arguments.every, *which)
    if arguments.check:
        print(json.dumps(hashes(read(), arguments.check)))
        return
    with psycopg.connect(arguments.uri) as conn:
        postmaster = proc.parent(conn.info.backend_pid)
    server, client, wall = proc.server_cpu(postmaster), proc.client_cpu(), time.perf_counter()
    raw, stored = consume(read(), peer.compressor)
    client, wall = proc.client_cpu() - client, time.perf_counter() - wall
    time.sleep(0.1)  # a backend runs for a moment after its client has ended
    server = proc.server_cpu(postmaster) - server
    print(
        json.dumps(
            {
                "client": client, "server": server, "wall": wall, "client_mb": proc.peak_mb(),
                "raw_bytes": raw, "stored_bytes": stored,
            }
        )
    )  # fmt: skip


def consume(chunks: Iterator[bytes], compressor: Compressor) -> tuple[int, int]:
    """Compress the chunks, discard the result, and return the bytes before and after."""
    if compressor == "part":
        with Path(os.devnull).open("wb") as out:
            writer = PartWriter(out, level=1)
            for chunk in chunks:
                writer.write(chunk, 0)
            facts = writer.finish()
        return facts.raw_bytes, facts.stored_bytes
    deflate: Any = None
    if compressor == "gzip -6":
        deflate = zlib.compressobj(6, zlib.DEFLATED, 31)
    elif compressor == "isal 1":
        deflate = isal_zlib.compressobj(1, isal_zlib.DEFLATED, 31)
    raw = stored = 0
    for chunk in chunks:
        raw += len(chunk)
        if deflate is not None:
            stored += len(deflate.compress(chunk))
    if deflate is not None:
        stored += len(deflate.flush())
    return raw, stored


def hashes(chunks: Iterator[bytes], steps: list[int]) -> dict[str, str]:
    """Return for each step N the hash of every Nth record, and under "records" their number.

    The hash covers keys, values and the order of records, but not JSON's spelling (escapes, blanks).
    """
    found = {step: hashlib.sha256() for step in steps}
    number = 0
    for line in lines(chunks):
        record = orjson.dumps(orjson.loads(line))
        for step, sha256 in found.items():
            if number % step == 0:
                sha256.update(record)
        number += 1
    return {**{str(step): sha256.hexdigest() for step, sha256 in found.items()}, "records": str(number)}


def lines(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the lines in the chunks; a line may span several chunks."""
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        yield from whole
    if rest:
        yield rest


if __name__ == "__main__":
    main()
