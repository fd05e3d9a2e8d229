"""The source database, only ever read: sessions and snapshots, tree → SQL, SQL → lines of JSON."""

from project_export.source.changes import Window
from project_export.source.cycles import look_rarely
from project_export.source.lines import Chunk
from project_export.source.read import Reader
from project_export.source.relkinds import Allowed, Tables
from project_export.source.session import Connect, Limits, Session, translate
from project_export.source.temporary import Temporary
from project_export.source.title import title

__all__ = [
    "Allowed",
    "Chunk",
    "Connect",
    "Limits",
    "Reader",
    "Session",
    "Tables",
    "Temporary",
    "Window",
    "look_rarely",
    "title",
    "translate",
]
