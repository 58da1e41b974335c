"""Runs an export preview on a worker while the client waits, or finds the same one again."""

from datetime import timedelta

from temporalio.client import Client, WorkflowFailureError
from temporalio.common import Priority
from temporalio.exceptions import ActivityError, ApplicationError
from temporalio.exceptions import TimeoutError as TimedOutError
from temporalio.service import RPCError

from api.concurrency import run_in_threadpool
from api.dependencies import Services
from stafett.column_mapper import MappingDocument
from stafett.domain.errors import ExportError, PermissionDeniedError, ServiceUnavailableError
from stafett.domain.export_preview import Preview, PreviewJob
from stafett.domain.export_status import ExportErrorCode
from stafett.domain.membership import Caller
from stafett.exports.preview import store_draft, take_preview
from stafett.temporal.client import PREVIEW_EXPORT

_TIMEOUT = timedelta(seconds=55)


async def build_preview(
    services: Services, caller: Caller, job: PreviewJob, draft: MappingDocument | None = None
) -> Preview:
    """Build a preview on a worker, with a mapping that is not published if there is a draft."""
    if draft is not None:
        await run_in_threadpool(store_draft, services.database, caller, job, draft)
    await await_preview(services.temporal, services.task_queue, job)
    return await run_in_threadpool(take_preview, services.database, caller, job)


async def find_or_build_preview(services: Services, caller: Caller, job: PreviewJob) -> Preview:
    """Return the preview that this process has shown before if nothing has changed since, or build it."""
    previews = services.recent_previews
    state = await run_in_threadpool(previews.load_state, job)
    preview = await run_in_threadpool(previews.show_again, job, state)
    if preview is None:
        preview = await build_preview(services, caller, job)
        previews.store(state, preview)
    return preview


async def await_preview(
    client: Client, task_queue: str, preview_input: PreviewJob, *, execution_timeout: timedelta = _TIMEOUT
) -> None:
    """Run the preview workflow; the worker stores the preview in PostgreSQL before this returns."""
    try:
        await client.execute_workflow(
            PREVIEW_EXPORT,
            preview_input,
            id=preview_input.workflow_id,
            task_queue=task_queue,
            execution_timeout=execution_timeout,
            static_summary=f"Preview of an export for {preview_input.request.org_id}",
            priority=Priority(priority_key=1, fairness_key=preview_input.request.org_id),
        )
    except WorkflowFailureError as error:
        raise _domain_error_from(error) from None
    except (RPCError, RuntimeError):
        raise ServiceUnavailableError("Temporal") from None


def _domain_error_from(error: WorkflowFailureError) -> Exception:
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
