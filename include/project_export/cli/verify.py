"""`project-export verify`: whether an archive is complete, and whether GitLab would accept it."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn

from project_export.archive.bundles import BundleCheck, bundle_problems
from project_export.archive.manifest import Manifest
from project_export.archive.verify import Report
from project_export.archive.verify import verify as verify_archive
from project_export.cli.exits import errors
from project_export.errors import BadRequest, ProjectExportError
from project_export.repositories import check_bundle
from project_export.settings import Settings
from project_export.steps import git_of
from project_export.store import MANIFEST
from project_export.tree import Tree, load_all


def verify(
    archive: Annotated[Path, typer.Argument(help="A project.tar.gz.")],
    manifest: Annotated[
        Path | None, typer.Option(help="Its manifest; by default the one beside it, if it exists.")
    ] = None,
    tree: Annotated[str, typer.Option(help="Shipped tree or file to check records by; the manifest's if empty.")] = "",
    gitlab_limits: Annotated[bool, typer.Option("--gitlab-limits", help="Check GitLab's limits, too.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Treat warnings as problems.")] = False,
    deep: Annotated[bool, typer.Option("--deep", help="Clone each git bundle and check all its objects.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Read an archive to its last byte and report whether it is complete and whether GitLab would accept it.

    A problem makes the archive or one of its records unusable. A warning is about data that GitLab itself may write
    and its importer drops. Exit codes: 0 no problem, 1 problems, 2 archive, manifest or tree cannot be read.
    """
    beside = archive.with_name(MANIFEST)
    path = manifest or (beside if beside.exists() else None)
    with errors():
        try:
            expected = Manifest.from_json(path.read_bytes()) if path else None
            by = tree_of(tree, expected)
            limits = by.format.limits if gitlab_limits else None
            if gitlab_limits and limits is None:
                raise BadRequest(f"--gitlab-limits: archives of the format {by.format.name} have none")
            with _bar(archive) as progress:
                bundles = _deep_check() if deep else bundle_problems
                report = verify_archive(
                    archive, expected, tree=by, limits=limits, on_progress=progress, bundles=bundles
                )
        except ProjectExportError as error:
            print(f"error: {error}", file=sys.stderr)
            raise typer.Exit(2) from None
        except OSError as error:
            print(f"error: {error.filename or archive}: {error.strerror or error}", file=sys.stderr)
            raise typer.Exit(2) from None
    omissions = expected.omissions if expected else ()
    found = {"ok": report.ok, "omissions": omissions, **asdict(report)}
    print(json.dumps(found) if as_json else _text(report, path, omissions))
    raise typer.Exit(0 if report.ok and not (strict and report.warnings) else 1)


def _deep_check() -> BundleCheck:
    """Return a check that clones a bundle into a temporary folder."""
    git = git_of(Settings())
    return lambda chunks: check_bundle(chunks, git, Path(tempfile.gettempdir()), deep=True)


def tree_of(named: str, manifest: Manifest | None) -> Tree:
    """Return the tree to check by: the named one, else the manifest's, which may be a file that the settings name."""
    setting = Settings().tree
    if named or manifest is None:
        return load_all(named or setting)
    if not setting.isidentifier() and (tree := load_all(setting)).name == manifest.tree:
        return tree
    return load_all(manifest.tree)


def _text(report: Report, manifest: Path | None, omissions: Sequence[str]) -> str:
    lines = [f"{count:>10}  {name}" for name, count in report.records.items()]
    lines += [f"{files.number:>10}  {name} ({files.bytes} bytes)" for name, files in report.files.items()]
    lines += [f"omission: {omission}" for omission in omissions]
    lines += [f"remark: {remark}" for remark in report.remarks]
    lines += [f"warning: {warning}" for warning in report.warnings]
    lines += [f"problem: {problem}" for problem in report.problems]
    if report.ok:
        lines.append(f"whole: {report.bytes} bytes" + (f", as {manifest} says" if manifest else ""))
    return "\n".join(lines)


@contextmanager
def _bar(file: Path) -> Iterator[Callable[[int], None]]:
    """Yield a function that shows how many bytes of a file have been read; it shows them on a terminal only."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task(file.name, total=file.stat().st_size)
        yield lambda read: progress.update(bar, completed=read)
