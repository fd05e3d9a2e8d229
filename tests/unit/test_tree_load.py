"""Every mistake in a tree file is an error with the file, the line, what it is, and the nearest valid name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from project_export.errors import TreeError
from project_export.formats import GITLAB, PLAIN
from project_export.tree import (
    Also,
    Beside,
    Climb,
    Condition,
    Enum,
    Form,
    Key,
    Lookup,
    Order,
    Parameter,
    Ref,
    Span,
    Tree,
    load,
    load_all,
)
from project_export.tree.forms import Activity, Elsewhere
from tests.reader import data

SCHEMA = """# names that a tree may use
table\tcolumn\ttype
authors\tid\tint8
authors\tname\ttext
books\tid\tint8
books\tauthor_id\tint8
books\ttitle\ttext
books\tkind\tint4
books\textra\tjsonb
books\tposition\tint4
pages\tbook_id\tint8
pages\tnumber\tint4
"""

VALID = """\
name: library
schema: schema.tsv
enums:
  kind: {null: unknown, 1: novel, 2: poem}
shapes:
  person:
    table: authors
    keys: [name]
root:
  relation: author
  table: authors
  keys: [name]
relations:
  - relation: books
    table: books
    join: {author_id: id}
    where: {kind: [null, 1, 2]}
    order: [position desc nulls last, id]
    keys:
      - title
      - {kind: {enum: kind}}
      - {extra: {transform: yaml, default: {}}}
    children:
      - {relation: writer, like: person, one: true, join: {id: author_id}}
  - relation: nothing
    constant: null
    one: true
"""

BOOKS = VALID[VALID.index("    table: books") : VALID.index("    keys:\n")]
PAGES = "    table: pages\n    join: {number: id}\n"

Write = Callable[..., str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write the valid tree with some of its text replaced, and return its path."""

    def write(*changes: tuple[str, str], text: str = VALID) -> str:
        (tmp_path / "schema.tsv").write_text(SCHEMA)
        for old, new in changes:
            assert text.count(old) == 1, old
            text = text.replace(old, new)
        path = tmp_path / "library.yaml"
        path.write_text(text)
        return str(path)

    return write


ELSEWHERE = (
    "{elsewhere: {location: attic, offset: position, size: kind, from: authors, match: {id: author_id}, file: %s}}"
)


@pytest.mark.parametrize(
    ("path", "file"), [("a/{id}{name}/b", ("a/", "id", "", "name", "/b")), ("{id}", ("", "id", "")), ("50%", ("50%",))]
)
def test_columns_name_the_file_of_a_value_outside_the_database(write: Write, path: str, file: tuple[str, ...]) -> None:
    attic = ("name: library\n", "name: library\nlocations: {attic: old papers}\n")
    kind = load(write(attic, ("{enum: kind}", ELSEWHERE % f'"{path}"'))).relations[0].keys[1]
    assert kind.elsewhere == Elsewhere("position", "kind", "authors", (("id", "author_id"),), "attic", file)


ROOT = "  table: authors\n  keys: [name]\nrelations"


def active(text: str) -> tuple[str, str]:
    """Give the root an activity."""
    return ROOT, f"  activity: {text}\n{ROOT}"


def test_the_root_may_say_what_activity_is(write: Write) -> None:
    assert load(write()).activity is None
    assert load(write(active("{columns: [id, name]}"))).activity == Activity(("id", "name"))
    assert load(write(active("{columns: [id], late_seconds: 60}"))).activity == Activity(("id",), 60)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{columns: [nam]}", "table authors has no column nam; nearest: name"),
        ("{columns: []}", "the activity names no column"),
        ("{late_seconds: 60}", "the activity lacks the attribute columns"),
        ("{columns: [id], late: 60}", "the activity has no attribute late"),
        ("{columns: [id], late_seconds: -1}", "late_seconds is a number of seconds; got -1"),
    ],
)
def test_a_mistake_in_the_activity_is_named(write: Write, text: str, said: str) -> None:
    assert said in refused(write(active(text)))


def test_only_the_root_has_an_activity(write: Write) -> None:
    said = refused(write(("    table: books\n", "    table: books\n    activity: {columns: [id]}\n")))
    assert "relation books has an activity, which only the root can have" in said


@pytest.mark.parametrize("name", ["project_id", "requested_by", "projects"])
def test_a_parameter_cannot_be_called_like_what_a_run_has(write: Write, name: str) -> None:
    parameters = f"name: library\nparameters: {{{name}: {{type: string}}}}\n"
    assert f"parameter '{name}' cannot have this name" in refused(write(("name: library\n", parameters)))


def refused(path: str) -> str:
    with pytest.raises(TreeError) as caught:
        load(path)
    message = str(caught.value)
    assert message.startswith(path)
    return message.removeprefix(path).removeprefix(":")


