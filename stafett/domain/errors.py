"""What can go wrong, in the words of the domain: no HTTP and no Temporal here."""

from collections.abc import Iterable
from datetime import timedelta
from typing import NamedTuple
from uuid import UUID

from stafett.domain.export_status import ExportErrorCode


class StafettError(Exception):
    """An error we expected: its text is one sentence fit for the person who sees it."""


class SettingsError(StafettError):
    """The configuration is missing something or contradicts itself."""


class RequestIssue(NamedTuple):
    """One thing that is wrong with what was asked, and where it stands."""

    pointer: str
    code: str
    detail: str


class InvalidRequestError(StafettError):
    """What is asked for makes no sense, for reasons that no schema tells."""

    def __init__(self, issues: Iterable[RequestIssue]) -> None:
        super().__init__("The request is not valid.")
        self.issues = tuple(issues)


class UnauthenticatedError(StafettError):
    """Nobody we know is asking."""


class PermissionDeniedError(StafettError):
    """The caller is known, and may not do this."""


class NotFoundError(StafettError):
    """There is no such thing, or none that the caller may know of."""


class NotFinishedError(StafettError):
    """What is asked for is still being made."""


class FileRemovedError(StafettError):
    """There was one, and it has left storage."""


class NoFileError(StafettError):
    """The job has ended, and left no file."""


class InvalidPayloadsError(StafettError):
    """What was handed in as the engine's payloads is none, or none that can be opened here."""


class IdempotencyKeyReusedError(StafettError):
    """An idempotency key came again with another body."""


class PreconditionRequiredError(StafettError):
    """An edit has to say which state it is based on."""


class PreconditionFailedError(StafettError):
    """An edit is based on a state that is not the present one."""


class InvalidStateError(StafettError):
    """What is asked for is not possible in the state that the job is in."""


class SnapshotGoneError(StafettError):
    """The rows that a version was made from are kept no longer."""


class ReexportInProgressError(StafettError):
    """One at a time: the report is just being made again, in another way."""

    def __init__(self, running_id: UUID) -> None:
        super().__init__(f"Re-export {running_id} of this report is running, and was asked for otherwise.")
        self.running_id = running_id


class InvalidFieldError(StafettError):
    """A field is sound in itself, and cannot be meant of this."""

    def __init__(self, field: str, code: str, message: str) -> None:
        super().__init__(message)
        self.field = field
        self.code = code


class ServiceUnavailableError(StafettError):
    """Something we stand on cannot be reached."""

    def __init__(self, service: str) -> None:
        super().__init__(f"{service} cannot be reached just now.")
        self.service = service


class StaleAttemptError(StafettError):
    """Another attempt, or a cancel, has taken the job over: this one must not write any more."""


class ExportError(StafettError):
    """An export cannot go on, for a reason its user can be told; asking again later may or may not help."""

    def __init__(self, code: ExportErrorCode, message: str, *, retryable: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.retryable = retryable


class StagedDataLostError(ExportError):
    """What an earlier stage left is gone, or is not what it was: only beginning anew helps."""

    def __init__(self) -> None:
        message = "What was staged for this export is no longer in storage as it was; it can be tried again."
        super().__init__(ExportErrorCode.STORAGE_UNAVAILABLE, message, retryable=True)


class WorkCancelledError(StafettError):
    """The work was asked to stop."""


class ForbiddenDestinationError(InvalidFieldError):
    """A webhook may not lead there."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__("url", code, message)


class TooManyWebhooksError(StafettError):
    """An organisation has as many webhooks as it may have."""


class DeliveryError(StafettError):
    """A receiver did not take a message; for good, or for now."""

    def __init__(self, code: str, *, is_permanent: bool = False, retry_after: timedelta | None = None) -> None:
        super().__init__(f"The message was not taken: {code}.")
        self.code = code
        self.is_permanent = is_permanent
        self.retry_after = retry_after
