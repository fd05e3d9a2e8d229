"""`python -m tests.update`: updates what is derived from the tree and from the second reader's data."""
