"""A whole archive that is generated from the tree, as files: a record for each relation, a value for each key."""

from __future__ import annotations

import hashlib
import io
import json
import re
import tarfile
from collections.abc import Sequence
from functools import cache
from typing import Any

from project_export.tree import Key, Lookup, Relation, Tree, load_all
from project_export.tree.forms import Source
from project_export.tree.transforms import TRANSFORMS

OBJECT = b"an LFS object"
OID = hashlib.sha256(OBJECT).hexdigest()
SHA = "0123456789abcdef0123456789abcdef01234567"
UPLOAD = f"uploads/{'0123456789abcdef' * 2}/picture.png"

PACK = b"PACK" + (2).to_bytes(4, "big") + (0).to_bytes(4, "big")
BUNDLE = f"# v2 git bundle\n{SHA} refs/heads/main\n{SHA} HEAD\n\n".encode() + PACK + hashlib.sha1(PACK).digest()

_VALUES: dict[str, Any] = {
    "bigint": 7,
    "integer": 7,
    "smallint": 7,
    "double precision": 0.5,
    "boolean": True,
    "bytea": "00ff",
    "timestamp without time zone": "2017-08-29T04:36:44.383Z",
    "timestamp with time zone": "2017-08-29T04:36:44.383Z",
    "date": "2017-08-29",
    "jsonb": {"a": 1},
}

POSITION = {
    "base_sha": SHA,
    "start_sha": SHA,
    "head_sha": SHA,
    "old_path": "a.rb",
    "new_path": "a.rb",
    "position_type": "text",
    "old_line": None,
    "new_line": 7,
    "line_range": None,
}
# What models allow less than columns do, by key or by relation and key.
_ALLOWED: dict[str, Any] = {
    "build_timeout": 3600,
    "color": "#428bca",
    "textColor": "#FFFFFF",
    "health_status": 1,
    "merge_status": "can_be_merged",
    "access_level": 30,
    "visibility_level": 20,
    "cadence": "7d",
    "original_position": POSITION,
    "change_position": {**dict.fromkeys(POSITION), "position_type": "text"},
    "st_diff": None,
    "notes.position": POSITION,
    "commit_notes.position": POSITION,
    "labels.type": "ProjectLabel",
    "label.type": "GroupLabel",
    "project_badges.type": "ProjectBadge",
    "milestones.state": "active",
    "milestone.state": "closed",
    "merge_request_diff.state": "collected",
    "notes.type": "DiffNote",
    "notes.noteable_type": "MergeRequest",
    "commit_notes.type": "DiffNote",
    "commit_notes.noteable_type": "Commit",
    "builds.type": "Ci::Build",
    "bridges.type": "Ci::Bridge",
    "generic_commit_statuses.type": "GenericCommitStatus",
    "ci_pipelines.status": "success",
    "builds.status": "failed",
    "bridges.status": "skipped",
    "generic_commit_statuses.status": "running",
    "external_pull_request.status": "open",
    "ci_cd_settings.restrict_pipeline_cancellation_role": 0,
}


@cache
def good_files() -> dict[str, bytes]:
    """Names and contents of a whole archive. It is shared: copy it to change it."""
    tree = load_all("gitlab").extended()
    files = {
        "VERSION": b"0.2.4",
        "GITLAB_VERSION": b"18.6.0",
        "GITLAB_REVISION": b"0123456789a",
        "lfs-objects.json": written({OID: [0, 2]}),
        f"lfs-objects/{OID}": OBJECT,
        "project.bundle": BUNDLE,
        UPLOAD: b"a picture",
        "tree/project.json": written(record(tree, tree.root)),
    }
    for relation in tree.relations:
        if relation.constant is not None:
            text = relation.constant.encode()
        elif relation.one:
            text = written(record(tree, relation))
        else:
            text = written(record(tree, relation)) + b"\n" + written(record(tree, relation, 2)) + b"\n"
        files[f"tree/project/{relation.name}.ndjson"] = text
    return files


def written(value: Any) -> bytes:
    """JSON as GitLab writes it."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026").encode()


def record(tree: Tree, relation: Relation, number: int = 1) -> dict[str, Any]:
    """The record of this number: its iid, and what a text holds, so that no two are alike."""
    values = {key.name: _value(tree, relation, key, number) for key in relation.keys if key.wrap is None}
    for child in relation.children:
        nested = record(tree, child, number)
        values[child.name] = nested if child.one else [nested]
    if relation.name == "issues":
        values["work_item_type"] = {"base_type": "incident"}
    return values


def _value(tree: Tree, relation: Relation, key: Key, number: int) -> Any:
    if key.name == "iid":
        return number
    if key.constant is not None:
        return json.loads(key.constant)
    for name in (f"{relation.name}.{key.name}", key.name):
        if name in _ALLOWED:
            return _ALLOWED[name]
    if relation.name == "project_feature" and key.name.endswith("_access_level"):
        return 20
    if key.form.enum is not None:
        return key.form.enum.names[-1][1]
    if key.form.transform is not None and TRANSFORMS[key.form.transform].structured:
        return {"a": 1}
    table, column = _column(relation, key)
    sql_type = tree.known[table][column]
    if sql_type.endswith("[]"):
        return []
    if re.search(r"sha$|^discussion_id$", key.name) or (column, sql_type) == ("commit_id", "character varying"):
        return SHA
    return _VALUES.get(sql_type, f"text {number} \u00e4 <")


def _column(relation: Relation, key: Key) -> tuple[str, str]:
    """Table and column of what a key reads first."""
    table = relation.table
    source: Source | None = key.form.of or key.form.sources[0]
    while isinstance(source, Lookup):
        table, source = source.row.table, source.value
    assert source
    return {row.name: row.table for row in relation.beside}.get(source.row, table), source.column


def packed(
    files: dict[str, bytes],
    more: Sequence[tarfile.TarInfo] = (),
    form: int = tarfile.GNU_FORMAT,
    modes: dict[str, int] | None = None,
) -> bytes:
    """A tar.gz as other tools make it. more: members without content. modes: of files, by name."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz", format=form, compresslevel=1) as tar:
        for name, content in files.items():
            info = member(f"./{name}")
            info.size = len(content)
            info.mode = (modes or {}).get(name, 0o644)
            tar.addfile(info, io.BytesIO(content))
        for info in more:
            tar.addfile(info)
    return out.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE) -> tarfile.TarInfo:
    """A member of a tar without content; a link leads to /etc/passwd."""
    info = tarfile.TarInfo(name)
    info.type = kind
    if kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
        info.linkname = "/etc/passwd"
    return info
