"""Errors of the domain, independent of HTTP and Temporal."""

from collections.abc import Container, Iterable
from datetime import timedelta
from typing import NamedTuple
from uuid import UUID

from stafett.domain.export_status import ExportErrorCode


class StafettError(Exception):
    """An expected error. Its text is a sentence that can be shown to the user."""


class SettingsError(StafettError):
    """A setting is missing, invalid or contradicts another one."""


class RequestIssue(NamedTuple):
    """A problem with a request, at a JSON pointer into its body."""

    pointer: str
    code: str
    detail: str
    value: int | str = ""
    """What the detail names, for texts in other languages: a number, or the name of one of our columns."""


class InvalidRequestError(StafettError):
    """The request conforms to its schema and is still invalid."""

    def __init__(self, issues: Iterable[RequestIssue]) -> None:
        super().__init__("The request is not valid.")
        self.issues = tuple(issues)


class UnauthenticatedError(StafettError):
    """Missing or invalid bearer token."""


class SignInRefusedError(StafettError):
    """A sign-in has failed. The reason is a code for the log, because a user could not act on more detail."""

    def __init__(self, reason: str) -> None:
        super().__init__("The sign-in was refused.")
        self.reason = reason


class PermissionDeniedError(StafettError):
    """The authenticated caller lacks a permission."""


class NotFoundError(StafettError):
    """The object does not exist, or the caller must not know of it."""


class NotFinishedError(StafettError):
    """The requested file is not available yet, because the job is still running."""


class FileRemovedError(StafettError):
    """The requested file has been removed from storage."""


class NoFileError(StafettError):
    """The job has finished without a file."""


class InvalidPayloadsError(StafettError):
    """The Temporal payloads of a request are malformed or cannot be decrypted."""


class IdempotencyKeyReusedError(StafettError):
    """An idempotency key was reused with a different body."""


class PreconditionRequiredError(StafettError):
    """An edit does not specify the revision that it is based on."""


class PreconditionFailedError(StafettError):
    """An edit is based on an outdated revision."""


def require_revision(expected_revisions: Container[int] | None, revision: int | None, noun: str) -> None:
    """Raise unless the edit is based on the current revision, or on any revision if there is one."""
    if expected_revisions is None:
        raise PreconditionRequiredError(f"Send the {noun}'s ETag in an If-Match header.")
    if revision not in expected_revisions:
        raise PreconditionFailedError(
            f"The {noun} has changed since the version that this edit is based on; fetch it and repeat the edit."
        )


class InvalidStateError(StafettError):
    """The operation is not possible in the job's current status."""


class SnapshotGoneError(StafettError):
    """The snapshot of a version is no longer stored."""


class HandedInError(StafettError):
    """The operation would remove a file that was handed in to Bufdir, and is not confirmed."""

    def __init__(self, report_id: UUID, version: int) -> None:
        super().__init__(
            f"Version {version} of report {report_id} was handed in to Bufdir; "
            "removing its file needs a confirmation of its own."
        )


class OverlappingActivityError(StafettError):
    """The peer mentor has another activity at the time of a corrected one."""


class ReexportInProgressError(StafettError):
    """A re-export of the same report with other parameters is running."""

    def __init__(self, running_id: UUID) -> None:
        super().__init__(f"Re-export {running_id} of this report is already running with other parameters.")
        self.running_id = running_id


class AlreadyCorrectedError(StafettError):
    """Another batch corrects the failed items of this one already."""

    def __init__(self, correction_id: UUID) -> None:
        super().__init__(
            f"Batch {correction_id} corrects this batch already. Correct or retry what failed in it; this one can be "
            "corrected or retried again only after that one has ended without registering anything, or is deleted."
        )
        self.correction_id = correction_id


class InvalidFieldError(StafettError):
    """A field conforms to its schema, but its value cannot be applied to this object."""

    def __init__(self, field: str, code: str, message: str) -> None:
        super().__init__(message)
        self.field = field
        self.code = code


class ServiceUnavailableError(StafettError):
    """A required service is unavailable."""

    def __init__(self, service: str) -> None:
        super().__init__(f"{service} is unavailable.")
        self.service = service


class StaleAttemptError(StafettError):
    """Another attempt or a cancel has superseded this attempt, which must not write any more."""


class ExportError(StafettError):
    """An export fails for a reason that can be shown to the user."""

    def __init__(self, code: ExportErrorCode, message: str, *, retryable: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.retryable = retryable


class StagedDataLostError(ExportError):
    """The staged data of an earlier stage is missing or was changed, so that only a new attempt can succeed."""

    def __init__(self) -> None:
        message = "What was staged for this export is no longer in storage as it was; it can be tried again."
        super().__init__(ExportErrorCode.STORAGE_UNAVAILABLE, message, retryable=True)


class WorkCancelledError(StafettError):
    """Cancellation of the work was requested."""


class ForbiddenDestinationError(InvalidFieldError):
    """A webhook's URL has a forbidden destination."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__("url", code, message)


class TooManyWebhooksError(StafettError):
    """The organisation has the maximum number of webhooks."""


class LastAdminError(StafettError):
    """The change would leave the organisation without an administrator."""


class AlreadyExistsError(StafettError):
    """An object with this id or address exists already."""


class DeliveryError(StafettError):
    """A receiver rejected a message, permanently or for now."""

    def __init__(self, code: str, *, is_permanent: bool = False, retry_after: timedelta | None = None) -> None:
        super().__init__(f"The message was not taken: {code}.")
        self.code = code
        self.is_permanent = is_permanent
        self.retry_after = retry_after
