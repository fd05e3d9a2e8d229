"""Export one project out of a PostgreSQL database, in parallel, into the archive that GitLab imports."""
