"""The page as an app on its own: a ledger in SQLite, no source, and a caller whose permissions a test sets."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from project_export.steps import Context


@dataclass
class Page:
    """The page in a test.

    allowed: the actions that the caller may do. called: what was asked of Airflow. goes_on: whether tasks of
    a failed job are at work. gone: whether the run of a started job is gone. answers: what Airflow answers.
    """

    client: Any
    ctx: Context
    allowed: set[str] = field(default_factory=lambda: {"READ", "START", "RETRY", "CANCEL", "READ_LOG"})
    called: list[tuple[Any, ...]] = field(default_factory=list)
    goes_on: bool = False
    gone: bool = False
    answers: dict[str, Any] = field(default_factory=dict)

    def set(self, **settings: Any) -> None:
        """Change settings."""
        object.__setattr__(self.ctx, "settings", self.ctx.settings.model_copy(update=settings))

    def get(self, path: str, *, fragment: bool = False, status: int = 200, **options: Any) -> Any:
        """Get a path, and check the status."""
        headers = {"accept": "text/html", **({"hx-request": "true"} if fragment else {}), **options.pop("headers", {})}
        answer = self.client.get(path, headers=headers, follow_redirects=False, **options)
        assert answer.status_code == status, answer.text
        return answer

    def post(self, path: str, data: dict[str, Any] | None = None, *, status: int = 303, **headers: str) -> Any:
        """Send a form from the page itself, and check the status."""
        sent = headers or {"sec-fetch-site": "same-origin"}
        answer = self.client.post(path, data=data or {}, headers=sent, follow_redirects=False)
        assert answer.status_code == status, answer.text
        return answer
