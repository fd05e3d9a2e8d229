"""A remote store that refuses what a test wants, by errors that are no OSErrors, as botocore's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import fsspec
from fsspec.implementations.memory import MemoryFileSystem

STEPS = ("write", "read", "list", "remove")


class BotoCoreError(Exception):
    """The root of botocore's errors."""


class EndpointConnectionError(BotoCoreError):
    """As botocore's, when the endpoint is down."""

    def __init__(self) -> None:
        super().__init__('Could not connect to the endpoint URL: "http://127.0.0.1:9/exports"')


class ReadTimeoutError(BotoCoreError):
    """As botocore's."""


class NoCredentialsError(BotoCoreError):
    """As botocore's."""


class ParamValidationError(BotoCoreError):
    """As botocore's, of a bucket's name."""


class ClientError(Exception):
    """As botocore's, which has the store's answer."""

    def __init__(self, code: str) -> None:
        super().__init__(f"An error occurred ({code}) when calling an operation")
        self.response = {"Error": {"Code": code}}


class FlakyFileSystem(MemoryFileSystem):
    """Refuses the steps in `refused`, each by its error."""

    protocol = "flaky"
    store: dict[str, Any] = {}  # noqa: RUF012 - as the memory's, and not the same
    pseudo_dirs = [""]  # noqa: RUF012
    refused: dict[str, BaseException] = {}  # noqa: RUF012

    def put_file(self, *args: Any, **kwargs: Any) -> None:
        _meet(self.refused, "write")
        super().put_file(*args, **kwargs)

    def _open(self, *args: Any, **kwargs: Any) -> Any:
        _meet(self.refused, "read")
        return super()._open(*args, **kwargs)

    def ls(self, *args: Any, **kwargs: Any) -> Any:
        _meet(self.refused, "list")
        return super().ls(*args, **kwargs)

    def info(self, *args: Any, **kwargs: Any) -> Any:
        _meet(self.refused, "read")
        return super().info(*args, **kwargs)

    def exists(self, *args: Any, **kwargs: Any) -> bool:
        """Say False of a store that does not answer, as fsspec's own does."""
        return "list" not in self.refused and super().exists(*args, **kwargs)

    def _rm(self, path: Any) -> None:
        _meet(self.refused, "remove")
        super()._rm(path)

    def rm_file(self, path: Any) -> None:
        _meet(self.refused, "remove")
        super().rm_file(path)


def _meet(refused: dict[str, BaseException], step: str) -> None:
    if error := refused.get(step):
        raise error


fsspec.register_implementation("flaky", FlakyFileSystem)


@contextmanager
def refusing(*steps: str, error: BaseException | None = None) -> Iterator[None]:
    """Let the store refuse some of the STEPS while the block lasts; all when none is named."""
    FlakyFileSystem.refused = {step: error or EndpointConnectionError() for step in steps or STEPS}
    try:
        yield
    finally:
        FlakyFileSystem.refused = {}


@contextmanager
def empty() -> Iterator[str]:
    """Give the URI of a store that has nothing, and forget what was stored."""
    try:
        yield "flaky://bucket/exports"
    finally:
        FlakyFileSystem.store.clear()
        FlakyFileSystem.pseudo_dirs[:] = [""]
