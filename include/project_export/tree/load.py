"""A YAML tree file → a checked Tree. Every mistake is a TreeError with file, line, what, and the nearest valid name.

The language, by example:

    enums:
      state: {1: opened, 2: closed}          # code: name; the code null names NULL
    shapes:                                  # the content of a relation that appears in several places
      author: {table: users, keys: [name]}
    root: {relation: project, table: projects, keys: [name]}
    relations:
      - relation: issues
        table: issues
        join: {project_id: id}               # own column: parent's column
        where: {type: Issue, deleted_at: null, source: [null, 1, 2]}
        order: [position nulls last, id desc]
        keys:
          - title                            # key = column
          - state: {column: state_id, enum: state}
          - params: {transform: yaml, default: {}}
          - text: {blank: true, default: ""}                         # white space alone counts as NULL
          - edited_at: {else: updated_at}                            # the first that is not NULL
          - newest: {from: notes, match: {issue_id: id}, where: {hidden: false}, order: [id desc], column: text}
          - notes: {from: notes, match: {issue_id: id}, count: true}
          - squash: {column: settings.squash, absent: never}         # of a row beside; `absent` if there is no such row
          - title: {of: meta}                                        # meta.title if that row exists, else title
          - position: {cases: [{when: {type: DiffNote}, transform: yaml}]}
          - weight: {editions: {paid: {constant: null}}}
          - kind: {column: kind_id, enum: kind, layouts: [{from: kinds, match: {id: kind_id}, column: name}]}
          - branch: {constant: null, why: comes from the Git repository}
          - group_id: {why: a label of a project has no group}       # no value is expected
          - colour: {last: true}                                     # comes after the nested relations
        beside:                                                      # rows of other tables, at most one per row
          settings: {from: settings, match: {project_id: root.id}}
          meta: {from: metas, match: {issue_id: id}, order: [id desc]}
        changed: updated_at                                          # the time of a row's last change
        merge: [iid]                                                 # the keys that identify a record in an archive
        since: {17.10..18.9: [squash]}                               # added after 17.10, by 18.9
        until: {13.5..15.5: [id]}                                    # what the application no longer exports
        children:
          - {relation: author, like: author, one: true, join: {id: author_id}, changed: unseen}    # or with_parent
          - {relation: meta, table: metas, one: true, join: {issue_id: id}, keys: [size], default: {size: 0}}
    optional:                                # by parent: relations that exist if their tables do
      issues:
        - {relation: sprint, table: sprints, one: true, join: {id: sprint_id}, keys: [title]}
        - {relation: epic, like: epic, one: true, join: {id: epic_id}, with: [licenses]}     # and if this table does
    uncovered:                               # what the application exports and this file does not
      issues.links: nobody has needed them
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from project_export.errors import TreeError, nearest
from project_export.tree.file import File
from project_export.tree.model import Tree

SHIPPED = Path(__file__).parent.parent / "trees"
DEFAULT = "gitlab"
"""The tree that is used if none is named."""


def load(name: str, edition: str = "") -> Tree:
    """Return the tree of this name ("gitlab"), or in the YAML file at this path.

    edition: one of those that the file distinguishes, the first if empty. Raises TreeError.
    """
    return _of(*_text(name), edition)


def load_all(name: str) -> Tree:
    """Return a tree with the variants of all editions. Raises TreeError."""
    return _all(*_text(name))


def _text(name: str) -> tuple[Path, str]:
    path = SHIPPED / f"{name}.yaml" if name.isidentifier() else Path(name)
    try:
        return path, path.read_text(encoding="utf-8")
    except OSError as error:
        shipped = [file.stem for file in SHIPPED.glob("*.yaml")]
        raise TreeError(f"{path}: {error.strerror}; give a path or a shipped tree, {nearest(name, shipped)}") from error
    except UnicodeDecodeError as error:
        raise TreeError(f"{path}: a tree must be UTF-8: {error}") from error


@lru_cache(maxsize=8)
def _all(path: Path, text: str) -> Tree:
    return File(path).tree(text)


@lru_cache(maxsize=8)
def _of(path: Path, text: str, edition: str) -> Tree:
    tree = _all(path, text)
    if edition and edition not in tree.editions:
        known = nearest(edition, tree.editions) if tree.editions else "it distinguishes none"
        raise TreeError(f"{tree.file}: the tree has no edition {edition}; {known}")
    return tree.of(edition or next(iter(tree.editions), ""))