def test_a_valid_tree_becomes_records(write: Write) -> None:
    tree = load(write())
    assert tree.names == ("author", "books", "nothing")
    books, nothing = tree.relations
    assert books.join == (("author_id", "id"),)
    assert books.where == (Condition(Ref("kind"), (None, 1, 2)),)
    assert books.order == (Order("position", descending=True, nulls_last=True), Order("id"))
    title, kind, extra = books.keys
    assert title == Key("title", Form((Ref("title"),)), line=20)
    assert kind.form == Form((Ref("kind"),), enum=Enum("kind", ((None, "unknown"), (1, "novel"), (2, "poem"))))
    assert extra.form == Form((Ref("extra"),), transform="yaml", default="{}")
    (writer,) = books.children
    assert (writer.table, writer.one, writer.order, writer.keys[0].name) == ("authors", True, (), "name")
    assert (nothing.constant, nothing.one, nothing.table) == ("null", True, "")
    assert books.links == ("author_id",)


def test_a_shape_may_be_used_twice_and_changed_in_one_place(write: Write) -> None:
    tree = load(write(("one: true, join: {id: author_id}}", "one: true, join: {id: author_id}, keys: [id]}")))
    assert [key.name for key in tree.relations[0].children[0].keys] == ["id"]


def test_the_shipped_tree_has_the_relations_that_the_second_reader_reads_in_their_order() -> None:
    tree = load_all("gitlab")
    paid = [option.relation.name for option in tree.optional if option.parent == "project"]
    assert (*tree.names, *paid) == ("project", *data.file()["relations"])
    assert paid == [name for name, entry in data.file()["relations"].items() if "needs" in entry]
    assert {relation.table for _, relation in tree.walk() if relation.table} <= set(tree.known)


def test_a_top_level_relation_has_a_kind_which_is_records_by_default(write: Write) -> None:
    assert {relation.kind for relation in load(write()).relations} == {"records"}
    named = write(("  - relation: books\n", "  - relation: books\n    kind: records\n"))
    assert load(named).relations[0].kind == "records"
    unknown = refused(write(("  - relation: books\n", "  - relation: books\n    kind: record\n")))
    assert unknown == "15: kind record is unknown; nearest: records"
    nested = refused(write(("one: true, join: {id: author_id}}", "one: true, join: {id: author_id}, kind: records}")))
    assert "has a kind, which only a top-level relation can have" in nested


def test_a_tree_has_the_format_that_it_names_and_is_plain_without(write: Write) -> None:
    assert load(write()).format is PLAIN
    assert load(write(("name: library\n", "name: library\nformat: gitlab\n"))).format is GITLAB
    assert load("gitlab").format is GITLAB


PARAMETERS = (
    "parameters: {heading: {type: string, longest: 9, default: x, title: Heading, description: Above all.}, size:"
    " {type: integer}}\n"
)
TITLE = "      - title\n"


def test_a_tree_declares_the_parameters_that_its_keys_name(write: Write) -> None:
    keys = "      - {title: {parameter: heading}}\n      - {position: {parameter: size, last: true}}\n"
    tree = load(write(("enums:\n", f"{PARAMETERS}enums:\n"), (TITLE, keys)))
    assert tree.parameters == {
        "heading": Parameter("heading", "string", "x", 9, "Heading", "Above all."),
        "size": Parameter("size", "integer"),
    }
    assert [key.parameter for key in tree.relations[0].keys] == ["heading", "size", None, None]


@pytest.mark.parametrize(
    ("parameters", "key", "said"),
    [
        ("", "{parameter: heading}", "20: parameter heading is unknown; the tree declares none"),
        ("{heading: {type: string}}", "{parameter: headin}", "21: parameter headin is unknown; nearest: heading"),
        ("{heading: {type: string}}", "{}", "3: parameter heading is not used by any key"),
        ("{heading: {type: text}}", "{parameter: heading}", "3: type text is unknown; valid: "),
        ("{heading: string}", "{parameter: heading}", "3: parameter heading must be a mapping"),
        ("{heading: {}}", "{parameter: heading}", "3: parameter heading lacks the attribute type"),
        ("{heading: {type: string, size: 1}}", "{parameter: heading}", "3: parameter heading has no attribute size"),
        (
            "{Heading: {type: string}}",
            "{parameter: Heading}",
            "3: parameter 'Heading' cannot have this name: use",
        ),
        (
            "{relations: {type: string}}",
            "{parameter: relations}",
            "3: parameter 'relations' cannot have this name: e",
        ),
        ("{heading: {type: integer, longest: 9}}", "{parameter: heading}", "3: longest is a positive number of chara"),
        ("{heading: {type: string, longest: 0}}", "{parameter: heading}", "3: longest is a positive number of chara"),
        ("{heading: {type: string, longest: x}}", "{parameter: heading}", "3: longest is a positive number of chara"),
        (
            "{heading: {type: integer, default: x}}",
            "{parameter: heading}",
            "3: default: heading must be an integer",
        ),
        (
            "{heading: {type: boolean, default: 1}}",
            "{parameter: heading}",
            "3: default: heading must be a boolean",
        ),
        (
            "{heading: {type: string, longest: 1, default: xy}}",
            "{parameter: heading}",
            "3: default: heading must have",
        ),
        (
            "{heading: {type: string}}",
            "{parameter: heading, constant: 1}",
            "21: key title: constant and parameter",
        ),
    ],
)
def test_a_mistake_in_a_parameter_is_named_with_its_line(write: Write, parameters: str, key: str, said: str) -> None:
    declared = f"parameters: {parameters}\n" if parameters else ""
    assert said in refused(write(("enums:\n", f"{declared}enums:\n"), (TITLE, f"      - {{title: {key}}}\n")))


