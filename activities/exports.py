"""The stages and the outcome of an export as activities."""

from collections.abc import Mapping
from contextlib import suppress

from temporalio import activity

from stafett.domain.errors import ServiceUnavailableError
from stafett.domain.export_job import ExportJob, ExportOutcome, RecordFailureInput, StageResult
from stafett.domain.export_status import ExportStatus
from stafett.exports.completion import ExportCompletion
from stafett.exports.stage_runner import Stage, StageRunner
from stafett.exports.stored_objects import delete_objects_up_to_attempt
from stafett.storage.files import FileStorage


class ExportStageActivities:
    """The stages of an export; a stage whose outputs are already committed is not run again."""

    def __init__(self, stage_runner: StageRunner, stages: Mapping[ExportStatus, Stage]) -> None:
        self._stage_runner = stage_runner
        self._stages = stages

    @activity.defn(no_thread_cancel_exception=True)
    def query_activities(self, job: ExportJob) -> StageResult:
        """The requirements' ``bufdir-activity-query-service``."""
        return self._run(job, ExportStatus.QUERYING_ACTIVITIES)

    @activity.defn(no_thread_cancel_exception=True)
    def map_columns(self, job: ExportJob) -> StageResult:
        """The requirements' ``bufdir-column-mapper``."""
        return self._run(job, ExportStatus.MAPPING_COLUMNS)

    @activity.defn(no_thread_cancel_exception=True)
    def generate_file(self, job: ExportJob) -> StageResult:
        """The requirements' ``bufdir-file-generator``."""
        return self._run(job, ExportStatus.GENERATING_FILE)

    @activity.defn(no_thread_cancel_exception=True)
    def bundle_attachments(self, job: ExportJob) -> StageResult:
        """The requirements' ``bufdir-attachment-bundler``."""
        return self._run(job, ExportStatus.BUNDLING_ATTACHMENTS)

    @activity.defn(no_thread_cancel_exception=True)
    def store_file(self, job: ExportJob) -> StageResult:
        """Verify the stored file before the export completes."""
        return self._run(job, ExportStatus.STORING_FILE)

    def _run(self, job: ExportJob, stage: ExportStatus) -> StageResult:
        return self._stage_runner.run(job, stage, self._stages[stage])


class ExportOutcomeActivities:
    """The requirements' ``bufdir-export-audit-service``: records the outcome of an export."""

    def __init__(self, stage_runner: StageRunner, completion: ExportCompletion, storage: FileStorage) -> None:
        self._stage_runner = stage_runner
        self._completion = completion
        self._storage = storage

    @activity.defn(no_thread_cancel_exception=True)
    def record_completion(self, job: ExportJob) -> ExportOutcome:
        return self._stage_runner.run_final(job, self._completion.complete)

    @activity.defn(no_thread_cancel_exception=True)
    def record_empty_completion(self, job: ExportJob) -> ExportOutcome:
        return self._completion.complete_empty(job)

    @activity.defn(no_thread_cancel_exception=True)
    def record_failure(self, failure: RecordFailureInput) -> ExportOutcome:
        return self._completion.fail(failure)

    @activity.defn(no_thread_cancel_exception=True)
    def record_cancellation(self, job: ExportJob) -> ExportOutcome:
        """Delete the objects before the export is recorded as cancelled; without S3, retention deletes them."""
        if not self._completion.begin_cancel(job):
            return self._completion.load_outcome(job)
        with suppress(ServiceUnavailableError):
            delete_objects_up_to_attempt(self._storage, job)
        return self._completion.finish_cancel(job)

    @activity.defn(no_thread_cancel_exception=True)
    def read_outcome(self, job: ExportJob) -> ExportOutcome:
        return self._completion.load_outcome(job)
