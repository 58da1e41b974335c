"""The single button as a function: press it, wait, and hold the result in your hand."""

import contextlib
from datetime import UTC, datetime
from functools import partial

from fastapi.concurrency import run_in_threadpool
from temporalio.client import Client, WorkflowFailureError

from api.auth import Identity, identify
from stafett.database.session import Database
from stafett.database.tables import Export
from stafett.domain.export import (
    DownloadArtifact,
    ExportFailure,
    ExportRequest,
    ExportSuccess,
    PartialFailureReport,
)
from stafett.domain.export_outputs import ReportFile
from stafett.domain.export_status import ExportErrorCode
from stafett.domain.membership import Caller
from stafett.export_jobs import ExportJobs, job_of
from stafett.file_storage import FileStorage
from stafett.temporal import start_export


class TemporalExportOrchestrator:
    """The domain's ``ExportOrchestrator``: all of its state is in PostgreSQL, none in here."""

    def __init__(self, database: Database, storage: FileStorage, client: Client, task_queue: str) -> None:
        self._database = database
        self._jobs = ExportJobs(database)
        self._storage = storage
        self._client = client
        self._task_queue = task_queue

    async def export(self, request: ExportRequest) -> ExportSuccess | ExportFailure:
        identity = Identity(user_id=request.requesting_user_id, org_id=request.org_id)
        caller = await run_in_threadpool(identify, self._database, identity)
        accepted = await run_in_threadpool(self._jobs.accept, caller, request)
        run = await start_export(self._client, job_of(accepted.export), self._task_queue)
        with contextlib.suppress(WorkflowFailureError):  # what went wrong is written down with the rest of the story
            await run.result()
        return await run_in_threadpool(self._result, caller, accepted.export)

    def _result(self, caller: Caller, accepted: Export) -> ExportSuccess | ExportFailure:
        export, _ = self._jobs.find(caller, accepted.id)
        ended_at = export.completed_at or datetime.now(UTC)
        if export.error is not None:
            code = ExportErrorCode(export.error["code"])
            message = export.error["message"]
            return ExportFailure(audit_id=export.audit_id, error_code=code, message=message, failed_at=ended_at)
        file = ReportFile.model_validate(export.file) if export.file else None
        return ExportSuccess(
            audit_id=export.audit_id,
            row_count=file.rows if file else 0,
            download_artifact=self._artifact(file) if file else None,
            download_url=self._storage.link(file.key, file.name, datetime.now(UTC))[0] if file else None,
            partial_failures=tuple(PartialFailureReport.model_validate(failure) for failure in export.partial_failures),
            completed_at=ended_at,
        )

    def _artifact(self, file: ReportFile) -> DownloadArtifact:
        fetch = partial(self._storage.open, file.key)
        return DownloadArtifact.fetched_by(fetch, file_name=file.name, mime_type=file.mime_type, size=file.size_bytes)
