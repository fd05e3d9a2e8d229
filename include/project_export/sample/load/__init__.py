"""Load an existing GitLab archive into a database with the sample's schema: the inverse of the export.

unpack    project.tar.gz → records, line by line
repairs   records of older GitLab versions → today's form
values    the value of a key → what its column holds
rows      rows into tables: ids, and what foreign keys and NOT NULL require
walk      records → rows, driven by the tree
files     bundles and files → repositories and files in a folder, with their rows
"""

from project_export.sample.load.loader import load

__all__ = ["load"]
