"""The project's settings (project.rb, project_setting.rb, error_tracking/project_error_tracking_setting.rb)."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

from tests.reader.data import names
from tests.reader.database import Database, Row
from tests.reader.ruby import titleize
from tests.reader.values import stored

DELETION_SCHEDULED = 2
"""namespaces.state"""


def archived(db: Database, row: Row, key: str) -> bool:
    """A project whose deletion is scheduled is not archived (concerns/adjourned_deletable.rb)."""
    own = db.one("namespaces", id=row.get("project_namespace_id"))
    scheduled = bool(own) and own.get("state") == DELETION_SCHEDULED
    return row[key] and row.get("marked_for_deletion_at") is None and not scheduled


def classification_label(db: Database, row: Row, key: str) -> str | None:
    """NULL becomes the default in the newest settings of the instance; '' stays."""
    if row[key] is not None or not db.has("application_settings"):
        return row[key]
    settings = db.where("application_settings")
    return settings[-1].get("external_authorization_service_default_label") if settings else None


def of_settings(db: Database, row: Row, key: str) -> Any:
    """A value of project_settings; null without a row."""
    return stored((db.one("project_settings", project_id=row["id"]) or {}).get(key))


def squash_option(db: Database, row: Row, key: str) -> str | None:
    """Without a row in project_settings a new one is built, with the column's default; NULL in a row is null."""
    found = db.one("project_settings", project_id=row["id"])
    return names()["squash_option"].get(found[key]) if found else "default_off"


def of_rule(db: Database, row: Row, key: str) -> bool | None:
    """ee/app/models/push_rule.rb: NULL becomes the value of the instance's rule."""
    instance = db.where("push_rules", is_sample=True)
    return instance[0][key] if row[key] is None and instance else row[key]


API_PATH = re.compile(r"/api/0/projects/+(?P<organization_name>[^/]+)/+(?P<project_name>[^/]+)/*")
"""API_URL_PATH_REGEXP of error_tracking/project_error_tracking_setting.rb"""


def name_in_api_url(_: Database, row: Row, key: str) -> str | None:
    """NULL becomes a name made from the slug in the address of the API; '' stays."""
    if row[key] is not None:
        return row[key]
    found = API_PATH.fullmatch(urlsplit(row["api_url"] or "").path)
    return titleize(found[key]) if found else None
