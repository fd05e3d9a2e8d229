"""Ways to break a whole archive, each with the code that verify gives it."""

from __future__ import annotations

import gzip
import json
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.unit.archive_files import BUNDLE, OID, SHA, good_files, member, packed, written

Files = dict[str, bytes]
ISSUES = "tree/project/issues.ndjson"
REQUESTS = "tree/project/merge_requests.ndjson"
MEMBERS = "tree/project/project_members.ndjson"
PIPELINES = "tree/project/ci_pipelines.ndjson"
SETTINGS = "tree/project/ci_cd_settings.ndjson"


@dataclass(frozen=True)
class Break:
    """A broken archive. data: makes it. code: of the problem or warning, None where there is none to find."""

    name: str
    code: str | None
    data: Callable[[], bytes]


def _files(name: str, code: str | None, change: Callable[[Files], object]) -> Break:
    def data() -> bytes:
        files = dict(good_files())
        change(files)
        return packed(files)

    return Break(name, code, data)


def _without(name: str, code: str | None, file: str) -> Break:
    return _files(name, code, lambda files: files.pop(file))


def _content(name: str, code: str | None, file: str, content: bytes | Callable[[bytes], bytes]) -> Break:
    return _files(
        name, code, lambda files: files.update({file: content(files[file]) if callable(content) else content})
    )


def _member(name: str, code: str | None, more: str, kind: bytes = tarfile.REGTYPE) -> Break:
    return Break(name, code, lambda: packed(good_files(), [member(more, kind)]))


def changed(name: str, code: str | None, file: str, path: str, value: Any) -> Break:
    """Set a value in the first record of a file; path: keys to it, through the first of nested records."""
    *parents, key = path.split(".")

    def change(content: bytes) -> bytes:
        first, newline, others = content.partition(b"\n")
        record = json.loads(first)
        into = record
        for parent in parents:
            into = into[parent][0] if isinstance(into[parent], list) else into[parent]
        if value is ...:
            del into[key]
        else:
            into[key] = value
        return written(record) + newline + others

    return _content(name, code, file, change)


def updated(name: str, code: str | None, file: str, path: str, **values: Any) -> Break:
    """Set values in the record at `path` of the first record of a file; empty: in the record itself."""

    def change(content: bytes) -> bytes:
        first, newline, others = content.partition(b"\n")
        record = json.loads(first)
        into = record
        for key in path.split(".") if path else ():
            into = into[key][0] if isinstance(into[key], list) else into[key]
        into.update(values)
        return written(record) + newline + others

    return _content(name, code, file, change)


def _gzip(name: str, code: str | None, change: Callable[[bytes], bytes]) -> Break:
    return Break(name, code, lambda: change(packed(good_files())))


def _tar(name: str, code: str | None, change: Callable[[bytes], bytes]) -> Break:
    return _gzip(name, code, lambda data: gzip.compress(change(gzip.decompress(data)), 1))


