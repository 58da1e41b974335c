"""The stage ``mapping_columns``: maps the snapshot part by part to the organisation's columns."""

from collections.abc import Iterable, Iterator, Mapping
from functools import partial

import polars as pl

from stafett.activity_frames import activities_from_arrow, arrow_from_frame
from stafett.column_mapper.cells import TEXT_TRUNCATED_CODE
from stafett.column_mapper.messages import MAPPING_CHANGED, REASON_HEADER, ROWS_NOT_IN_CSV, SHARED_EVENTS, format_date
from stafett.column_mapper.outcome import MappedSlice, MappingOutcome, PartOutcome
from stafett.column_mapper.program import MappedPart
from stafett.column_mapper.versions import MappingVersions
from stafett.domain.activity import SEVERAL_MENTORS_AT_ONE_EVENT
from stafett.domain.errors import StagedDataLostError, StaleAttemptError
from stafett.domain.export import ExportFormat, ExportParameters, Locale, PartialFailureReport
from stafett.domain.export_job import ExportJob
from stafett.domain.export_outputs import (
    Deviations,
    EffectiveMapping,
    ExportWarning,
    MappedRows,
    MappingVersion,
    QueriedRows,
    SheetStart,
    StagedDeviations,
    StagedPart,
)
from stafett.exports.mapped_parts import MappedPartStore, StoredPart
from stafett.exports.stage_runner import StageContext
from stafett.storage.files import FileStorage

_FIRST_CSV_ROW = 2
DEFAULT_MAX_MEMORY_BYTES = 512 * 1024 * 1024


class ColumnMappingStage:
    """Applies the organisation's mapping to the staged rows; reuses parts that an earlier execution has mapped."""

    def __init__(
        self,
        storage: FileStorage,
        mappings: MappingVersions,
        mapped_parts: MappedPartStore,
        *,
        max_memory_bytes: int = DEFAULT_MAX_MEMORY_BYTES,
    ) -> None:
        self._storage = storage
        self._mappings = mappings
        self._mapped_parts = mapped_parts
        self._max_memory_bytes = max_memory_bytes

    def __call__(self, job: ExportJob, context: StageContext) -> MappedRows:
        queried, parameters = context.inputs.queried_rows, context.inputs.parameters
        program = self._mappings.load_program(job.org_id, queried.mapping, parameters.locale)
        outcome = MappingOutcome(
            program,
            ignored_checks=ignored_checks(parameters.export_format),
            max_memory_bytes=self._max_memory_bytes,
        )
        parts = list(self._iterate_parts(job, context, queried, parameters, outcome))
        failures = outcome.partial_failures
        report_sheet, excluded_sheet = self._locate_sheets(job, parameters, queried.mapping)
        return MappedRows(
            parts=tuple(written for part in parts for written in part.written),
            excluded_parts=tuple(excluded for part in parts for excluded in part.excluded),
            counts=outcome.counts,
            not_countable=outcome.not_countable,
            totals=outcome.totals,
            warnings=tuple(collect_warnings(queried.mapping, parameters, outcome)),
            mapping=queried.mapping.mapping_version,
            partial_failures=PartialFailureReport.truncate(failures),
            partial_failure_count=len(failures),
            deviations=Deviations(
                parts=tuple(_collect_deviations(parts)),
                causes=outcome.deviation_causes,
                report_sheet=report_sheet,
                excluded_sheet=excluded_sheet,
            ),
        )

    def _locate_sheets(
        self, job: ExportJob, parameters: ExportParameters, mapping: MappingVersion
    ) -> tuple[SheetStart, SheetStart | None]:
        """Return where the rows of the report and the excluded rows begin; a CSV file has no excluded rows."""
        if parameters.export_format is ExportFormat.CSV:
            return SheetStart(name="", first_row=_FIRST_CSV_ROW), None
        layout = self._mappings.load_document(job.org_id, mapping).layout
        report_sheet, excluded_sheet = (
            SheetStart(name=name.in_locale(parameters.locale), first_row=layout.header_row + 1)
            for name in (layout.sheet, layout.apart_sheet)
        )
        return report_sheet, excluded_sheet

    def _iterate_parts(
        self,
        job: ExportJob,
        context: StageContext,
        queried: QueriedRows,
        parameters: ExportParameters,
        outcome: MappingOutcome,
    ) -> Iterator[StoredPart]:
        """Yield the parts in report order, storing each but the last one, which the stage commits itself."""
        fingerprint, last_number = self._mapped_parts.input_fingerprint(queried, parameters), len(queried.parts) - 1
        reusable_parts = self._load_reusable_parts(job, context, fingerprint) if last_number > 0 else {}
        done = sum(queried.parts[number].rows for number in reusable_parts)
        context.report_progress(done, queried.rows, force=bool(reusable_parts))
        for number, staged in enumerate(queried.parts):
            part = reusable_parts.get(number)
            if part is None:
                part = self._map_part(context, number, staged, parameters.locale, outcome)
                if number < last_number:
                    part = self._store_or_adopt(job, context, number, fingerprint, part)
                done += staged.rows
            outcome.add_part(part.outcome)
            context.report_progress(done, queried.rows)
            yield part

    def _load_reusable_parts(self, job: ExportJob, context: StageContext, fingerprint: str) -> Mapping[int, StoredPart]:
        """Load the parts of earlier executions that are intact in storage, and delete the damaged ones."""
        reusable_parts = {}
        for number, part in self._mapped_parts.load(job, fingerprint).items():
            if self._is_intact(part):
                reusable_parts[number] = part
            else:
                self._mapped_parts.delete_row(job, number, part)
                context.delete(part.keys)
        return reusable_parts

    def _is_intact(self, part: StoredPart) -> bool:
        try:
            for staged in part.parts:
                self._storage.read_part(staged)
        except StagedDataLostError:
            return False
        return True

    def _map_part(
        self, context: StageContext, number: int, staged: StagedPart, locale: Locale, outcome: MappingOutcome
    ) -> StoredPart:
        rows = activities_from_arrow(self._storage.read_part(staged))
        writer = _SliceWriter(context, number, locale)
        outcomes = list(map(writer.write, outcome.map_slices(rows)))
        return StoredPart(
            written=tuple(writer.written),
            excluded=tuple(writer.excluded),
            deviations=tuple(writer.deviations),
            outcome=outcome.combine_slices(outcomes),
        )

    def _store_or_adopt(
        self, job: ExportJob, context: StageContext, number: int, fingerprint: str, part: StoredPart
    ) -> StoredPart:
        """Store the part and return the valid one: this execution's, or that of another execution that was first.

        The objects remain if the commit's result is unknown, because it may refer to them.
        """
        context.protect(part.keys)
        try:
            first = self._mapped_parts.store(job, number, fingerprint, part)
        except StaleAttemptError:
            context.unprotect(part.keys)
            raise
        if first is None:
            context.unprotect(part.keys)
            return part
        if first.keys != part.keys:
            context.delete(part.keys)
        return first