def test_a_tree_is_read_once(write: Write) -> None:
    path = write()
    assert load(path) is load(path)
    assert load(path) is load(path, "")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("name: library\n", "nme: library\n", "1: the tree has no attribute nme; nearest: name"),
        ("name: library\n", "name: library\nformat: gitlb\n", "2: format gitlb is unknown; nearest: gitlab"),
        ("    join: {author_id: id}\n", "    jion: {author_id: id}\n", "16: a relation has no attribute jion; near"),
        ("{enum: kind}", "{enmu: kind}", "21: key kind has no attribute enmu; nearest: enum"),
        ("    table: authors\n    keys", "    tabel: authors\n    keys", "7: shape person has no attribute tabel"),
        ("    table: books", "    table: boks", "15: table boks is unknown; nearest: books"),
        ("      - title\n", "      - titel\n", "20: table books has no column titel; nearest: title"),
        ("      - title\n", "      - {heading: {column: titel}}\n", "20: table books has no column titel"),
        ("      - title\n", "      - {titel: {default: 1}}\n", "20: table books has no column titel; nearest: title"),
        ("      - title\n", "      - {title: {transform: yaml, when: exta}}\n", "20: table books has no column exta"),
        ("join: {author_id: id}\n", "join: {autor_id: id}\n", "16: table books has no column autor_id; nearest:"),
        ("where: {kind:", "where: {knd:", "17: table books has no column knd; nearest: kind"),
        ("[position desc", "[positon desc", "18: table books has no column positon; nearest: position"),
        ("      - title\n", f"      - {{{'t' * 64}: {{column: title}}}}\n", "ttt has more than 63 bytes"),
        ("desc nulls last,", "desc nulls lst,", "18: order 'desc nulls lst' is unknown; nearest: desc nulls last"),
        ("desc nulls last, id]", "desc nulls last, ' ']", "18: this must be a name; got ' '"),
        ("like: person", "like: persn", "24: shape persn is unknown; nearest: person"),
        ("{enum: kind}", "{enum: knid}", "21: enum knid is unknown; nearest: kind"),
        ("transform: yaml", "transform: yml", "22: transform yml is unknown; nearest: yaml"),
        ("      - title\n", "      - title\n      - title\n", "21: key title is there twice"),
        ("relation: writer", "relation: title", "24: key title is there twice"),
        ("relation: nothing", "relation: books", "25: relation books is there twice"),
        ("relation: nothing", "relation: author", "25: relation author is there twice"),
        ("2: poem}", "2: poem, 1: drama}", "4: enum kind: 1 is there twice"),
        ("join: {author_id: id}\n", "join: {author_id: id, author_id: name}\n", "16: join: author_id is there twice"),
        ("root:\n", "name: other\nroot:\n", "9: the tree: name is there twice"),
        ("join: {id: author_id}}", "join: {id: autor_id}}", "24: books has no autor_id to join on"),
        ("join: {author_id: id}\n", "join: {author_id: ib}\n", "16: author has no ib to join on"),
        ("    join: {author_id: id}\n", "", "14: relation books has no join to author"),
        ("join: {author_id: id}\n", "join: {}\n", "14: relation books has no join to author"),
        ("  keys: [name]\nrelations", "  join: {id: id}\nrelations", "12: author is the root, which has no join"),
        ("  keys: [name]\nrelations", "  key: [id, name]\nrelations", "12: author is the root, whose key is one"),
        ("  table: authors\n  keys: [name]\nrel", "  constant: {}\nrel", "10: relation author is constant, which only"),
        ("like: person, one: true, join: {id: author_id}", "constant: 1", "24: relation writer is constant, which"),
        ("    constant: null\n", "    constant: null\n    table: books\n", "25: relation nothing is constant, so"),
        ("    constant: null\n", "", "25: relation nothing has no table; give table, like or constant"),
        ("    constant: null\n", "    constant: .nan\n", "26: JSON has no such value"),
        ("    constant: null\n", "    constant: 2024-01-01\n", "26: JSON has no such value"),
        ("    constant: null\n", "    constant: 2024-19-01\n", "26: invalid value: month must be in 1..12"),
        ("    constant: null\n", "    constant: !thing 1\n", "26: invalid value: could not determine a constructor"),
        ("    constant: null\n", "    constant: {[1]: 2}\n", "26: invalid value: found unhashable key"),
        ("relation: nothing", "relation: ../nothing", "25: relation '../nothing' names a file"),
        ("relation: author\n", "relation: .author\n", "10: relation '.author' names a file"),
        ("    one: true\n", "    one: maybe\n", "27: this must be true or false; got 'maybe'"),
        ("where: {kind: [null, 1, 2]}", "where: {kind: 1.5}", "17: a condition compares with a text"),
        ("where: {kind: [null, 1, 2]}", "where: {kind: []}", "17: a condition needs a value"),
        ("{null: unknown, 1: novel, 2: poem}", "{1.5: novel}", "4: enum kind: the code 1.5 is neither an integer nor"),
        ("{null: unknown, 1: novel, 2: poem}", "{yes: novel}", "4: enum kind: the code True is neither an integer nor"),
        ("{null: unknown, 1: novel, 2: poem}", "{null: unknown}", "4: enum kind has no code"),
        ("{null: unknown, 1: novel, 2: poem}", "[novel]", "4: enum kind must be a mapping"),
        ("      - title\n", "      - {title: {}, kind: {}}\n", "20: a key is a name, or one name with its description"),
        ("      - title\n", "      - [title]\n", "20: this must be a name; got ['title']"),
        ("      - title\n", "      - 7\n", "20: this must be a name; got 7"),
        ("{enum: kind}", "{match: {id: id}}", "21: key kind: match has no effect without from"),
        ("{enum: kind}", "{where: {id: 1}}", "21: key kind: where has no effect without from"),
        ("{enum: kind}", "{order: [id]}", "21: key kind: order has no effect without from"),
        ("{enum: kind}", "{when: position}", "21: key kind: when has no effect without transform"),
        ("{enum: kind}", "{enum: kind, last: 1}", "21: this must be true or false; got 1"),
        ("{enum: kind}", "{constant: 1, column: id}", "21: key kind: constant and column exclude each other"),
        ("{transform: yaml, default: {}}", "{transform: yaml, enum: kind}", "22: key extra: transform and enum"),
        ("{enum: kind}", "{enum: kind, blank: true}", "21: key kind: blank and enum exclude each other"),
        ("{enum: kind}", "{from: pages, match: {book_id: id}, count: true, column: number}", "21: key kind: count and"),
        ("{enum: kind}", "{count: true}", "21: key kind: count has no effect without from"),
        ("{enum: kind}", "{else: {from: pages}}", "21: lookup kind lacks the attribute match"),
        ("{enum: kind}", "{else: [titel]}", "21: table books has no column titel"),
        ("{enum: kind}", "{of: meta}", "21: row beside meta is unknown"),
        ("{enum: kind}", "{cases: [{column: title}]}", "21: a case of kind lacks the attribute when"),
        ("{enum: kind}", "{cases: [{when: {knd: 1}, column: title}]}", "21: table books has no column knd"),
        ("{enum: kind}", "{cases: [{when: {kind: 1}, wrap: x}]}", "21: a case of kind has no attribute wrap"),
        ("{enum: kind}", "{cases: [{when: {kind: {is: 1}}, constant: 1}]}", "21: a condition is a value, a list"),
        ("{enum: kind}", "{cases: [{when: {kind: {over: x}}, constant: 1}]}", "21: over compares with one integer"),
        ("{enum: kind}", "{cases: [{when: {root.nme: 1}, constant: 1}]}", "21: table authors has no column nme"),
        ("{enum: kind}", "{editions: {paid: {constant: 1}}}", "21: edition paid is unknown; the tree names none"),
        ("{enum: kind}", "{layouts: [{without: [page]}]}", "21: table page is unknown; nearest: pages"),
        ("{enum: kind}", "{layouts: [{editions: {}}]}", "21: key kind has no attribute editions"),
        ("{enum: kind}", ELSEWHERE % '"{title}"', "21: table authors has no column title"),
        ("{enum: kind}", ELSEWHERE % '"a{"', "21: a file's path names columns in braces, {column}: "),
        ("{enum: kind}", "{elsewhere: {offset: position}}", "21: elsewhere lacks the attribute file"),
        ("{enum: kind}", "{from: pages}", "21: lookup kind lacks the attribute match"),
        ("{enum: kind}", "{from: pages, match: {}}", "21: table pages has no column kind"),
        ("{enum: kind}", "{from: page, match: {book_id: id}}", "21: table page is unknown; nearest: pages"),
        ("{enum: kind}", "{from: pages, column: nr, match: {book_id: id}}", "21: table pages has no column nr"),
        ("{enum: kind}", "{from: pages, column: number, match: {book: id}}", "21: table pages has no column book"),
        ("{enum: kind}", "{from: pages, column: number, match: {book_id: ib}}", "21: table books has no column ib"),
        ("root:\n  relation: author\n", "root:\n", "10: a relation lacks the attribute relation"),
        ("root:\n  relation: author\n  table: authors\n  keys: [name]\n", "", "1: the tree lacks the attribute root"),
        ("    order: [position desc nulls last, id]\n", "    order: id\n", "18: order must be a list"),
        (BOOKS, PAGES, "14: table pages has no column id"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_line(write: Write, old: str, new: str, said: str) -> None:
    assert said in refused(write((old, new)))


def test_a_nested_relation_joins_its_parents_columns_or_derived_values(write: Write) -> None:
    derived = "    derived:\n      first: {from: pages, match: {book_id: id}, column: number}\n    children:\n"
    tree = load(write(("    children:\n", derived), ("{id: author_id}", "{id: first}")))
    assert tree.relations[0].links == ("first",)
    pages = Beside("pages", (("book_id", (Ref("id"),)),), line=24)
    assert tree.relations[0].derived == (("first", Form((Lookup(pages, Ref("number")),))),)


DATED = "      - {extra: {transform: yaml, default: {}}}\n"


def test_versions_say_when_keys_were_added_and_removed(write: Write) -> None:
    dates = "    since: {2.10: [title], 1.9..2.1: [kind], 2.1..: [writer]}\n    until: {2.1: [isbn], 0.9..1: [id]}\n"
    tree = load(
        write((DATED, DATED + dates), ("keys: [name]\nrelations", "keys: [name]\n  since: {3: [books]}\nrelations"))
    )
    assert tree.relations[0].since == (
        ("title", Span(None, "2.10")),
        ("kind", Span("1.9", "2.1")),
        ("writer", Span("2.1", None)),
    )
    assert tree.relations[0].until == (("isbn", Span("2.1", None)), ("id", Span("0.9", "1")))
    assert tree.root.since == (("books", Span(None, "3")),)


@pytest.mark.parametrize(
    ("dates", "said"),
    [
        ("since: {new: [title]}", "23: since: 'new' is not a version; write 17.3"),
        ("since: {2.1..2.x: [title]}", "23: since: '2.1..2.x' is not a version"),
        ("since: {..2.1: [title]}", "23: since: '..2.1' is not a version"),
        ("since: {[2]: [title]}", "23: since: '' is not a version"),
        ("since: {2.10..2.9: [title]}", "23: since: '2.10..2.9' ends before it starts"),
        ("since: {2.1: [titel]}", "23: since: books has no titel; nearest: title"),
        ("since: {2.1: title}", "23: since must be a list"),
        ("since: [title]", "23: since must be a mapping"),
        ("since: {2.1: [title], 2.10: [title]}", "23: since: title is there twice"),
        ("since: {2.1: [title], 2.1: [kind]}", "23: since: 2.1 is there twice"),
        ("until: {2.1: [title]}", "23: until: books still has title"),
        ("until: {2.1: [writer]}", "23: until: books still has writer"),
    ],
)
def test_a_mistake_in_a_date_is_named_with_its_line(write: Write, dates: str, said: str) -> None:
    assert said in refused(write((DATED, f"{DATED}    {dates}\n")))


OPTIONAL = """
optional:
  author:
    - {relation: films, table: books, join: {author_id: id}, keys: [title]}
  books.writer:
    - {relation: pages, table: pages, one: true, join: {number: id}, keys: [number], with: [books]}
"""


def test_optional_relations_come_after_the_others_in_the_extended_tree(write: Write) -> None:
    tree = load(write(text=VALID + OPTIONAL + "uncovered:\n  books.smell: cannot be written down\n"))
    assert [tree.path(option) for option in tree.optional] == ["films", "books.writer.pages"]
    assert [set(option.needs) for option in tree.optional] == [{"books"}, {"books"}]
    assert tree.names == ("author", "books", "nothing")
    whole = tree.extended()
    assert whole.names == ("author", "books", "nothing", "films")
    assert [path for path, relation in whole.walk() if relation.optional] == ["books.writer.pages", "films"]
    assert tree.extended(tree.optional[:1]).names == whole.names
    assert dict(tree.extended(()).walk()).keys() == dict(tree.walk()).keys()
    assert tree.uncovered == (("books.smell", "cannot be written down"),)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("  author:\n", "  autor:\n", "30: relation autor is unknown; nearest: author"),
        ("  books.writer:\n", "  books.writr:\n", "32: relation books.writr is unknown; nearest: books.writer"),
        ("relation: films", "relation: books", "31: optional: author already has books"),
        ("relation: pages", "relation: name", "33: optional: writer already has name"),
        ("table: pages", "table: pagse", "33: table pagse is unknown; nearest: pages"),
        ("{number: id}", "{number: idd}", "33: writer has no idd to join"),
        ("with: [books]", "with: [boks]", "33: table boks is unknown; nearest: books"),
        ("with: [books]", "with: books", "33: with must be a list"),
    ],
)
def test_a_mistake_in_an_optional_relation_is_named_with_its_line(write: Write, old: str, new: str, said: str) -> None:
    assert said in refused(write(text=VALID + OPTIONAL.replace(old, new)))


