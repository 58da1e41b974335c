"""What every kind of job is to the engine: something with an id that is started once and comes to an end."""

from datetime import datetime
from enum import StrEnum
from typing import Protocol
from uuid import UUID


class JobKind(StrEnum):
    """The workflow types people and search attributes know."""

    BUFDIR_EXPORT = "BufdirExport"
    REPORT_REEXPORT = "ReportReexport"
    BULK_REGISTRATION = "BulkRegistration"
    SEND_NOTIFICATIONS = "SendNotifications"


class Job(Protocol):
    """One attempt at one job; also what its workflow is given, so it holds ids and no person's data."""

    @property
    def kind(self) -> JobKind: ...

    @property
    def workflow_id(self) -> str: ...

    @property
    def org_id(self) -> str: ...

    @property
    def job_id(self) -> UUID: ...

    @property
    def attempt(self) -> int: ...

    @property
    def summary(self) -> str:
        """A line for operators."""

    @property
    def period(self) -> tuple[datetime, datetime] | None:
        """The first and the last instant it is about, if it is about a period."""
