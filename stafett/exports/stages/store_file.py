"""The stage ``storing_file``: reads the file back from storage and verifies its hash."""

import hashlib

from stafett.domain.errors import NotFoundError, StagedDataLostError
from stafett.domain.export_job import ExportJob
from stafett.domain.export_outputs import BundledFile, ReportFile
from stafett.domain.export_status import ExportStatus
from stafett.exports.stage_inputs import StageInputs
from stafett.exports.stage_runner import StageContext
from stafett.storage.files import FileStorage


class FileVerificationStage:
    """Verifies the stored file before the export completes and its user is notified."""

    def __init__(self, storage: FileStorage) -> None:
        self._storage = storage

    def __call__(self, job: ExportJob, context: StageContext) -> ReportFile:
        file = _get_finished_file(job, context.inputs)
        digest, read = hashlib.sha256(), 0
        try:
            for block in self._storage.read_chunks(file.key):
                digest.update(block)
                read += len(block)
                context.report_progress(file.rows * read // file.size_bytes, file.rows)
        except NotFoundError:
            raise StagedDataLostError from None
        if digest.hexdigest() != file.sha256:
            raise StagedDataLostError
        return file


def _get_finished_file(job: ExportJob, inputs: StageInputs) -> ReportFile:
    if job.include_attachments:
        return inputs.get_outputs(ExportStatus.BUNDLING_ATTACHMENTS, BundledFile).file
    return inputs.report