@pytest.mark.parametrize("path", ["books", "books.title", "films", "books.writer.pages"])
def test_what_the_tree_has_cannot_be_uncovered(write: Write, path: str) -> None:
    assert f"36: uncovered: the tree has {path}" in refused(
        write(text=VALID + OPTIONAL + f"\nuncovered:\n  {path}: x\n")
    )


def test_a_shape_that_contains_itself_is_refused(write: Write) -> None:
    nested = "keys: [name]\n    children:\n      - {relation: friend, like: person, join: {id: id}}\nroot:"
    assert "10: relation friend is nested more than 32 deep" in refused(write(("keys: [name]\nroot:", nested)))


def test_what_is_not_yaml_is_refused_with_its_line(write: Write) -> None:
    assert refused(write(text="name: [library\nroot: x\n")).startswith("2: invalid YAML: ")
    assert "invalid YAML: " in refused(write(text="name: \x07\n"))


@pytest.mark.parametrize("text", ["", "# nothing but a comment\n"])
def test_an_empty_file_says_what_it_needs(write: Write, text: str) -> None:
    assert refused(write(text=text)) == "1: the file is empty; it needs name, root and relations"


def test_a_file_that_is_not_a_mapping_is_refused(write: Write) -> None:
    assert refused(write(text="- a\n- b\n")) == "1: the tree must be a mapping, {name: value}"


