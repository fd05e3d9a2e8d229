"""The archive: parts of relations, their merge into one tar.gz, its manifest, and its verification."""
