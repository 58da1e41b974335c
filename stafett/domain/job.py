"""Common interface of the jobs that Temporal runs."""

from datetime import datetime
from enum import StrEnum
from typing import Protocol
from uuid import UUID

REQUEST_ID = "request_id"
"""Log field, column of a job, and header of workflows and activities: the id comes from the API or a proxy, and
identifies no person."""


class JobKind(StrEnum):
    """Workflow types, which are also the values of the search attribute ``JobKind``."""

    BUFDIR_EXPORT = "BufdirExport"
    REPORT_REEXPORT = "ReportReexport"
    BULK_REGISTRATION = "BulkRegistration"
    SEND_NOTIFICATIONS = "SendNotifications"


class Job(Protocol):
    """One attempt at a job. It is also the workflow's argument, so it has ids and no personal data."""

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
    def initial_status(self) -> str | None:
        """The status at the start of the run, or None if this kind of job has no status."""

    @property
    def summary(self) -> str:
        """One line about the job for operators."""

    @property
    def period(self) -> tuple[datetime, datetime] | None:
        """The first and the last instant of the job's period, if it has one."""
