"""The format of a repository, from its configuration. Git only parses the file here; nothing in it has an effect."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from project_export.errors import RepositoryRefused
from project_export.repositories.files import small_file
from project_export.repositories.git import Git

_KEYS = r"^(extensions\..*|core\.repositoryformatversion)$"
_IRRELEVANT = frozenset(
    {"noop", "noop-v1", "preciousobjects", "relativeworktrees", "submodulepathconfig", "worktreeconfig"}
)
"""Extensions that change nothing for a reader of refs and objects."""


@dataclass(frozen=True)
class Format:
    """The format of a repository.

    version: 0, or 1 if it may have extensions. sha256: whether its ids are SHA-256, else SHA-1. reftable: whether its
    refs are tables, else files. partial: whether some of its objects may be only in another repository.
    """

    version: int = 0
    sha256: bool = False
    reftable: bool = False
    partial: bool = False

    def configuration(self) -> str:
        """Return the configuration of a git dir of this format, which has all its objects.

        >>> print(Format(version=1, sha256=True).configuration(), end="")
        [core]
        repositoryFormatVersion = 1
        bare = true
        [extensions]
        objectFormat = sha256
        """
        lines = ["[core]", f"repositoryFormatVersion = {self.version}", "bare = true", "[extensions]"]
        lines += ["objectFormat = sha256"] * self.sha256 + ["refStorage = reftable"] * self.reftable
        return "\n".join(lines) + "\n"


def format_of(repository: Path, git: Git) -> Format:
    """Return the format of a repository.

    Raises RepositoryRefused if its configuration cannot be read, or has a format that is not known here.
    """
    file = repository / "config"
    if small_file(file) is None:
        return Format()
    with git.call(
        "--git-dir=/dev/null", "config", "--file", file, "--no-includes", "--null", "--get-regexp", _KEYS
    ) as call:
        code, output = call.whole()
        if code not in (0, 1):  # 1: the file has none of these keys
            raise RepositoryRefused(f"git cannot read the configuration of {repository}{call.said()}. Correct it.")
    values = {}
    for entry in output.decode("utf-8", "replace").split("\0"):
        key, _, value = entry.partition("\n")
        values[key.partition(".")[2]] = value
    values = {key: value for key, value in values.items() if key and key not in _IRRELEVANT}
    partial = values.pop("partialclone", None) is not None
    known = {
        "repositoryformatversion": ("0", "1"),
        "objectformat": ("sha1", "sha256"),
        "refstorage": ("files", "reftable"),
    }
    for key, value in values.items():
        if value not in known.get(key, ()):
            raise RepositoryRefused(
                f"{repository} has the format {key} = {value!r}, which is not known here. Convert the repository, or "
                "set a URL template, so that repositories are fetched."
            )
    return Format(
        version=int(values.get("repositoryformatversion", 0)),
        sha256=values.get("objectformat") == "sha256",
        reftable=values.get("refstorage") == "reftable",
        partial=partial,
    )
