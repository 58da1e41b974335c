"""The stage ``mapping_columns``: part by part, from the snapshot to the organisation's columns."""

from collections.abc import Iterator, Mapping

import polars as pl

from stafett.activity_frames import activities_from_arrow, arrow_from_frame
from stafett.column_mapper.cells import TEXT_TRUNCATED_CODE
from stafett.column_mapper.messages import MAPPING_CHANGED, REASON_HEADER, ROWS_NOT_IN_CSV, format_date
from stafett.column_mapper.outcome import MappingOutcome
from stafett.column_mapper.program import MappedPart
from stafett.column_mapper.versions import MappingVersions
from stafett.domain.errors import StagedDataLostError, StaleAttemptError
from stafett.domain.export import ExportFormat, ExportParameters, Locale, PartialFailureReport
from stafett.domain.export_job import ExportJob
from stafett.domain.export_outputs import EffectiveMapping, ExportWarning, MappedRows, QueriedRows, StagedPart
from stafett.domain.export_status import ExportStatus
from stafett.exports.mapped_parts import MappedPartStore, StoredPart
from stafett.exports.stage_runner import StageContext
from stafett.exports.stage_store import StageStore
from stafett.storage.files import FileStorage


class ColumnMapper:
    """Applies the organisation's mapping to the staged rows, and goes on from the parts that are mapped already."""

    def __init__(
        self, store: StageStore, storage: FileStorage, mappings: MappingVersions, mapped_parts: MappedPartStore
    ) -> None:
        self._store = store
        self._storage = storage
        self._mappings = mappings
        self._mapped_parts = mapped_parts

    def __call__(self, job: ExportJob, context: StageContext) -> MappedRows:
        queried = self._store.load_outputs(job, ExportStatus.QUERYING_ACTIVITIES, QueriedRows)
        asked = self._store.load_parameters(job)
        program = self._mappings.load_program(job.org_id, queried.mapping.version, asked.locale)
        outcome = MappingOutcome(program, ignored_checks=ignored_checks(asked.export_format))
        parts = list(self._iterate_parts(job, context, queried, asked, outcome))
        failures = outcome.partial_failures
        return MappedRows(
            parts=tuple(part.written for part in parts),
            excluded_parts=tuple(part.excluded for part in parts if part.excluded),
            counts=outcome.counts,
            not_countable=outcome.not_countable,
            totals=outcome.totals,
            warnings=tuple(collect_warnings(queried.mapping, asked, outcome.excluded_count)),
            mapping=queried.mapping.mapping_version,
            partial_failures=PartialFailureReport.truncate(failures),
            partial_failure_count=len(failures),
        )

    def _iterate_parts(
        self,
        job: ExportJob,
        context: StageContext,
        queried: QueriedRows,
        parameters: ExportParameters,
        outcome: MappingOutcome,
    ) -> Iterator[StoredPart]:
        """In report order, each kept when it is there; but the last, which the stage's own commit follows."""
        made_from, last = self._mapped_parts.input_fingerprint(queried, parameters), len(queried.parts) - 1
        standing = self._reusable_parts(job, context, made_from) if last > 0 else {}
        done = sum(queried.parts[number].rows for number in standing)
        context.report_progress(done, queried.rows, force=bool(standing))
        for number, staged in enumerate(queried.parts):
            part = standing.get(number)
            if part is None:
                part = self._map_part(context, number, staged, parameters.locale, outcome)
                if number < last:
                    part = self._store_or_adopt(job, context, number, made_from, part)
                done += staged.rows
            outcome.add_part(part.outcome)
            context.report_progress(done, queried.rows)
            yield part

    def _reusable_parts(self, job: ExportJob, context: StageContext, fingerprint: str) -> Mapping[int, StoredPart]:
        """What an earlier execution mapped, if it is in storage as it was; what is not is forgotten."""
        standing = {}
        for number, part in self._mapped_parts.load(job, fingerprint).items():
            if self._is_intact(part):
                standing[number] = part
            else:
                self._mapped_parts.delete(job, number, part)
                context.delete(part.keys)
        return standing

    def _is_intact(self, part: StoredPart) -> bool:
        try:
            for written in part.parts:
                self._storage.read_part(written)
        except StagedDataLostError:
            return False
        return True

    def _map_part(
        self, context: StageContext, number: int, staged: StagedPart, locale: Locale, outcome: MappingOutcome
    ) -> StoredPart:
        part, adds = outcome.map_part(activities_from_arrow(self._storage.read_part(staged)))
        written = _write_part(context, "part", number, part.report_rows)
        apart = (
            _write_part(context, "excluded", number, _add_reason_column(part, locale))
            if part.excluded_rows.height
            else None
        )
        return StoredPart(written=written, excluded=apart, outcome=adds)

    def _store_or_adopt(
        self, job: ExportJob, context: StageContext, number: int, fingerprint: str, part: StoredPart
    ) -> StoredPart:
        """The one that counts: ours, or another execution's that was first.

        After an error whose outcome nobody knows the objects stay: the commit may stand, and they be its own.
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
    mapping: EffectiveMapping, parameters: ExportParameters, excluded_count: int
) -> Iterator[ExportWarning]:
    """What whoever hands the report in should know of it."""
    locale: Locale = parameters.locale
    for day in mapping.change_dates:
        message = MAPPING_CHANGED[locale].format(day=format_date(locale, day))
        yield ExportWarning(code="mapping_changed_in_period", message=message)
    if excluded_count and parameters.export_format is ExportFormat.CSV:
        yield ExportWarning(code="rows_listed_apart", message=ROWS_NOT_IN_CSV[locale].format(rows=excluded_count))


def _add_reason_column(part: MappedPart, locale: Locale) -> pl.DataFrame:
    """What is listed apart says why, in a column of its own behind the others."""
    header = REASON_HEADER[locale]
    while header in part.excluded_rows.columns:
        header += "\N{NO-BREAK SPACE}"
    return part.excluded_rows.with_columns(part.exclusion_reasons.alias(header))


def _write_part(context: StageContext, name: str, number: int, rows: pl.DataFrame) -> StagedPart:
    return context.put_part(number, arrow_from_frame(rows), rows.height, name)