def test_a_missing_file_names_the_shipped_trees(tmp_path: Path) -> None:
    path = str(tmp_path / "none.yaml")
    assert refused(path) == " No such file or directory; give a path or a shipped tree, valid: gitlab"
    with pytest.raises(TreeError, match="nearest: gitlab"):
        load("gitlap")


def test_a_file_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "latin.yaml"
    path.write_bytes("name: Büchertisch\n".encode("latin-1"))
    assert "must be UTF-8" in refused(str(path))


@pytest.mark.parametrize("schema", [None, "table;column\na;b\n"])
def test_a_reference_schema_that_cannot_be_read_is_named(write: Write, tmp_path: Path, schema: str | None) -> None:
    path = write()
    (tmp_path / "schema.tsv").unlink()
    if schema is not None:
        (tmp_path / "schema.tsv").write_text(schema)
    with pytest.raises(TreeError, match=r"schema\.tsv: not a readable schema"):
        load(path)


def test_without_a_reference_schema_the_database_checks_the_names(write: Write) -> None:
    tree: Tree = load(write(("schema: schema.tsv\n", ""), ("      - title\n", "      - titel\n")))
    assert tree.relations[0].keys[0].column == "titel"


# Rows beside, cases, editions, layouts.

RICH = """\
name: library
schema: schema.tsv
editions: [free, paid]
column_since: {1.0..2.0: [pages, books.kind]}
column_until: {2.0: [books.extra]}
enums:
  kind: {1: novel, 2: poem}
root:
  relation: author
  table: authors
  title: {from: books, match: {author_id: id}, where: {kind: 1}, column: title}
  beside:
    first: {from: books, match: {author_id: id}, order: [position], optional: true}
  derived:
    line: {climb: authors, start: id, parent: id, path: name, where: {name: x}}
  keys: [name]
relations:
  - relation: books
    table: books
    join: {author_id: id}
    where: {kind: {not: [null, 3]}, root.first: true}
    either: [{kind: {over: 5}}, {title: x, root.first.title: y, root.name: z}]
    beside:
      page:
        {from: pages, match: {book_id: id, number: [position, root.first.kind, root.id]}, where: {number: {over: 1}}}
    also:
      - {join: {author_id: line}, where: {kind: 1}, either: [{title: x}], unless: title, each: [title, kind],
         best: [{by: position desc, raised: {kind: id}}, id], editions: [paid]}
      - {join: {author_id: id}, unless: title, best: [id]}
    keys:
      - title
      - {kind: {else: [position, {from: pages, match: {book_id: id}, column: number}], editions: {paid: {enum: kind}}}}
      - {number: {of: page}}
      - {position: {of: page, column: number}}
      - extra:
          trim: true
          blank: true
          cases:
            - {when: {title: null, page: true}, constant: 1}
            - {when: {page.number: 1}, column: page.number, enum: kind}
      - {pages: {from: pages, match: {book_id: id}, where: {number: 1}, count: true}}
      - {last: {from: pages, match: {book_id: id}, column: {from: authors, match: {id: number}, column: name}}}
      - {root: {column: root.first.title, absent: none}}
      - author_id:
          layouts: [{constant: 7, without: [pages]}, {column: title}]
          editions: {paid: {constant: null}}
          wrap: it
      - {id: {transform: base64_text, when: kind, last: true}}
    children:
      - relation: writer
        table: authors
        one: true
        join: {id: author_id}
        keys: [name]
        instead: {0: {name: none}, -1: null}
"""


