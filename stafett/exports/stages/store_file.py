"""The stage ``storing_file``: the object is read back and verified against its hash."""

import hashlib

from stafett.domain.errors import NotFoundError, StagedDataLostError
from stafett.domain.export_job import ExportJob
from stafett.domain.export_outputs import BundledFile, ReportFile
from stafett.domain.export_status import ExportStatus
from stafett.exports.stage_runner import StageContext
from stafett.exports.stage_store import StageStore
from stafett.storage.files import FileStorage


class FileRegistration:
    """Reads the object back and holds it against what was written, before anybody is told of it."""

    def __init__(self, record: StageStore, storage: FileStorage) -> None:
        self._record = record
        self._storage = storage

    def __call__(self, job: ExportJob, bench: StageContext) -> ReportFile:
        file = self._finished(job)
        found, read = hashlib.sha256(), 0
        try:
            for block in self._storage.chunks(file.key):
                found.update(block)
                read += len(block)
                bench.report_progress(file.rows * read // file.size_bytes, file.rows)
        except NotFoundError:
            raise StagedDataLostError from None
        if found.hexdigest() != file.sha256:
            raise StagedDataLostError
        return file

    def _finished(self, job: ExportJob) -> ReportFile:
        if job.include_attachments:
            return self._record.load_outputs(job, ExportStatus.BUNDLING_ATTACHMENTS, BundledFile).file
        return self._record.load_outputs(job, ExportStatus.GENERATING_FILE, ReportFile)
