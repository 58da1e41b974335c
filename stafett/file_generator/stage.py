"""The stages ``generating_file`` and ``storing_file``: mapped parts to one object, and the object made sure of."""

import hashlib
import io
from collections.abc import Iterator
from contextlib import closing

import polars as pl

from stafett.domain.errors import ExportError, NotFoundError
from stafett.domain.export import ExportFormat, ExportParameters
from stafett.domain.export_job import ExportJob
from stafett.domain.export_outputs import MappedRows, ReportFile
from stafett.domain.export_status import ExportErrorCode, ExportStatus
from stafett.export_stages import ExportStages, Workbench
from stafett.file_generator.csv import csv_chunks
from stafett.file_storage import FileStorage

_BLOCK = 1024 * 1024


class FileGeneration:
    """Renders the mapped parts, in order, straight into storage."""

    def __init__(self, stages: ExportStages, storage: FileStorage) -> None:
        self._stages = stages
        self._storage = storage

    def __call__(self, job: ExportJob, bench: Workbench) -> ReportFile:
        asked = self._stages.parameters(job)
        mapped = self._stages.outputs(job, ExportStatus.MAPPING_COLUMNS, MappedRows)
        name, content = report_name(job.org_id, asked), hashlib.sha256()
        stored = bench.put_file(
            name, csv_chunks(self._frames(mapped, bench, content), asked.csv_profile), asked.export_format.mime_type
        )
        return ReportFile(
            name=name,
            mime_type=asked.export_format.mime_type,
            size_bytes=stored.size_bytes,
            sha256=stored.sha256,
            content_sha256=content.hexdigest(),
            key=stored.key,
            rows=mapped.rows,
        )

    def _frames(self, mapped: MappedRows, bench: Workbench, content: "hashlib._Hash") -> Iterator[pl.DataFrame]:
        done = 0
        for part in mapped.parts:
            frame = pl.read_ipc(io.BytesIO(self._storage.read_part(part)))
            content.update(frame.write_ndjson().encode())
            yield frame
            done += part.rows
            bench.progress(done, mapped.rows)


class FileRegistration:
    """Reads the object back and holds it against what was written, before anybody is told of it."""

    def __init__(self, stages: ExportStages, storage: FileStorage) -> None:
        self._stages = stages
        self._storage = storage

    def __call__(self, job: ExportJob, bench: Workbench) -> ReportFile:
        file = self._stages.outputs(job, ExportStatus.GENERATING_FILE, ReportFile)
        found = hashlib.sha256()
        try:
            with closing(self._storage.open(file.key)) as stream:
                while block := stream.read(_BLOCK):
                    found.update(block)
        except NotFoundError:
            raise ExportError(ExportErrorCode.STORAGE_UNAVAILABLE, "The generated file is gone from storage.") from None
        if found.hexdigest() != file.sha256:
            raise ExportError(ExportErrorCode.STORAGE_UNAVAILABLE, "Storage gave back another file than was written.")
        bench.progress(file.rows, file.rows)
        return file


def report_name(org_id: str, asked: ExportParameters) -> str:
    """A name that depends on what was asked for alone."""
    period = asked.reporting_period
    return f"{org_id}-bufdir-{period.first_day}-{period.last_day}.{ExportFormat(asked.export_format)}"