@pytest.fixture
def rich(write: Write) -> Tree:
    return load_all(write(text=RICH))


def form(tree: Tree, name: str) -> Form:
    return key(tree, name).form


def key(tree: Tree, name: str) -> Key:
    (found,) = (key for key in tree.relations[0].keys if key.name == name)
    return found


def test_rows_beside_are_found_by_the_first_of_several_values(rich: Tree) -> None:
    (page,) = rich.relations[0].beside
    number = (Ref("position"), Ref("kind", "root.first"), Ref("id", "root"))
    assert page.match == (("book_id", (Ref("id"),)), ("number", number))
    assert page.where == (Condition(Ref("number"), (1,), "over"),)
    assert (page.name, page.table, page.optional, page.columns) == (
        "page",
        "pages",
        False,
        ("book_id", "number", "number"),
    )
    (first,) = rich.root.beside
    assert (first.order, first.optional) == ((Order("position"),), True)


def test_conditions_name_the_row_a_row_beside_and_the_root(rich: Tree) -> None:
    books = rich.relations[0]
    assert books.where == (Condition(Ref("kind"), (None, 3), "not"), Condition(Ref("", "root.first"), (True,)))
    assert books.either == (
        (Condition(Ref("kind"), (5,), "over"),),
        (
            Condition(Ref("title"), ("x",)),
            Condition(Ref("title", "root.first"), ("y",)),
            Condition(Ref("name", "root"), ("z",)),
        ),
    )


