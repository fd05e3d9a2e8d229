"""Git repositories, none of them trusted: bundles, mirrors and checks; only this package calls git.

No file of a repository decides what git runs. Git never reads a repository's own configuration (`standin`), has an
environment without anything of the task's (`git`), and its processes end when their task ends (`call`). Nothing
depends on the wording of a message of git: only on exit codes, plumbing and files.

Names of refs are text; bytes that are not UTF-8 are kept as surrogates (`surrogateescape`), as in names of files.
"""

from project_export.repositories.bundle import Bundle
from project_export.repositories.call import Call
from project_export.repositories.check import check_bundle
from project_export.repositories.git import Git
from project_export.repositories.mirror import mirrored
from project_export.repositories.reader import BundleReader
from project_export.repositories.refs import Refs
from project_export.repositories.repository import Repository
from project_export.repositories.server import branches

__all__ = ["Bundle", "BundleReader", "Call", "Git", "Refs", "Repository", "branches", "check_bundle", "mirrored"]
