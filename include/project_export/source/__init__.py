"""The source database, only ever read: sessions and snapshots, tree → SQL, SQL → lines of JSON."""

from project_export.source.changes import Window
from project_export.source.read import Chunk, Reader
from project_export.source.relkinds import Allowed, Tables
from project_export.source.session import Connect, Limits, Session, translate
from project_export.source.title import title

__all__ = ["Allowed", "Chunk", "Connect", "Limits", "Reader", "Session", "Tables", "Window", "title", "translate"]
