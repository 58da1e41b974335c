"""A preview is computed on a worker while the caller waits."""

from datetime import timedelta

from temporalio.client import Client, WorkflowFailureError
from temporalio.common import Priority
from temporalio.exceptions import ActivityError, ApplicationError
from temporalio.exceptions import TimeoutError as TimedOutError
from temporalio.service import RPCError

from stafett.domain.errors import ExportError, PermissionDeniedError, ServiceUnavailableError
from stafett.domain.export_preview import PreviewJob
from stafett.domain.export_status import ExportErrorCode
from stafett.temporal.client import PREVIEW_EXPORT

_WITHIN = timedelta(seconds=55)


async def await_preview(client: Client, task_queue: str, asked: PreviewJob, *, within: timedelta = _WITHIN) -> None:
    """Return when the preview lies ready in PostgreSQL."""
    try:
        await client.execute_workflow(
            PREVIEW_EXPORT,
            asked,
            id=asked.workflow_id,
            task_queue=task_queue,
            execution_timeout=within,
            static_summary=f"Preview of an export for {asked.request.org_id}",
            priority=Priority(priority_key=1, fairness_key=asked.request.org_id),
        )
    except WorkflowFailureError as error:
        raise _as_told(error) from None
    except (RPCError, RuntimeError):
        raise ServiceUnavailableError("Temporal") from None


def _as_told(error: WorkflowFailureError) -> Exception:
    match error.cause:
        case ActivityError(cause=ApplicationError(type=ExportErrorCode.PERMISSION_DENIED, message=message)):
            return PermissionDeniedError(message)
        case ActivityError(cause=ApplicationError(type=code, message=message)) if code in set(ExportErrorCode):
            return ExportError(ExportErrorCode(code), message)
        case ActivityError(cause=ApplicationError(type=ServiceUnavailableError.__name__, details=(str(service),))):
            return ServiceUnavailableError(service)
        case TimedOutError() | ActivityError(cause=TimedOutError()):
            return ServiceUnavailableError("The worker")
        case _:
            return error