@pytest.mark.parametrize(
    ("condition", "fulfilled", "not_fulfilled"),
    [
        (Condition(Ref("a"), (None, 1)), [None, 1], [0, 2, "1"]),
        (Condition(Ref("a"), (1,)), [1], [None, 2]),
        (Condition(Ref("a"), (1,), "not"), [None, 2], [1]),
        (Condition(Ref("a"), (None,), "not"), [0, ""], [None]),
        (Condition(Ref("a"), (5,), "over"), [6], [5, None, 4]),
    ],
)
def test_a_condition_accepts_values(condition: Condition, fulfilled: list[object], not_fulfilled: list[object]) -> None:
    assert [value for value in [*fulfilled, *not_fulfilled] if condition.accepts(value)] == fulfilled


def test_a_value_has_sources_of_which_the_first_counts(rich: Tree) -> None:
    column, position, lookup = form(rich, "kind").sources
    assert (column, position) == (Ref("kind"), Ref("position"))
    assert isinstance(lookup, Lookup)
    assert (lookup.row.match, lookup.value) == ((("book_id", (Ref("id"),)),), Ref("number"))
    assert form(rich, "number") == Form(of=Ref("number", "page"))
    assert form(rich, "position") == Form(of=Ref("number", "page"))
    assert form(rich, "root") == Form((Ref("title", "root.first"),), absent='"none"')


def test_a_lookup_may_count_and_may_lead_to_another(rich: Tree) -> None:
    (pages,), (last,) = form(rich, "pages").sources, form(rich, "last").sources
    assert isinstance(pages, Lookup)
    assert (pages.value, pages.row.where) == (None, (Condition(Ref("number"), (1,)),))
    assert isinstance(last, Lookup)
    assert isinstance(last.value, Lookup)
    assert (last.value.row.table, last.value.row.match) == ("authors", (("id", (Ref("number"),)),))
    assert last.value.value == Ref("name")


def test_cases_come_before_the_usual_form(rich: Tree) -> None:
    extra = key(rich, "extra")
    assert extra.form == Form((Ref("extra"),), trim=True, blank=True)
    (first, constant), (second, enum) = extra.cases
    assert first == (Condition(Ref("title"), (None,)), Condition(Ref("", "page"), (True,)))
    assert constant == Form(constant="1")
    assert second == (Condition(Ref("number", "page"), (1,)),)
    assert (enum.sources, enum.enum and enum.enum.name) == ((Ref("number", "page"),), "kind")
    assert extra.forms == (extra.form, constant, enum)
    assert extra.constant is None


def test_an_edition_has_its_own_keys_and_additional_rows(write: Write) -> None:
    path = write(text=RICH)
    free, paid = load(path), load(path, "paid")
    assert load(path, "free") == free
    assert (form(free, "kind").enum, form(paid, "kind").enum is None) == (None, False)
    assert form(free, "kind").sources == form(paid, "kind").sources
    assert (key(free, "author_id").constant, key(paid, "author_id").constant) == (None, "null")
    assert (len(free.relations[0].also), len(paid.relations[0].also)) == (1, 2)
    assert [name for name, _ in key(load_all(path), "kind").editions] == ["paid"]
    with pytest.raises(TreeError, match="the tree has no edition piad; nearest: paid"):
        load(path, "piad")


def test_a_tree_that_distinguishes_no_editions_has_none(write: Write) -> None:
    with pytest.raises(TreeError, match="has no edition paid; it distinguishes none"):
        load(write(), "paid")


def test_layouts_keep_the_common_attributes(rich: Tree) -> None:
    one, other = key(rich, "author_id").layouts
    assert (one.form, one.wrap, one.without) == (Form(constant="7"), "it", ("pages",))
    assert (other.form, other.wrap, other.without) == (Form((Ref("title"),)), "it", ())


