"""The stage ``generating_file``: renders the mapped parts into one file in storage."""

from collections.abc import Iterable, Iterator
from contextlib import closing
from functools import partial

import polars as pl

from stafett.activity_frames import frame_from_arrow
from stafett.column_mapper.cells import TEXT_TRUNCATED_CODE
from stafett.column_mapper.versions import MappingVersions
from stafett.domain.export import ExportFormat, ExportParameters
from stafett.domain.export_job import ExportJob
from stafett.domain.export_outputs import MappedRows, ReportFile, StagedPart
from stafett.domain.thread_progress import map_concurrently
from stafett.exports.deviations import iterate_deviations
from stafett.exports.stage_inputs import StageInputs
from stafett.exports.stage_runner import StageContext
from stafett.file_generator.content_hash import ContentHash
from stafett.file_generator.csv import render_csv
from stafett.file_generator.xlsx import WorkbookSpec, render_workbook
from stafett.storage.files import FileStorage


class FileGenerationStage:
    """Renders the mapped parts in report order, streaming into storage."""

    def __init__(self, storage: FileStorage, mappings: MappingVersions) -> None:
        self._storage = storage
        self._mappings = mappings

    def __call__(self, job: ExportJob, context: StageContext) -> ReportFile:
        parameters, mapped = context.inputs.parameters, context.inputs.mapped_rows
        name, content = build_report_name(job.org_id, parameters), ContentHash()
        load_frame = partial(self._load_and_hash_frame, content)
        with closing(map_concurrently(load_frame, mapped.parts)) as frames:
            report_frames = _report_progress(frames, mapped, context)
            chunks = self._render(job, context.inputs, mapped, report_frames)
            stored = context.put_file(name, chunks, parameters.export_format.mime_type)
        return ReportFile(
            name=name,
            mime_type=parameters.export_format.mime_type,
            size_bytes=stored.size_bytes,
            sha256=stored.sha256,
            content_sha256=content.hexdigest(),
            key=stored.key,
            rows=mapped.rows,
        )

    def _render(
        self,
        job: ExportJob,
        inputs: StageInputs,
        mapped_rows: MappedRows,
        report_frames: Iterable[pl.DataFrame],
    ) -> Iterator[bytes]:
        parameters = inputs.parameters
        match parameters.export_format:
            case ExportFormat.CSV:
                return render_csv(report_frames, parameters.csv_profile)
            case ExportFormat.XLSX:
                workbook = WorkbookSpec(
                    document=self._mappings.load_document(job.org_id, mapped_rows.mapping),
                    locale=parameters.locale,
                    organisation_name=inputs.queried_rows.organisation_name,
                    period=job.date_range,
                    mapped_rows=_exclude_truncation_failures(mapped_rows),
                )
                return render_workbook(
                    workbook,
                    report_frames=report_frames,
                    excluded_frames=map(self._load_frame, mapped_rows.excluded_parts),
                    deviation_frames=iterate_deviations(self._storage, mapped_rows.deviations),
                )

    def _load_and_hash_frame(self, content: ContentHash, part: StagedPart) -> pl.DataFrame:
        return content.hash_frame(self._load_frame(part))

    def _load_frame(self, part: StagedPart) -> pl.DataFrame:
        return frame_from_arrow(self._storage.read_part(part))


def _report_progress(
    frames: Iterator[pl.DataFrame], mapped_rows: MappedRows, context: StageContext
) -> Iterator[pl.DataFrame]:
    """Yield one frame at a time; none is referenced here while the next one is loaded."""
    done = 0
    for part in mapped_rows.parts:
        yield next(frames)
        done += part.rows
        context.report_progress(done, mapped_rows.rows)


def _exclude_truncation_failures(mapped_rows: MappedRows) -> MappedRows:
    """Leave out truncation failures, because the workbook lists the truncated cells itself."""
    failures = tuple(failure for failure in mapped_rows.partial_failures if failure.code != TEXT_TRUNCATED_CODE)
    return mapped_rows.model_copy(update={"partial_failures": failures})


def build_report_name(org_id: str, parameters: ExportParameters) -> str:
    """Build a file name that depends on the request only."""
    period = parameters.reporting_period
    return f"{org_id}-bufdir-{period.first_day}-{period.last_day}.{ExportFormat(parameters.export_format)}"
