"""Write the golden files anew: `python -m tests.golden.update`. Read the difference before it is committed."""

from __future__ import annotations

import tempfile
from pathlib import Path

import psycopg

from dev.postgres import Server
from project_export.sample import schema
from project_export.tree import load
from tests import specimen

FOLDER = Path(__file__).parent


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder), durable=False)
        server.start()
        try:
            uri = server.create_database("specimen")
            with psycopg.connect(uri) as conn:
                schema.create(conn)
            specimen.write(uri, load("gitlab"))
            _, exported = specimen.export(uri)
        finally:
            server.stop()
    for old in FOLDER.glob("*.ndjson"):
        old.unlink()
    for name, data in exported.items():
        (FOLDER / f"{name}.ndjson").write_bytes(data)


if __name__ == "__main__":
    main()
