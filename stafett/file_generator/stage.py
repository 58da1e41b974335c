"""The stages ``generating_file`` and ``storing_file``: mapped parts to one object, and the object made sure of."""

import hashlib
from collections.abc import Iterator

import polars as pl

from stafett.activity_rows import from_arrow
from stafett.domain.errors import LostInStorageError, NotFoundError
from stafett.domain.export import ExportFormat, ExportParameters
from stafett.domain.export_job import ExportJob
from stafett.domain.export_outputs import MappedRows, ReportFile
from stafett.domain.export_status import ExportStatus
from stafett.export_record import ExportRecord
from stafett.export_stages import Workbench
from stafett.file_generator.content_hash import ContentHash
from stafett.file_generator.csv import csv_chunks
from stafett.file_storage import FileStorage


class FileGeneration:
    """Renders the mapped parts, in order, straight into storage."""

    def __init__(self, record: ExportRecord, storage: FileStorage) -> None:
        self._record = record
        self._storage = storage

    def __call__(self, job: ExportJob, bench: Workbench) -> ReportFile:
        asked = self._record.parameters(job)
        mapped = self._record.outputs(job, ExportStatus.MAPPING_COLUMNS, MappedRows)
        name, content = report_name(job.org_id, asked), ContentHash()
        frames = content.seen(self._frames(mapped, bench))
        stored = bench.put_file(name, csv_chunks(frames, asked.csv_profile), asked.export_format.mime_type)
        return ReportFile(
            name=name,
            mime_type=asked.export_format.mime_type,
            size_bytes=stored.size_bytes,
            sha256=stored.sha256,
            content_sha256=content.hexdigest(),
            key=stored.key,
            rows=mapped.rows,
        )

    def _frames(self, mapped: MappedRows, bench: Workbench) -> Iterator[pl.DataFrame]:
        done = 0
        for part in mapped.parts:
            yield from_arrow(self._storage.read_part(part))
            done += part.rows
            bench.progress(done, mapped.rows)


class FileRegistration:
    """Reads the object back and holds it against what was written, before anybody is told of it."""

    def __init__(self, record: ExportRecord, storage: FileStorage) -> None:
        self._record = record
        self._storage = storage

    def __call__(self, job: ExportJob, bench: Workbench) -> ReportFile:
        file = self._record.outputs(job, ExportStatus.GENERATING_FILE, ReportFile)
        found, read = hashlib.sha256(), 0
        try:
            for block in self._storage.chunks(file.key):
                found.update(block)
                read += len(block)
                bench.progress(file.rows * read // file.size_bytes, file.rows)
        except NotFoundError:
            raise LostInStorageError from None
        if found.hexdigest() != file.sha256:
            raise LostInStorageError
        return file


def report_name(org_id: str, asked: ExportParameters) -> str:
    """A name that depends on what was asked for alone."""
    period = asked.reporting_period
    return f"{org_id}-bufdir-{period.first_day}-{period.last_day}.{ExportFormat(asked.export_format)}"
