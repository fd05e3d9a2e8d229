"""The ledger of exports: jobs, their relations, attempts and progress. The table is the truth."""

from project_export.ledger.engine import make_engine
from project_export.ledger.ledger import Ledger
from project_export.ledger.listen import Wait
from project_export.ledger.migrate import check, upgrade
from project_export.ledger.records import (
    Beat,
    Claim,
    Job,
    JobRequest,
    PartFacts,
    Planned,
    Progress,
    Row,
    Snapshot,
)

__all__ = [
    "Beat",
    "Claim",
    "Job",
    "JobRequest",
    "Ledger",
    "PartFacts",
    "Planned",
    "Progress",
    "Row",
    "Snapshot",
    "Wait",
    "check",
    "make_engine",
    "upgrade",
]
