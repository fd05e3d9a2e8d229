"""A git dir of ours that shows the refs and objects of a repository, and nothing else of it.

Git reads the configuration of the git dir that it is given, with includes and the programs that it names, further
worktrees, grafts, attributes, and a file that redirects to another git dir. A repository that is read through a
stand-in has no say in any of that.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from project_export.errors import RepositoryRefused
from project_export.repositories.call import Call
from project_export.repositories.files import reading, small_file
from project_export.repositories.folders import writing
from project_export.repositories.format import Format
from project_export.repositories.git import Git


@dataclass(frozen=True)
class StandIn:
    """The stand-in of a repository. folder: of the stand-in. repository: the folder of the repository that it shows."""

    git: Git
    folder: Path
    repository: Path

    def call(self, *words: str, stdin: Path | None = None) -> Call:
        """Start a command of git on the repository; see `Git.call`."""
        return self.git.call(
            f"--git-dir={self.folder}",
            *words,
            environment={"GIT_OBJECT_DIRECTORY": str(self.repository / "objects")},
            stdin=stdin,
            shown={str(self.folder): str(self.repository)},
        )

    def ask(self, *words: str) -> tuple[int, bytes, str]:
        """Run a command of git on the repository, and return its exit code, its output and its words."""
        with self.call(*words) as call:
            code, output = call.whole()
            return code, output, call.said()


@contextmanager
def stand_in(git: Git, repository: Path, form: Format) -> Iterator[StandIn]:
    """Make the stand-in of a repository, and remove it at the end. Its HEAD is a copy of what HEAD is now."""
    content = head(repository)
    with git.folder() as folder:
        with writing(folder):
            (folder / "HEAD").write_bytes(content)
            (folder / "config").write_text(form.configuration())
            (folder / "objects").mkdir()
            for name in ("refs", "packed-refs", "reftable"):
                (folder / name).symlink_to(repository / name)
        yield StandIn(git, folder, repository)


def head(repository: Path) -> bytes:
    """Return the content of HEAD. Raises RepositoryRefused if it does not exist."""
    with reading(repository):
        content = small_file(repository / "HEAD")
    if content is None:
        raise RepositoryRefused(f"{repository} is not a git repository: it has no HEAD. Restore it.")
    return content
