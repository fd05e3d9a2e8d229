"""A source database to try things on: GitLab's schema, filled by a generator or from an archive."""
