"""Labels, milestones, boards, releases, snippets: what plans a project."""

from __future__ import annotations

import re
from typing import Any

from tests.reader.database import Database, Row
from tests.reader.enums import LINK_TYPE, LIST_TYPE
from tests.reader.notes import awards, events, notes
from tests.reader.ruby import SPACE
from tests.reader.shapes import Shape, many, named, null_is, null_is_column, null_last, one

DEFAULT_COLOUR = "#6699cc"
"""concerns/base_label.rb"""


def colour(_: Database, row: Row, __: str) -> str:
    """The colour type strips white space; names of colours stay names (database/type/color.rb)."""
    return DEFAULT_COLOUR if row["color"] is None else row["color"].strip(SPACE)


def text_colour(db: Database, row: Row, key: str) -> str:
    """Light text unless dark text has much more contrast on the label's colour (lib/gitlab/color.rb)."""
    return contrasting(colour(db, row, key))


def contrasting(background: str) -> str:
    """Return the colour of text on a background; one that is not a colour counts as dark."""
    if not re.fullmatch(r"#(?:[0-9A-Fa-f]{3}){1,2}", background):
        return "#FFFFFF"
    light, dark = contrast(background, "#FFFFFF"), contrast(background, "#1F1E24")
    return "#FFFFFF" if light >= 2.4 or light > dark else "#1F1E24"


def contrast(one_: str, other: str) -> float:
    """Return the contrast of two colours by WCAG 2.1."""
    darker, lighter = sorted((luminance(one_), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def luminance(of: str) -> float:
    """Return the relative luminance of a colour by WCAG 2.1, with sRGB's old threshold."""
    digits = of[1:] if len(of) == 7 else "".join(digit * 2 for digit in of[1:])
    channels = [int(digits[start : start + 2], 16) / 255 for start in (0, 2, 4)]
    red, green, blue = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


# label.rb; label_priority.rb: of every project of a group label
PRIORITIES = many("label_priorities", Shape("project_id priority created_at updated_at"), label_id="id")
LABEL_COLUMNS = "title color project_id created_at updated_at template description group_id"
LABEL_VALUES = {"color": colour, "type": lambda _, row, __: row["type"]}
LABEL = Shape(LABEL_COLUMNS, LABEL_VALUES, {"priorities": PRIORITIES})
# as_json counts for a top-level record alone
TOP_LABEL = Shape(LABEL_COLUMNS, LABEL_VALUES, {"priorities": PRIORITIES}, {"textColor": text_colour})

# milestone.rb, timebox.rb: no getters
MILESTONE_COLUMNS = "title project_id description due_date created_at updated_at state iid start_date group_id"
MILESTONE = Shape(MILESTONE_COLUMNS)
MILESTONE_WITH_EVENTS = Shape(MILESTONE_COLUMNS, nested={"events": events("Milestone")})

# list.rb: order of its scope
LIST = Shape(
    "list_type position created_at updated_at user_id max_issue_count max_issue_weight limit_metric",
    {"list_type": named(LIST_TYPE)},
    {"label": one("labels", LABEL, id="label_id")},
)
BOARD = Shape(
    "project_id created_at updated_at name group_id weight hide_backlog_list hide_closed_list",
    nested={"lists": many("lists", LIST, null_last("list_type", "position"), board_id="id")},
)

# releases/link.rb
LINK = Shape("url name created_at updated_at filepath link_type", {"link_type": named(LINK_TYPE)})
# import_export.yml has no allow-list for milestone_releases
MILESTONE_RELEASE = Shape("project_id", nested={"milestone": one("milestones", MILESTONE, id="milestone_id")})
# release.rb: the name is the tag where it is NULL; '' stays
RELEASE = Shape(
    "tag description project_id created_at updated_at author_id name sha released_at",
    {"name": null_is_column("tag")},
    {
        "links": many("release_links", LINK, release_id="id"),
        "milestone_releases": many(
            "milestone_releases", MILESTONE_RELEASE, lambda row: row["milestone_id"], release_id="id"
        ),
    },
)

# snippet.rb: file_name is '' for NULL
SNIPPET = Shape(
    "title content author_id project_id created_at updated_at file_name visibility_level description",
    {"file_name": null_is("")},
    {"award_emoji": awards("Snippet"), "notes": notes("Snippet", "author award_emoji")},
)

LABEL_LINK = Shape("target_type created_at updated_at", nested={"label": one("labels", LABEL, id="label_id")})


def label_links(target: str) -> Any:
    """Return a getter of the labels of a target."""
    return many("label_links", LABEL_LINK, target_id="id", target_type=f"'{target}'")
