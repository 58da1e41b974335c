"""The domain's ``ExportOrchestrator`` on top of Temporal: start an export, await it and return its result."""

import asyncio
import contextlib
from datetime import UTC, datetime
from functools import partial
from typing import assert_never
from uuid import UUID

from fastapi.concurrency import run_in_threadpool
from temporalio.client import Client, WorkflowFailureError
from temporalio.service import RPCError

from api.auth import Identity
from api.callers import load_caller
from api.schemas.exports import JobError
from stafett.database.session import Database
from stafett.database.tables import Export
from stafett.domain.errors import ServiceUnavailableError
from stafett.domain.export import (
    DownloadArtifact,
    ExportFailure,
    ExportRequest,
    ExportSuccess,
)
from stafett.domain.export_job import ExportJob
from stafett.domain.export_outputs import ReportFile
from stafett.domain.export_status import ExportErrorCode, ExportStatus
from stafett.domain.membership import Caller
from stafett.exports.downloads import ExportDownloads
from stafett.exports.service import ExportDetails, ExportService
from stafett.storage.files import FileStorage
from stafett.temporal.client import start_job

_CANCELLED_MESSAGE = "The export was cancelled."
_INTERRUPTED_MESSAGE = "The export was interrupted. It can be retried."


class TemporalExportOrchestrator:
    """An ``ExportOrchestrator`` without state of its own: all state is in PostgreSQL."""

    def __init__(
        self,
        database: Database,
        storage: FileStorage,
        client: Client,
        task_queue: str,
        *,
        poll_interval_seconds: float = 1.0,
    ) -> None:
        self._poll_interval_seconds = poll_interval_seconds
        self._database = database
        self._exports = ExportService(database)
        self._downloads = ExportDownloads(database, storage)
        self._client = client
        self._task_queue = task_queue

    async def export(self, request: ExportRequest) -> ExportSuccess | ExportFailure:
        """Run an export and return its outcome; after acceptance, an outage delays the outcome but does not fail it."""
        identity = Identity(user_id=request.requesting_user_id, org_id=request.org_id)
        caller = await run_in_threadpool(load_caller, self._database, identity)
        accepted = await run_in_threadpool(self._exports.accept, caller, request)
        is_finished = await self._await_run(accepted.export.job)
        details = await self._await_final_details(caller, accepted.export.id, is_finished=is_finished)
        return await run_in_threadpool(self._build_result, caller, details)

    async def _await_run(self, job: ExportJob) -> bool:
        """Await the run; return whether it is known to have ended. Its failure is recorded in the export's row."""
        try:
            run = await start_job(self._client, job, self._task_queue)
            await run.result()
        except WorkflowFailureError:
            return True
        except (RPCError, RuntimeError):
            return False
        return True

    async def _await_final_details(self, caller: Caller, export_id: UUID, *, is_finished: bool) -> ExportDetails:
        """Poll until the export is final. The sweeper starts a run that this process could not start."""
        while True:
            with contextlib.suppress(ServiceUnavailableError):
                details = await run_in_threadpool(self._exports.find, caller, export_id)
                if is_finished or details.export.status.is_final:
                    return details
            await asyncio.sleep(self._poll_interval_seconds)

    def _build_result(self, caller: Caller, details: ExportDetails) -> ExportSuccess | ExportFailure:
        export = details.export
        match export.status:
            case ExportStatus.COMPLETED | ExportStatus.COMPLETED_EMPTY:
                return self._build_success(caller, details)
            case ExportStatus.FAILED:
                error = JobError.model_validate(export.error)
                return _build_failure(export, error.code, error.message)
            case ExportStatus.CANCELLING | ExportStatus.CANCELLED:
                return _build_failure(export, ExportErrorCode.CANCELLED, _CANCELLED_MESSAGE)
            case (
                ExportStatus.INITIALISED
                | ExportStatus.QUERYING_ACTIVITIES
                | ExportStatus.MAPPING_COLUMNS
                | ExportStatus.GENERATING_FILE
                | ExportStatus.BUNDLING_ATTACHMENTS
                | ExportStatus.STORING_FILE
                | ExportStatus.RECORDING_AUDIT
            ):
                return _build_failure(export, ExportErrorCode.INTERNAL, _INTERRUPTED_MESSAGE)
            case _:
                assert_never(export.status)

    def _build_success(self, caller: Caller, details: ExportDetails) -> ExportSuccess:
        export = details.export
        file = ReportFile.model_validate(export.file) if export.file else None
        if link := self._downloads.get_link(caller, export, datetime.now(UTC)):
            self._downloads.record_link_issued(caller, export, link)
        return ExportSuccess(
            audit_id=export.audit_id,
            row_count=file.rows if file else 0,
            download_artifact=self._build_artifact(caller, export, file) if file else None,
            download_url=link.url if link else None,
            partial_failures=tuple(details.partial_failures),
            completed_at=_finished_at(export),
        )

    def _build_artifact(self, caller: Caller, export: Export, file: ReportFile) -> DownloadArtifact:
        fetch = partial(self._downloads.open_file, caller, export)
        return DownloadArtifact.from_fetcher(fetch, file_name=file.name, mime_type=file.mime_type, size=file.size_bytes)


def _build_failure(export: Export, code: ExportErrorCode, message: str) -> ExportFailure:
    return ExportFailure(audit_id=export.audit_id, error_code=code, message=message, failed_at=_finished_at(export))


def _finished_at(export: Export) -> datetime:
    return export.completed_at or datetime.now(UTC)
