"""The content of a tree file's relations that are not records: where their files and repositories are."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import yaml

from project_export.errors import nearest
from project_export.tree.content import Content, Index, Location, Malformed, PathRule, Template
from project_export.tree.keys import Keys

_CONTENT = {"location", "part_of", "name", "paths", "url", "bytes", "sha256", "present", "index", "digests"}
_PATH = {"path", "when"}
_INDEX = {"file", "key"}


class Files(Keys):
    """Reads what relations of files and repositories are made of."""

    def location(self, name: str, node: yaml.Node) -> Location:
        """Return a location; it is declared by its name and a description."""
        if not name.isidentifier():
            self.fail(node, f"location {name!r}: a name has letters, digits and '_', and starts with a letter")
        return Location(name, self.text(node))

    def content(self, node: yaml.Node, keys: Collection[str]) -> Content:
        """Return a relation's content. keys: the names of its keys."""
        fields = self.fields(node, _CONTENT, "content", required=("location", "name", "paths"))
        names = dict.fromkeys(keys)
        digests = tuple(
            (name, self._template(node, names)) for name, node in self.mapping(fields.get("digests"), "digests").items()
        )
        names.update(dict.fromkeys(name for name, _ in digests))

        def key(attribute: str) -> str:
            return self.choose(fields[attribute], names, "key") if attribute in fields else ""

        paths = tuple(self._path(item, names) for item in self.items(fields["paths"], "paths"))
        if not paths:
            self.fail(fields["paths"], "paths: name at least one path where the content may be")
        return Content(
            location=self.choose(fields["location"], self.locations, "location"),
            part_of=key("part_of"),
            name=self._template(fields["name"], names),
            paths=paths,
            url=self._template(fields["url"], names) if "url" in fields else None,
            bytes=key("bytes"),
            sha256=key("sha256"),
            present=key("present"),
            index=self._index(fields["index"], names) if "index" in fields else None,
            digests=digests,
        )

    def _path(self, node: yaml.Node, names: Mapping[str, None]) -> PathRule:
        if isinstance(node, yaml.ScalarNode):
            return PathRule(self._template(node, names))
        fields = self.fields(node, _PATH, "a path", required=("path", "when"))
        when = tuple(
            (self.choose(key, names, "key"), self.scalars(value)[0])
            for key, value in self.pairs(fields["when"], "when")
        )
        return PathRule(self._template(fields["path"], names), when)

    def _index(self, node: yaml.Node, names: Mapping[str, None]) -> Index:
        fields = self.fields(node, _INDEX, "index", required=("file", "key"))
        return Index(self.text(fields["file"]), self.choose(fields["key"], names, "key"))

    def _template(self, node: yaml.Node, names: Mapping[str, None]) -> Template:
        try:
            template = Template.parse(self.text(node))
        except Malformed as error:
            self.fail(node, f"{self.text(node)!r}: {error}")
        for key in template.keys:
            if key not in names:
                self.fail(node, f"key {key} is unknown; {nearest(key, names)}")
        return template
