"""Files that an application keeps outside its database; the export only reads them."""

from project_export.external.base import External, Unsafe
from project_export.external.locations import Locations
from project_export.external.opened import open_external

__all__ = ["External", "Locations", "Unsafe", "open_external"]
