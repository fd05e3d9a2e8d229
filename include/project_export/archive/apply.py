"""Merge archives of changes into a full archive, as a stream: memory does not grow with the archives.

The deltas are read first and kept on disk, by merge key. Then the base is read, and what they replace is written in its
place; what is new follows. Of what a delta has as a whole, the newest counts. Records and files that were deleted since
the base was exported stay, because no delta shows that.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from project_export.archive.chain import Chain, Part
from project_export.archive.files import ArchiveFile, FileRange, RelationFiles, index_text, with_index
from project_export.archive.keyed import lines
from project_export.archive.layout import Exported, members
from project_export.archive.manifest import Manifest, ManifestPart, ManifestRelation
from project_export.archive.names import plain
from project_export.archive.part import PartFacts, PartWriter
from project_export.archive.pieces import StoredPart, archive_pieces
from project_export.archive.reading import Entry, Gunzip, entries
from project_export.archive.replacements import Replacements
from project_export.archive.tar import file_header, padding
from project_export.errors import ArchiveBroken, BadRequest
from project_export.store import MANIFEST, Assembled, assemble, replacing
from project_export.store.uris import path_of, uri_of
from project_export.tree import Relation, Tree


@dataclass(frozen=True)
class Applied:
    """The merged archive: its size and checksum, the number of its records, and its manifest."""

    archive: Assembled
    records: int
    manifest: Manifest


def apply(chain: Chain, tree: Tree, to: Path, *, level: int = 1) -> Applied:
    """Write the archive of a base with its deltas, and its manifest beside it; existing files are replaced.

    tree: defines the merge keys. level: of ISA-L. Raises ArchiveBroken, and writes nothing, if an archive is not the
    one of its manifest or if records cannot be merged; BadRequest if another archive is in the folder; StoreRefused.
    """
    to = to.resolve()
    if to.parent in {part.path.resolve().parent for part in (chain.base, *chain.deltas)}:
        raise BadRequest(f"{to.parent} has one of the archives, whose manifest would be replaced; give another folder")
    to.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=to.parent, prefix=f".{to.name}.") as folder, Replacements(Path(folder)) as new:
        merge = _Merge(chain, tree.extended(), Path(folder), new, level)
        for number, delta in enumerate(chain.deltas):
            merge.add(number, delta)
        merge.write()
        files = members(merge.fixed(), tree.root.name, [one.exported for one in merge.written])
        with replacing(to, "apply") as out:
            pieces = archive_pieces(files, merge.mtime)
            facts = assemble(pieces, lambda uri: path_of(uri).open("rb"), out)
        manifest = merge.manifest(facts)
        with replacing(to.with_name(MANIFEST), "apply") as out:
            out.write(manifest.to_json().encode())
    return Applied(facts, sum(one.rows for one in manifest.relations), manifest)


@dataclass(frozen=True)
class _Written:
    """A relation of the merged archive: its part, and the files in it."""

    exported: Exported
    facts: PartFacts
    files: tuple[ArchiveFile, ...]


@dataclass
class _Merge:
    """The state of a merge.

    whole: the number of the newest delta that has a relation as a whole, by relation. texts: the files of the format,
    of the newest archive. indexes: of the relations of files, in the order of the archives, the base's first.
    """

    chain: Chain
    tree: Tree
    folder: Path
    new: Replacements
    level: int
    whole: dict[str, int] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    indexes: dict[str, list[Mapping[str, list[Any]]]] = field(default_factory=dict)
    written: list[_Written] = field(default_factory=list)

    @property
    def mtime(self) -> int:
        """The time of the files in the archive."""
        return int(self.chain.newest.created_at.timestamp())

    def add(self, number: int, delta: Part) -> None:
        """Keep the content of a delta. Raises ArchiveBroken."""
        for one in delta.manifest.relations:
            if one.changed_at is None:
                self.whole[one.relation] = number
                self.new.forget(one.relation)
                self.indexes.pop(one.relation, None)
        for name, relation, entry in self._read(delta):
            if relation is None:
                self.texts[name] = _text(entry)
            elif name == _index_of(relation):
                self.indexes.setdefault(relation.name, []).append(json.loads(_text(entry)))
            elif relation.merge:
                self.new.add_records(number, relation.name, lines(entry.chunks, self.folder), relation.merge)
            else:
                self.new.add_file(number, relation.name, name, entry.chunks)

    def write(self) -> None:
        """Write the parts of all relations, in the order of the base. Raises ArchiveBroken."""
        base = self.chain.base
        with ExitStack() as stack:
            writers: dict[str, _Writer] = {}
            for one in base.manifest.relations:
                relation = self._relation(one.relation)
                writer = _Writer(relation, self.new, self.folder, self.level, self.mtime)
                writers[relation.name] = stack.enter_context(closing(writer))
            for name, owner, entry in self._read(base):
                if owner is None:
                    self.texts.setdefault(name, _text(entry))
                elif owner.name in self.whole:
                    continue
                elif name == _index_of(owner):
                    self.indexes.setdefault(owner.name, []).insert(0, json.loads(_text(entry)))
                else:
                    writers[owner.name].base(name, entry)
            for name, writer in writers.items():
                single = name == self.tree.root.name or writer.relation.one
                self.written.append(writer.finish(self._described(name)[-1].rows, one=single))

    def fixed(self) -> Mapping[str, str]:
        """Return the files that come first: those of the format, and the indexes."""
        texts = dict(self.texts)
        for one in self.written:
            if name := _index_of(self._relation(one.exported.name)):
                texts[name] = index_text(self._files(one))
        return texts

    def manifest(self, facts: Assembled) -> Manifest:
        """Return the manifest of the merged archive."""
        parts = (self.chain.base, *self.chain.deltas)
        sources = self.chain.sources()
        return replace(
            self.chain.newest.manifest,
            omissions=tuple(dict.fromkeys(text for part in parts for text in part.manifest.omissions)),
            package_version=version("project-export"),
            archive=facts,
            relations=tuple(map(self._manifest_relation, self.written)),
            remarks=(f"merged from {len(sources)} archives; records that were deleted meanwhile may be in it",),
            mode="full",
            window=None,
            next_window_start=self.chain.continued_from.isoformat(),
            made_of=sources,
        )

    def _manifest_relation(self, one: _Written) -> ManifestRelation:
        relation, facts = self._relation(one.exported.name), one.facts
        files = self._files(one)
        if index := _index_of(relation):
            files = with_index(files, index)
        found = self._described(relation.name)
        part = ManifestPart(0, facts.records, facts.raw_bytes, facts.stored_bytes, facts.sha256, 1, 0)
        name = one.exported.file(self.tree.root.name) if facts.raw_bytes else None
        return ManifestRelation.of(
            relation.name,
            name,
            [part],
            list(dict.fromkeys(text for its in found for text in its.remarks)),
            list(dict.fromkeys(text for its in found for text in its.omissions)),
            files,
        )

    def _files(self, one: _Written) -> RelationFiles:
        """Return the files of a relation, those that are missing, and the values of its index."""
        name = one.exported.name
        there = {file.name for file in one.files}
        missing = {lacking.name: lacking for its in self._described(name) for lacking in its.missing}
        values: dict[str, list[Any]] = {}
        for index in self.indexes.get(name, ()):
            for file, its in index.items():
                known = values.setdefault(file, [])
                known += [value for value in its if value not in known]
        shorts = (file.name.rpartition("/")[2] for file in one.files)
        return RelationFiles(
            one.files,
            tuple(lacking for key, lacking in missing.items() if key not in there),
            tuple((short, tuple(values.get(short, ()))) for short in shorts),
        )

    def _described(self, name: str) -> list[ManifestRelation]:
        """Return what the manifests say of a relation, from the last archive on that has it as a whole."""
        parts = (self.chain.base, *self.chain.deltas)[self.whole.get(name, -1) + 1 :]
        return [one for part in parts for one in part.manifest.relations if one.relation == name]

    def _relation(self, name: str) -> Relation:
        return self.tree.root if name == self.tree.root.name else self.tree.relation(name)

    def _read(self, part: Part) -> Iterator[tuple[str, Relation | None, Entry]]:
        """Yield the files of an archive with their relations. Raises ArchiveBroken if its manifest has another one."""
        owners = {}
        for one in part.manifest.relations:
            names = [file.name for file in one.files] + ([one.file] if one.file else [])
            owners.update(dict.fromkeys(names, self._relation(one.relation)))
        facts = part.manifest.archive
        with part.path.open("rb") as file:
            stream = Gunzip(file)
            try:
                for entry in entries(stream):
                    if entry.kind == "file":
                        yield plain(entry.name), owners.get(plain(entry.name)), entry
                stream.finish()
            except ArchiveBroken as error:
                raise ArchiveBroken(f"{part.path}: {error}") from error
            if (stream.bytes, stream.sha256.hexdigest()) != (facts.bytes, facts.sha256):
                raise ArchiveBroken(f"{part.path}: it is not the archive that its manifest describes. Fetch it again.")


class _Writer:
    """Writes one relation as one part."""

    def __init__(self, relation: Relation, new: Replacements, folder: Path, level: int, mtime: int) -> None:
        self.relation = relation
        self._new = new
        self._folder = folder
        self._mtime = mtime
        self._path = folder / f"{relation.name}.deflate"
        self._out = self._path.open("wb")
        self._part = PartWriter(self._out, level)
        self._files: list[ArchiveFile] = []

    def base(self, name: str, entry: Entry) -> None:
        """Write what the base has of a file of the relation, with what replaces it."""
        if not self.relation.merge:
            if not self._new.has_file(name):
                self._file(name, entry.size, entry.chunks)
            return
        for line in lines(entry.chunks, self._folder):
            blocks = self._new.replacing(self.relation.name, line.key(self.relation.merge))
            self._record(line.blocks() if blocks is None else blocks)

    def finish(self, rows: int, *, one: bool) -> _Written:
        """Write what is new, and end the part. rows: of a relation that is there as a whole. one: see `Exported`."""
        for record in self._new.added(self.relation.name):
            self._record(record)
        for name, size, blocks in self._new.files(self.relation.name):
            self._file(name, size, blocks)
        if self.relation.content is None and not self.relation.merge:
            self._part.write(b"", rows)
        facts = self._part.finish()
        self.close()
        part = StoredPart(self.relation.name, 0, facts, uri_of(self._path))
        exported = Exported(self.relation.name, one, (part,), self.relation.content)
        return _Written(exported, facts, tuple(self._files))

    def close(self) -> None:
        """Close the file of the part."""
        self._out.close()

    def _record(self, blocks: Iterable[bytes]) -> None:
        for block in blocks:
            self._part.write(block, 0)
        self._part.write(b"", 1)

    def _file(self, name: str, size: int, blocks: Iterable[bytes]) -> None:
        """Write a file; with its header and padding if the part has several."""
        content, hashed = self.relation.content, hashlib.sha256()
        alone = content is None or content.name.fixed is not None
        if not alone:
            self._part.write(file_header(f"./{name}", size, self._mtime), 0)
        for block in blocks:
            hashed.update(block)
            self._part.write(block, 0)
        if not alone:
            self._part.write(padding(size), 0)
        if content is not None:
            self._part.write(b"", 1)
            self._files.append(ArchiveFile(name, size, (FileRange(size, hashed.hexdigest()),)))


def _index_of(relation: Relation) -> str | None:
    """Return the name of the file with a relation's index."""
    return relation.content.index.file if relation.content and relation.content.index else None


def _text(entry: Entry) -> str:
    return b"".join(entry.chunks).decode()
