"""All tests, and what they share: `from tests.archives import read_archive`.

PYTEST_DONT_REWRITE: this package is imported before `conftest.py` asks pytest to rewrite the assertions of its modules.
"""
