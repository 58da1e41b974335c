"""The stages ``generating_file`` and ``storing_file``: mapped parts to one object, and the object made sure of."""

from collections.abc import Iterable, Iterator

import polars as pl

from stafett.activity_frames import frame_from_arrow
from stafett.column_mapper.cells import CUT_IN_A_WORKBOOK
from stafett.column_mapper.versions import MappingsInUse
from stafett.domain.export import ExportFormat, ExportParameters
from stafett.domain.export_job import ExportJob
from stafett.domain.export_outputs import MappedRows, ReportFile, StagedPart
from stafett.exports.stage_runner import StageContext
from stafett.exports.stage_store import StageStore
from stafett.file_generator.content_hash import ContentHash
from stafett.file_generator.csv import csv_chunks
from stafett.file_generator.xlsx import Workbook, workbook_chunks
from stafett.storage.files import FileStorage


class FileGeneration:
    """Renders the mapped parts, in order, straight into storage."""

    def __init__(self, record: StageStore, storage: FileStorage, mappings: MappingsInUse) -> None:
        self._record = record
        self._storage = storage
        self._mappings = mappings

    def __call__(self, job: ExportJob, bench: StageContext) -> ReportFile:
        asked = self._record.load_parameters(job)
        mapped = self._record.load_mapped_rows(job)
        name, content = report_name(job.org_id, asked), ContentHash()
        report = content.seen(self._frames(mapped.parts, mapped.rows, bench))
        chunks = self._rendered(job, asked, mapped, report)
        stored = bench.put_file(name, chunks, asked.export_format.mime_type)
        return ReportFile(
            name=name,
            mime_type=asked.export_format.mime_type,
            size_bytes=stored.size_bytes,
            sha256=stored.sha256,
            content_sha256=content.hexdigest(),
            key=stored.key,
            rows=mapped.rows,
        )

    def _rendered(
        self, job: ExportJob, asked: ExportParameters, mapped: MappedRows, report: Iterable[pl.DataFrame]
    ) -> Iterator[bytes]:
        match asked.export_format:
            case ExportFormat.CSV:
                return csv_chunks(report, asked.csv_profile)
            case ExportFormat.XLSX:
                workbook = Workbook(
                    document=self._mappings.document(job.org_id, mapped.mapping.version),
                    locale=asked.locale,
                    organisation=self._record.load_organisation_name(job),
                    period=job.date_range,
                    mapped=_without_what_the_writer_tells(mapped),
                )
                return workbook_chunks(workbook, report=report, apart=map(self._frame, mapped.excluded_parts))

    def _frames(self, parts: Iterable[StagedPart], rows: int, bench: StageContext) -> Iterator[pl.DataFrame]:
        """One at a time: nothing here holds a frame while the next is made."""
        done = 0
        for part in parts:
            yield self._frame(part)
            done += part.rows
            bench.report_progress(done, rows)

    def _frame(self, part: StagedPart) -> pl.DataFrame:
        return frame_from_arrow(self._storage.read_part(part))


def _without_what_the_writer_tells(mapped: MappedRows) -> MappedRows:
    """The workbook names the very cells that it cut."""
    failures = tuple(failure for failure in mapped.partial_failures if failure.code != CUT_IN_A_WORKBOOK)
    return mapped.model_copy(update={"partial_failures": failures})


def report_name(org_id: str, asked: ExportParameters) -> str:
    """A name that depends on what was asked for alone."""
    period = asked.reporting_period
    return f"{org_id}-bufdir-{period.first_day}-{period.last_day}.{ExportFormat(asked.export_format)}"
