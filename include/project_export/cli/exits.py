"""How a command ends after an error."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import typer
from pydantic import ValidationError

from project_export.errors import BadRequest, ProjectExportError
from project_export.settings import refusals

OMISSIONS = 3
"""Exit code of an export whose archive lacks data that the source has, or may have."""


@contextmanager
def errors() -> Iterator[None]:
    """Turn expected errors into one line on stderr and an exit code: 1 failed, 2 wrong usage, 130 interrupted."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    try:
        yield
    except ProjectExportError as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(2 if isinstance(error, BadRequest) else 1) from None
    except ValidationError as error:
        for refusal in refusals(error):
            print(f"error: {refusal}", file=sys.stderr)
        raise typer.Exit(1) from None
    except psycopg.ProgrammingError as error:
        # libpq's message about a DSN that it cannot parse may show part of the password.
        said = str(error).strip() if error.sqlstate else "a DSN is neither a libpq URI nor a keyword string"
        print(f"error: {said}", file=sys.stderr)
        raise typer.Exit(1) from None
    except (OSError, psycopg.Error) as error:
        print(f"error: {str(error).strip()}", file=sys.stderr)
        raise typer.Exit(1) from None
    except KeyboardInterrupt as interrupt:
        print(": ".join(["interrupted", *map(str, interrupt.args)]), file=sys.stderr)
        raise typer.Exit(130) from None
