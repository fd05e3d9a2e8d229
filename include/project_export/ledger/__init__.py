"""The ledger of exports: jobs, their relations, attempts and progress. Every decision is based on it."""

from project_export.ledger.changes import Change, Observe
from project_export.ledger.claims import Claims
from project_export.ledger.engine import engine_over, make_engine
from project_export.ledger.jobs import Jobs, being_exported
from project_export.ledger.ledger import Ledger
from project_export.ledger.listen import Wait
from project_export.ledger.migrate import check, upgrade
from project_export.ledger.notices import Notices
from project_export.ledger.progress import JobProgress, Progress, RelationProgress
from project_export.ledger.queries import Queries
from project_export.ledger.queue import Queue, Turn
from project_export.ledger.rates import Rates
from project_export.ledger.records import (
    Beat,
    Claim,
    Job,
    JobRequest,
    Load,
    Mode,
    Outcome,
    Planned,
    Reported,
    Row,
    WrittenPart,
)
from project_export.ledger.retention import Ended, Retention
from project_export.ledger.series import Keep
from project_export.ledger.tokens import Token, Tokens
from project_export.ledger.watch import Watch

__all__ = [
    "Beat",
    "Change",
    "Claim",
    "Claims",
    "Ended",
    "Job",
    "JobProgress",
    "JobRequest",
    "Jobs",
    "Keep",
    "Ledger",
    "Load",
    "Mode",
    "Notices",
    "Observe",
    "Outcome",
    "Planned",
    "Progress",
    "Queries",
    "Queue",
    "Rates",
    "RelationProgress",
    "Reported",
    "Retention",
    "Row",
    "Token",
    "Tokens",
    "Turn",
    "Wait",
    "Watch",
    "WrittenPart",
    "being_exported",
    "check",
    "engine_over",
    "make_engine",
    "upgrade",
]