CONTAINER = [
    _gzip("no gzip", "damaged", gzip.decompress),
    _gzip("an empty file", "damaged", lambda _: b""),
    _gzip("a page instead of an archive", "damaged", lambda _: b"<html>502 Bad Gateway</html>"),
    _gzip("cut in half", "damaged", lambda data: data[: len(data) // 2]),
    _gzip("cut by one byte", "damaged", lambda data: data[:-1]),
    _gzip("wrong CRC", "damaged", lambda data: data[:-8] + b"\0\0\0\0" + data[-4:]),
    _gzip("wrong length", "damaged", lambda data: data[:-4] + b"\0\0\0\0"),
    _gzip("a byte changed within", "damaged", lambda data: data[:2000] + bytes([data[2000] ^ 255]) + data[2001:]),
    _gzip("text behind the end", "damaged", lambda data: data + b"garbage"),
    _tar("no tar", "damaged", lambda _: b"x" * 5000),
    _tar("a tar cut within a file", "damaged", lambda tar: tar[:3000]),
    _tar("a damaged first header", "damaged", lambda tar: b"\1" + tar[1:]),
    _member("a symbolic link", "kind", "./uploads/link", tarfile.SYMTYPE),
    _member("a hard link", "kind", "./uploads/link", tarfile.LNKTYPE),
    _member("a device", "kind", "./uploads/device", tarfile.CHRTYPE),
    _member("a pipe", "kind", "./uploads/pipe", tarfile.FIFOTYPE),
    _member("an absolute name", "name", "/etc/cron.d/x"),
    _member("a climbing name", "name", "../../x"),
    _member("a name that climbs within", "name", "./uploads/../../x"),
    _member("a name that climbs on Windows", "name", "uploads\\..\\..\\x"),
    _member("a name on a drive", "name", "C:/x"),
    _member("a name at home", "name", "~/x"),
    _member("a name of 256 bytes", "name", "./uploads/" + "x" * 256),
    _member("a file twice", "name", "./VERSION"),
    Break("a file with a setuid bit", "mode", lambda: packed(good_files(), modes={"VERSION": 0o4755})),
]

FILES = [
    _without("no VERSION", "missing", "VERSION"),
    _without("no project.json", "missing", "tree/project.json"),
    _files(
        "no relations",
        "missing",
        lambda files: [files.pop(name) for name in list(files) if name.startswith("tree/project/")],
    ),
    _content("an older format", "version", "VERSION", b"0.2.3"),
    _content("a VERSION that is none", "version", "VERSION", b"latest"),
    _content("an empty VERSION", "version", "VERSION", b""),
    _content("an empty project.json", "json", "tree/project.json", b""),
    _content("a list as project.json", "json", "tree/project.json", b"[]"),
    _content("a cut project.json", "json", "tree/project.json", lambda content: content[:-1]),
    _content("an LFS list that is an array", "json", "lfs-objects.json", b"[]"),
    _content("an LFS list that is no JSON", "json", "lfs-objects.json", b"{"),
    _content("another LFS object", "lfs", f"lfs-objects/{OID}", b"other"),
    _without("a lost LFS object", "lfs", f"lfs-objects/{OID}"),
    _content("an unlisted LFS object", "lfs", "lfs-objects.json", b"{}"),
    _content("a bad LFS id", "lfs", "lfs-objects.json", lambda content: b'{"abc":[0],' + content[1:]),
    _content("a bad LFS repository type", "lfs", "lfs-objects.json", written({OID: [7]})),
    _content("an LFS type that is no list", "lfs", "lfs-objects.json", written({OID: 0})),
    _content("a bundle that is none", "bundle", "project.bundle", b"<html>"),
    _content("an empty bundle", "bundle", "project.bundle", b""),
    _files("a wiki's bundle that is none", "bundle", lambda files: files.update({"project.wiki.bundle": b"PACK"})),
]

LINES = [
    _content("a cut last line", "json", ISSUES, lambda content: content[:-20]),
    _content("no newline at the end", "lines", ISSUES, lambda content: content[:-1]),
    _content("a blank line", "json", ISSUES, lambda content: content.replace(b"\n", b"\n\n", 1)),
    _content("carriage returns", "json", ISSUES, lambda content: content.replace(b"\n", b"\r\n")),
    _content("a byte order mark", "json", ISSUES, lambda content: b"\xef\xbb\xbf" + content),
    _content("Latin-1", "json", ISSUES, lambda content: content.decode().encode("latin-1")),
    _content("half a surrogate pair", "json", ISSUES, lambda content: content.replace(b"text 1", b"\\ud800", 1)),
    _content("NaN", "json", ISSUES, lambda content: content.replace(b":7", b":NaN", 1)),
    _content("a key twice", "json", ISSUES, lambda content: content.replace(b"{", b'{"title":"x",', 1)),
    _content("single quotes", "json", ISSUES, lambda content: content.replace(b'"', b"'")),
    _content("a raw control character", "json", ISSUES, lambda content: content.replace(b"text 1", b"text\t1", 1)),
    _content("an array around the records", "json", ISSUES, b"[]\n"),
    _content("a text as record", "json", ISSUES, b'"x"\n'),
    _content("a number as record", "json", ISSUES, b"7\n"),
    _content("nested too deeply", "json", ISSUES, b'{"position":' * 20_000 + b"1" + b"}" * 20_000 + b"\n"),
    _content("two records in one line", "json", ISSUES, lambda content: content.replace(b"\n", b" ", 1)),
    _content("two records of a one-to-one", "lines", SETTINGS, lambda content: content + b"\n" + content),
    _content("an escaped NUL", "nul", ISSUES, lambda content: content.replace(b"text 1", b"text\\u00001", 1)),
]

RECORDS = [
    changed("an enum's code", "type", ISSUES, "state", 1),
    changed("an enum's code as text", "type", ISSUES, "state", "1"),
    changed("a list's type as its code", "type", "tree/project/boards.ndjson", "lists.list_type", 1),
    changed("an event's action as its code", "type", ISSUES, "events.action", 3),
    changed("PostgreSQL's text of bytes", "type", REQUESTS, "merge_request_diff.head_commit_sha", "\\x" + SHA),
    changed("PostgreSQL's text of a time", "type", ISSUES, "created_at", "2017-08-29 04:36:44.383+00"),
    changed("a time of microseconds", "type", ISSUES, "created_at", "2017-08-29T04:36:44.383123Z"),
    changed("a time without a zone", "type", ISSUES, "updated_at", "2017-08-29T04:36:44.383"),
    changed("a time as number", "type", ISSUES, "created_at", 1503981404),
    changed("a time as date", "type", ISSUES, "due_date", "2017-08-29T00:00:00.000Z"),
    changed("a nested time without decimals", "type", ISSUES, "notes.created_at", "2017-08-29T04:36:44Z"),
    changed("a number as text", "type", ISSUES, "author_id", "7"),
    changed("a fraction as integer", "type", ISSUES, "author_id", 7.5),
    changed("a flag as number", "type", ISSUES, "confidential", 1),
    changed("a flag as letter", "type", ISSUES, "confidential", "t"),
    changed("a text as number", "type", ISSUES, "title", 7),
    changed("a text as array", "type", ISSUES, "title", ["x"]),
    changed("Ruby's YAML as text", "type", REQUESTS, "merge_params", "---\nforce_remove_source_branch: '1'\n"),
    changed("a commit's id that is none", "type", PIPELINES, "sha", "main"),
    changed("a text where a record belongs", "nested", ISSUES, "milestone", "v1"),
    changed("an array where one record belongs", "nested", ISSUES, "milestone", [{"title": "v1"}]),
    changed("a number where always the same text belongs", "type", MEMBERS, "source_type", 7),
    changed("texts where records belong", "nested", ISSUES, "label_links", ["bug"]),
    changed("a note without an author", "lost", ISSUES, "notes.author", ...),
    changed("a note without a time", "lost", ISSUES, "notes.updated_at", None),
    changed("a note's author without a name", "lost", "tree/project/commit_notes.ndjson", "author", {}),
    changed("a diff without text", "lost", REQUESTS, "merge_request_diff.merge_request_diff_files.utf8_diff", None),
    changed("a note's diff without text", "lost", REQUESTS, "notes.note_diff_file.diff_export", ...),
    changed("a member without a user's name", "lost", MEMBERS, "user.username", ...),
    changed("a key that the model refuses", "rejected", ISSUES, "exported_work_item_type", {"base_type": "issue"}),
    changed("a null key that the model refuses", "rejected", ISSUES, "exported_work_item_type", None),
    changed("a work item type as text", "type", ISSUES, "work_item_type", "issue"),
    changed("a work item type as array", "type", ISSUES, "work_item_type", ["issue"]),
    updated("a member without a user and an address", "lost", MEMBERS, "", user=None, invite_email=None),
    changed("an iid twice", "iid", ISSUES, "iid", 2),
    changed("an iid of a request twice", "iid", REQUESTS, "iid", 2),
    changed("an id", "prohibited", ISSUES, "id", 1),
    changed("a reference's id", "prohibited", ISSUES, "milestone_id", 1),
    changed("rendered text", "prohibited", ISSUES, "description_html", "<p>"),
    changed("a cache's version", "prohibited", ISSUES, "cached_markdown_version", 1),
    changed("nested ids", "prohibited", ISSUES, "notes.noteable_id", 1),
    changed("a remote address", "prohibited", ISSUES, "notes.remote_attachment_url", "https://example.com/"),
    changed("attributes of another record", "prohibited", ISSUES, "notes_attributes", []),
    changed("a token", "secret", "tree/project.json", "runners_token", "x"),
    changed("an encrypted token", "secret", "tree/project.json", "runners_token_encrypted", "x"),
    changed("a null token of today", "secret", "tree/project.json", "runners_token", None),
    changed("a nested token", "secret", PIPELINES, "stages.builds.token", "x"),
    changed("a user's password", "secret", MEMBERS, "user.encrypted_password", "x"),
    changed("an empty key", "key", ISSUES, "", 1),
]


# Nobody is harmed by these.
HARMLESS = [
    _without("no GITLAB_VERSION", None, "GITLAB_VERSION"),
    _without("no bundle", None, "project.bundle"),
    _without("no issues", None, ISSUES),
    _content("no issues in a file", None, ISSUES, b""),
    _content("VERSION with a newline", None, "VERSION", b"0.2.4\n"),
    _content("project.json with a newline", None, "tree/project.json", lambda content: content + b"\n"),
    _content("a null record", None, ISSUES, lambda content: b"null\n" + content),
    _content("null for a one-to-one", None, SETTINGS, b"null"),
    _content("unescaped < and >", None, ISSUES, lambda content: content.replace(b"\\u003c", b"<")),
    _content("NULs in a diff", None, REQUESTS, lambda c: c.replace(b'"utf8_diff":"', b'"utf8_diff":"\\u0000')),
    changed("a null where GitLab has no key", None, ISSUES, "milestone", None),
    changed("times with an offset", None, ISSUES, "created_at", "2017-08-29T04:36:44.383+10:00"),
    _member("a file that the importer does not read", None, "./README"),
    _member("a directory twice", None, "./tree/", tarfile.DIRTYPE),
]

# Where the two differ on purpose: verify finds what the other checker lets pass...
STRICTER = [
    _gzip("zeros behind the end", "damaged", lambda data: data + b"\0" * 512),  # gzip warns of them
    _gzip("two gzip members", "damaged", lambda data: data + gzip.compress(b"")),  # some readers stop after the first
    _tar(
        "a tar without its end", "damaged", lambda tar: tar[: -(-len(tar.rstrip(b"\0")) // 512) * 512]
    ),  # as after a cut
    _tar("data behind the tar's end", "damaged", lambda tar: tar + b"x" * 512),  # nobody reads it
    _content("a cut bundle", "bundle", "project.bundle", BUNDLE[:-1]),  # git index-pack refuses it
    _content("a bundle of a part", "bundle", "project.bundle", BUNDLE.replace(SHA.encode(), b"-" + SHA.encode(), 1)),
    changed("bytes in capitals", "type", ISSUES, "events.fingerprint", "00FF"),  # no column leaves so
]
# ... and takes what the importer takes, or what an archive of another GitLab may have by right.
LOOSER = [
    changed("a record instead of an array", None, ISSUES, "label_links", {"label": {"title": "x"}}),
    changed("a time before Christ", None, ISSUES, "closed_at", "-0043-03-15T12:00:00.000Z"),
]
