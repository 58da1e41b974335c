"""The stages of an export as activities."""

from temporalio import activity

from stafett.domain.export_job import ExportJob, ExportOutcome, RecordFailureInput, StageResult
from stafett.domain.export_status import ExportStatus
from stafett.exports.completion import ExportEndings
from stafett.exports.stage_runner import ExportStages
from stafett.exports.stages.bundle_attachments import AttachmentBundler
from stafett.exports.stages.generate_file import FileGeneration
from stafett.exports.stages.map_columns import ColumnMapper
from stafett.exports.stages.store_file import FileRegistration
from stafett.reports.snapshot_copy import SnapshotRepetition
from stafett.storage.files import FileStorage


class ActivityQueryActivities:
    """The requirements' ``bufdir-activity-query-service``."""

    def __init__(self, stages: ExportStages, query: SnapshotRepetition) -> None:
        self._stages = stages
        self._query = query

    @activity.defn(no_thread_cancel_exception=True)
    def query_activities(self, job: ExportJob) -> StageResult:
        return self._stages.perform(job, ExportStatus.QUERYING_ACTIVITIES, self._query)


class ColumnMappingActivities:
    """The requirements' ``bufdir-column-mapper``."""

    def __init__(self, stages: ExportStages, mapping: ColumnMapper) -> None:
        self._stages = stages
        self._mapping = mapping

    @activity.defn(no_thread_cancel_exception=True)
    def map_columns(self, job: ExportJob) -> StageResult:
        return self._stages.perform(job, ExportStatus.MAPPING_COLUMNS, self._mapping)


class FileGenerationActivities:
    """The requirements' ``bufdir-file-generator``."""

    def __init__(self, stages: ExportStages, generation: FileGeneration) -> None:
        self._stages = stages
        self._generation = generation

    @activity.defn(no_thread_cancel_exception=True)
    def generate_file(self, job: ExportJob) -> StageResult:
        return self._stages.perform(job, ExportStatus.GENERATING_FILE, self._generation)


class AttachmentBundlingActivities:
    """The requirements' ``bufdir-attachment-bundler``."""

    def __init__(self, stages: ExportStages, bundler: AttachmentBundler) -> None:
        self._stages = stages
        self._bundler = bundler

    @activity.defn(no_thread_cancel_exception=True)
    def bundle_attachments(self, job: ExportJob) -> StageResult:
        return self._stages.perform(job, ExportStatus.BUNDLING_ATTACHMENTS, self._bundler)


class FileStorageActivities:
    """Makes sure of the file before anybody is told of it."""

    def __init__(self, stages: ExportStages, registration: FileRegistration) -> None:
        self._stages = stages
        self._registration = registration

    @activity.defn(no_thread_cancel_exception=True)
    def store_file(self, job: ExportJob) -> StageResult:
        return self._stages.perform(job, ExportStatus.STORING_FILE, self._registration)


class ExportAuditActivities:
    """The requirements' ``bufdir-export-audit-service``: how an export ended, for good."""

    def __init__(self, stages: ExportStages, endings: ExportEndings, storage: FileStorage) -> None:
        self._stages = stages
        self._endings = endings
        self._storage = storage

    @activity.defn(no_thread_cancel_exception=True)
    def record_completion(self, job: ExportJob) -> ExportOutcome:
        return self._stages.conclude(job, self._endings.complete)

    @activity.defn(no_thread_cancel_exception=True)
    def record_empty(self, job: ExportJob) -> ExportOutcome:
        return self._endings.complete_empty(job)

    @activity.defn(no_thread_cancel_exception=True)
    def record_failure(self, failing: RecordFailureInput) -> None:
        self._endings.fail(failing)

    @activity.defn(no_thread_cancel_exception=True)
    def record_cancellation(self, job: ExportJob) -> ExportOutcome:
        """Nothing of it is left in storage when it is said to be cancelled."""
        if not self._endings.cancel(job):
            return self._endings.end_of(job)
        self._storage.remove_below(job.key_prefix)
        return self._endings.cancelled(job)

    @activity.defn(no_thread_cancel_exception=True)
    def read_end(self, job: ExportJob) -> ExportOutcome:
        return self._endings.end_of(job)
