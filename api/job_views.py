"""The state of a job of any kind, as one caller may see it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, TypeVar
from uuid import UUID

Body = TypeVar("Body")


@dataclass(frozen=True)
class JobView(Generic[Body]):
    """The state of a job as one caller may see it."""

    job_id: UUID
    org_id: str
    is_finished: bool
    etag: str
    updated_at: datetime
    build_body: Callable[[], Body]
    """Called only for a body that is sent, because issuing a download link writes an audit event."""
    has_link: bool = False
    progress: dict[str, Any] | None = field(default=None)


LoadView = Callable[[], JobView[Body]]
"""Loads the current view of the job; raises ``NotFoundError`` if the caller may not see it."""
