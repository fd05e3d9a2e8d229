"""`python -m tests.update`: what is derived from the tree and from the second reader's data, written again."""
