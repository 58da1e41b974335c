"""The stage ``mapping_columns``: part by part, from the snapshot to the organisation's columns."""

from collections.abc import Iterator, Mapping

import polars as pl

from stafett.activity_frames import activities_from_arrow, arrow_from_frame
from stafett.column_mapper.cells import CUT_IN_A_WORKBOOK
from stafett.column_mapper.messages import BECAUSE, LISTED_APART, MAPPING_CHANGED, day_in
from stafett.column_mapper.outcome import Outcome
from stafett.column_mapper.program import MappedPart
from stafett.column_mapper.versions import MappingsInUse
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
        self, record: StageStore, storage: FileStorage, mappings: MappingsInUse, done: MappedPartStore
    ) -> None:
        self._record = record
        self._storage = storage
        self._mappings = mappings
        self._done = done

    def __call__(self, job: ExportJob, bench: StageContext) -> MappedRows:
        queried = self._record.load_outputs(job, ExportStatus.QUERYING_ACTIVITIES, QueriedRows)
        asked = self._record.load_parameters(job)
        program = self._mappings.program(job.org_id, queried.mapping.version, asked.locale)
        outcome = Outcome(program, ignored=no_faults_in(asked.export_format))
        parts = list(self._parts(job, bench, queried, asked, outcome))
        failures = outcome.partial_failures
        return MappedRows(
            parts=tuple(part.written for part in parts),
            excluded_parts=tuple(part.excluded for part in parts if part.excluded),
            counts=outcome.counts,
            not_countable=outcome.not_countable,
            totals=outcome.totals,
            warnings=tuple(warnings(queried.mapping, asked, outcome.apart)),
            mapping=queried.mapping.mapping_version,
            partial_failures=PartialFailureReport.truncate(failures),
            partial_failure_count=len(failures),
        )

    def _parts(
        self, job: ExportJob, bench: StageContext, queried: QueriedRows, asked: ExportParameters, outcome: Outcome
    ) -> Iterator[StoredPart]:
        """In report order, each kept when it is there; but the last, which the stage's own commit follows."""
        made_from, last = self._done.input_fingerprint(queried, asked), len(queried.parts) - 1
        standing = self._standing(job, bench, made_from) if last > 0 else {}
        done = sum(queried.parts[number].rows for number in standing)
        bench.report_progress(done, queried.rows, force=bool(standing))
        for number, staged in enumerate(queried.parts):
            part = standing.get(number)
            if part is None:
                part = self._mapped(bench, number, staged, asked.locale, outcome)
                if number < last:
                    part = self._kept(job, bench, number, made_from, part)
                done += staged.rows
            outcome.take(part.outcome)
            bench.report_progress(done, queried.rows)
            yield part

    def _standing(self, job: ExportJob, bench: StageContext, made_from: str) -> Mapping[int, StoredPart]:
        """What an earlier execution mapped, if it is in storage as it was; what is not is forgotten."""
        standing = {}
        for number, part in self._done.load(job, made_from).items():
            if self._is_in_storage(part):
                standing[number] = part
            else:
                self._done.delete(job, number, part)
                bench.delete(part.keys)
        return standing

    def _is_in_storage(self, part: StoredPart) -> bool:
        try:
            for written in part.parts:
                self._storage.read_part(written)
        except StagedDataLostError:
            return False
        return True

    def _mapped(
        self, bench: StageContext, number: int, staged: StagedPart, locale: Locale, outcome: Outcome
    ) -> StoredPart:
        part, adds = outcome.mapped(activities_from_arrow(self._storage.read_part(staged)))
        written = _put(bench, "part", number, part.written)
        apart = _put(bench, "apart", number, _with_reasons(part, locale)) if part.apart.height else None
        return StoredPart(written=written, excluded=apart, outcome=adds)

    def _kept(self, job: ExportJob, bench: StageContext, number: int, made_from: str, part: StoredPart) -> StoredPart:
        """The one that counts: ours, or another execution's that was first.

        After an error whose outcome nobody knows the objects stay: the commit may stand, and they be its own.
        """
        bench.protect(part.keys)
        try:
            first = self._done.store(job, number, made_from, part)
        except StaleAttemptError:
            bench.unprotect(part.keys)
            raise
        if first is None:
            bench.unprotect(part.keys)
            return part
        if first.keys != part.keys:
            bench.delete(part.keys)
        return first


def no_faults_in(export_format: ExportFormat) -> frozenset[str]:
    return frozenset() if export_format is ExportFormat.XLSX else frozenset({CUT_IN_A_WORKBOOK})


def warnings(mapping: EffectiveMapping, asked: ExportParameters, apart: int) -> Iterator[ExportWarning]:
    """What whoever hands the report in should know of it."""
    locale: Locale = asked.locale
    for day in mapping.change_dates:
        message = MAPPING_CHANGED[locale].format(day=day_in(locale, day))
        yield ExportWarning(code="mapping_changed_in_period", message=message)
    if apart and asked.export_format is ExportFormat.CSV:
        yield ExportWarning(code="rows_listed_apart", message=LISTED_APART[locale].format(rows=apart))


def _with_reasons(part: MappedPart, locale: Locale) -> pl.DataFrame:
    """What is listed apart says why, in a column of its own behind the others."""
    header = BECAUSE[locale]
    while header in part.apart.columns:
        header += "\N{NO-BREAK SPACE}"
    return part.apart.with_columns(part.apart_because.alias(header))


def _put(bench: StageContext, name: str, number: int, rows: pl.DataFrame) -> StagedPart:
    return bench.put_part(number, arrow_from_frame(rows), rows.height, name)