def ignored_checks(export_format: ExportFormat) -> frozenset[str]:
    return frozenset() if export_format is ExportFormat.XLSX else frozenset({TEXT_TRUNCATED_CODE})


def collect_warnings(
    mapping: EffectiveMapping, parameters: ExportParameters, outcome: MappingOutcome
) -> Iterator[ExportWarning]:
    """Collect the warnings for the user who submits the report."""
    locale: Locale = parameters.locale
    for day in mapping.change_dates:
        message = MAPPING_CHANGED[locale].format(day=format_date(locale, day))
        yield ExportWarning(code="mapping_changed_in_period", message=message)
    if outcome.excluded_count and parameters.export_format is ExportFormat.CSV:
        message = ROWS_NOT_IN_CSV[locale].format(rows=outcome.excluded_count)
        yield ExportWarning(code="rows_listed_apart", message=message)
    rows, events = outcome.event_counts.shared_rows, outcome.event_counts.shared_events
    if events:
        message = SHARED_EVENTS[locale].format(rows=rows, events=events)
        yield ExportWarning(code=SEVERAL_MENTORS_AT_ONE_EVENT, message=message, rows=rows, events=events)


def _add_reason_column(part: MappedPart, locale: Locale) -> pl.DataFrame:
    """Append a column with the reason why each row is excluded; its header must differ from all others."""
    header = REASON_HEADER[locale]
    while header in part.excluded_rows.columns:
        header += "\N{NO-BREAK SPACE}"
    return part.excluded_rows.with_columns(part.exclusion_reasons.alias(header))


class _SliceWriter:
    """Stores the rows of a part slice by slice."""

    def __init__(self, context: StageContext, number: int, locale: Locale) -> None:
        self._context = context
        self._number = number
        self._locale = locale
        self._row_count = 0
        self.written: list[StagedPart] = []
        self.excluded: list[StagedPart] = []
        self.deviations: list[StagedDeviations] = []

    def write(self, mapped: MappedSlice) -> PartOutcome:
        write = partial(_write_rows, self._context, number=self._number, slice_number=len(self.written))
        counts_before = {
            "rows_before": self._row_count,
            "written_before": _count_rows(self.written),
            "excluded_before": _count_rows(self.excluded),
        }
        self.written.append(write("part", rows=mapped.part.report_rows))
        if mapped.part.excluded_rows.height:
            self.excluded.append(write("excluded", rows=_add_reason_column(mapped.part, self._locale)))
        if mapped.deviations.height:
            staged = write("deviations", rows=mapped.deviations)
            self.deviations.append(StagedDeviations(**staged.model_dump(), **counts_before))
        self._row_count += mapped.outcome.counts.queried
        return mapped.outcome


def _count_rows(parts: Iterable[StagedPart]) -> int:
    return sum(part.rows for part in parts)


def _collect_deviations(parts: Iterable[StoredPart]) -> Iterator[StagedDeviations]:
    """Yield the deviations of all parts, with the numbers of rows before them in the whole report."""
    rows = written = excluded = 0
    for part in parts:
        for staged in part.deviations:
            yield staged.model_copy(
                update={
                    "rows_before": rows + staged.rows_before,
                    "written_before": written + staged.written_before,
                    "excluded_before": excluded + staged.excluded_before,
                }
            )
        rows += part.outcome.counts.queried
        written += _count_rows(part.written)
        excluded += _count_rows(part.excluded)


def _write_rows(context: StageContext, name: str, *, number: int, slice_number: int, rows: pl.DataFrame) -> StagedPart:
    content = arrow_from_frame(rows)
    if slice_number == 0:
        return context.put_part(number, content, rows.height, name)
    return context.put_part(slice_number, content, rows.height, f"{name}-{number:05}")
