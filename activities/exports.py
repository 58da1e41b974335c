"""The stages of an export as activities."""

from temporalio import activity

from stafett.domain.export_job import ExportJob, ExportOutcome, RecordFailureInput, StageResult
from stafett.domain.export_status import ExportStatus
from stafett.exports.completion import ExportCompletion
from stafett.exports.stage_runner import StageRunner
from stafett.exports.stages.bundle_attachments import AttachmentBundler
from stafett.exports.stages.generate_file import FileGeneration
from stafett.exports.stages.map_columns import ColumnMapper
from stafett.exports.stages.store_file import FileVerificationStage
from stafett.reports.snapshot_copy import SnapshotCopy
from stafett.storage.files import FileStorage


class ActivityQueryActivities:
    """The requirements' ``bufdir-activity-query-service``."""

    def __init__(self, stage_runner: StageRunner, query: SnapshotCopy) -> None:
        self._stage_runner = stage_runner
        self._query = query

    @activity.defn(no_thread_cancel_exception=True)
    def query_activities(self, job: ExportJob) -> StageResult:
        return self._stage_runner.run(job, ExportStatus.QUERYING_ACTIVITIES, self._query)


class ColumnMappingActivities:
    """The requirements' ``bufdir-column-mapper``."""

    def __init__(self, stage_runner: StageRunner, mapping: ColumnMapper) -> None:
        self._stage_runner = stage_runner
        self._mapping = mapping

    @activity.defn(no_thread_cancel_exception=True)
    def map_columns(self, job: ExportJob) -> StageResult:
        return self._stage_runner.run(job, ExportStatus.MAPPING_COLUMNS, self._mapping)


class FileGenerationActivities:
    """The requirements' ``bufdir-file-generator``."""

    def __init__(self, stage_runner: StageRunner, generation: FileGeneration) -> None:
        self._stage_runner = stage_runner
        self._generation = generation

    @activity.defn(no_thread_cancel_exception=True)
    def generate_file(self, job: ExportJob) -> StageResult:
        return self._stage_runner.run(job, ExportStatus.GENERATING_FILE, self._generation)


class AttachmentBundlingActivities:
    """The requirements' ``bufdir-attachment-bundler``."""

    def __init__(self, stage_runner: StageRunner, bundler: AttachmentBundler) -> None:
        self._stage_runner = stage_runner
        self._bundler = bundler

    @activity.defn(no_thread_cancel_exception=True)
    def bundle_attachments(self, job: ExportJob) -> StageResult:
        return self._stage_runner.run(job, ExportStatus.BUNDLING_ATTACHMENTS, self._bundler)


class FileStorageActivities:
    """Makes sure of the file before anybody is told of it."""

    def __init__(self, stage_runner: StageRunner, verification: FileVerificationStage) -> None:
        self._stage_runner = stage_runner
        self._verification = verification

    @activity.defn(no_thread_cancel_exception=True)
    def store_file(self, job: ExportJob) -> StageResult:
        return self._stage_runner.run(job, ExportStatus.STORING_FILE, self._verification)


class ExportOutcomeActivities:
    """The requirements' ``bufdir-export-audit-service``: how an export ended, for good."""

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
    def record_failure(self, failure: RecordFailureInput) -> None:
        self._completion.fail(failure)

    @activity.defn(no_thread_cancel_exception=True)
    def record_cancellation(self, job: ExportJob) -> ExportOutcome:
        """Nothing of it is left in storage when it is said to be cancelled."""
        if not self._completion.begin_cancel(job):
            return self._completion.load_outcome(job)
        self._storage.delete_prefix(job.key_prefix)
        return self._completion.finish_cancel(job)

    @activity.defn(no_thread_cancel_exception=True)
    def read_outcome(self, job: ExportJob) -> ExportOutcome:
        return self._completion.load_outcome(job)