def test_a_transform_may_depend_on_a_column_that_has_to_be_true(rich: Tree) -> None:
    assert form(rich, "id").when == (Condition(Ref("kind"), (True,)),)
    assert key(rich, "id").last


def test_additional_rows_say_whose_they_are_and_which_is_the_best(rich: Tree) -> None:
    first, second = rich.relations[0].also
    assert first == Also(
        join=(("author_id", "line"),),
        where=(Condition(Ref("kind"), (1,)),),
        unless="title",
        best=(Order("position", descending=True, raised=(("kind", "id"),)), Order("id")),
        each=("title", "kind"),
        either=((Condition(Ref("title"), ("x",)),),),
        editions=("paid",),
    )
    assert (second.each, second.either, second.editions) == (("title",), (), ())


def test_a_hierarchy_is_climbed_from_a_column(rich: Tree) -> None:
    climb = Climb("authors", "id", "id", "id", "name", (Condition(Ref("name"), ("x",)),))
    assert rich.root.derived == (("line", climb),)


def test_the_root_may_have_a_title(rich: Tree) -> None:
    assert rich.title is not None
    assert (rich.title.row.table, rich.title.row.columns, rich.title.value) == (
        "books",
        ("author_id", "kind"),
        Ref("title"),
    )


def test_a_nested_record_may_be_replaced_for_some_values(rich: Tree) -> None:
    assert rich.relations[0].children[0].instead == ((0, '{"name":"none"}'), (-1, "null"))


def test_when_columns_were_added_and_removed_is_said_for_the_whole_file(rich: Tree) -> None:
    assert rich.column_since == {"pages": Span("1.0", "2.0"), "books.kind": Span("1.0", "2.0")}
    assert rich.column_until == {"books.extra": Span("2.0", None)}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("[pages, books.kind]", "[pags]", "4: column_since: table pags is unknown; nearest: pages"),
        ("[pages, books.kind]", "[books.kin]", "4: column_since: books has no column kin; nearest: kind"),
        ("[pages, books.kind]", "[pages, pages]", "4: column_since: pages is there twice"),
        ("[books.extra]", "[books.exta]", "5: column_until: books has no column exta"),
        ("{2.0: [books", "{2.x: [books", "5: column_until: '2.x' is not a version"),
        ("editions: [paid]}", "editions: [piad]}", "28: edition piad is unknown; the tree names free, paid"),
        ("editions: {paid: {enum: kind}}", "editions: {piad: {enum: kind}}", "edition piad is unknown"),
        ("      page:\n", "      title:\n", "25: beside title: the name is a column's, or used twice"),
        ("      page:\n", "      pa.ge:\n", "25: beside pa.ge: the name is a column's, or used twice"),
        (
            "    first: {from: books, match: {author_id: id}, ",
            "    first: {from: books, ",
            "13: lookup first needs a match",
        ),
        ("root.first: true}", "root.first: 1}", ": whether the row root.first exists is true or false"),
        ("{of: page}}", "{of: pgae}}", "row beside pgae is unknown; nearest: page"),
        ("- {number: {of: page}}", "- {numbr: {of: page}}", "table pages has no column numbr; nearest: number"),
        ("root.first.kind", "root.first.knd", "table books has no column knd"),
        ("root.first.kind", "root.furst.kind", "table books has no column root.furst.kind"),
        ("raised: {kind: id}", "raised: {kind: ib}", "table authors has no column ib"),
        ("{by: position desc, raised: {kind: id}}", "{by: position desc}", "best lacks the attribute raised"),
        ("each: [title, kind]", "each: [titel]", "table books has no column titel"),
        ("start: id", "start: ib", "15: table authors has no column ib"),
        ("climb: authors", "climb: author", "15: table author is unknown; nearest: authors"),
        (", parent: id,", ",", "15: derived line lacks the attribute parent"),
        ("        one: true\n", "", "instead is for a nested relation of one with a single join column"),
        ("where: {kind: 1}, column: title", "column: titel", "11: table books has no column titel"),
        ("where: {kind: 1}, column: title", "count: true", "11: the title has no attribute count"),
        ("where: {kind: 1}, column: title", "order: [id]", "the title lacks the attribute column"),
        (
            "    table: books\n    join",
            "    table: books\n    title: {}\n    join",
            "has a title, which only the root can have",
        ),
        (
            "    keys:\n      - title\n",
            "    instead: {}\n    keys:\n      - title\n",
            "instead is for a nested relation of one",
        ),
    ],
)
def test_a_mistake_in_the_richer_words_is_named_with_its_line(write: Write, old: str, new: str, said: str) -> None:
    assert said in refused(write((old, new), text=RICH))


def test_without_a_reference_schema_the_database_checks_rows_beside_too(write: Write) -> None:
    tree = load(write(("schema: schema.tsv\n", ""), text=RICH))
    assert [row.name for row in tree.relations[0].beside] == ["page"]
