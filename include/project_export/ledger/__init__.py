"""The ledger of exports: jobs, their relations, attempts and progress. The table is the truth."""

from project_export.ledger.engine import engine_over, make_engine
from project_export.ledger.jobs import being_exported
from project_export.ledger.ledger import Ledger
from project_export.ledger.listen import Wait
from project_export.ledger.migrate import check, upgrade
from project_export.ledger.records import (
    Beat,
    Claim,
    Job,
    JobRequest,
    Outcome,
    PartFacts,
    Planned,
    Progress,
    Row,
    Snapshot,
)
from project_export.ledger.retention import Ended

__all__ = [
    "Beat",
    "Claim",
    "Ended",
    "Job",
    "JobRequest",
    "Ledger",
    "Outcome",
    "PartFacts",
    "Planned",
    "Progress",
    "Row",
    "Snapshot",
    "Wait",
    "being_exported",
    "check",
    "engine_over",
    "make_engine",
    "upgrade",
]
