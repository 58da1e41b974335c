"""The stage ``mapping_columns``: part by part, from the snapshot to the organisation's columns."""

from collections.abc import Iterator

import polars as pl

from stafett.activity_rows import from_arrow, to_arrow
from stafett.column_mapper.cells import CUT_IN_A_WORKBOOK
from stafett.column_mapper.messages import BECAUSE, LISTED_APART, MAPPING_CHANGED, day_in
from stafett.column_mapper.outcome import Outcome
from stafett.column_mapper.program import MappedPart
from stafett.column_mappings import MappingsInUse
from stafett.domain.export import ExportFormat, ExportParameters, Locale, PartialFailureReport
from stafett.domain.export_job import ExportJob
from stafett.domain.export_outputs import ChosenMapping, ExportWarning, MappedRows, Part, QueriedRows
from stafett.domain.export_status import ExportStatus
from stafett.export_record import ExportRecord
from stafett.export_stages import Workbench
from stafett.file_storage import FileStorage


class ColumnMapper:
    """Applies the organisation's mapping to the staged rows."""

    def __init__(self, record: ExportRecord, storage: FileStorage, mappings: MappingsInUse) -> None:
        self._record = record
        self._storage = storage
        self._mappings = mappings

    def __call__(self, job: ExportJob, bench: Workbench) -> MappedRows:
        queried = self._record.outputs(job, ExportStatus.QUERYING_ACTIVITIES, QueriedRows)
        asked = self._record.parameters(job)
        program = self._mappings.program(job.org_id, queried.mapping.version, asked.locale)
        outcome = Outcome(program, ignored=no_faults_in(asked.export_format))
        parts, apart = list[Part](), list[Part]()
        for number, rows in enumerate(self._staged(queried)):
            part = outcome.add(rows)
            parts.append(_put(bench, "part", number, part.written))
            if part.apart.height:
                apart.append(_put(bench, "apart", number, _with_reasons(part, asked.locale)))
            bench.progress(outcome.counts.queried, queried.rows)
        failures = outcome.partial_failures
        return MappedRows(
            parts=tuple(parts),
            apart=tuple(apart),
            counts=outcome.counts,
            not_countable=outcome.not_countable,
            totals=outcome.totals,
            warnings=tuple(warnings(queried.mapping, asked, outcome.apart)),
            mapping=queried.mapping.known_as,
            partial_failures=PartialFailureReport.bounded(failures),
            partial_failure_count=len(failures),
        )

    def _staged(self, queried: QueriedRows) -> Iterator[pl.DataFrame]:
        for part in queried.parts:
            yield from_arrow(self._storage.read_part(part))


def no_faults_in(export_format: ExportFormat) -> frozenset[str]:
    return frozenset() if export_format is ExportFormat.XLSX else frozenset({CUT_IN_A_WORKBOOK})


def warnings(mapping: ChosenMapping, asked: ExportParameters, apart: int) -> Iterator[ExportWarning]:
    """What whoever hands the report in should know of it."""
    locale: Locale = asked.locale
    for day in mapping.changes:
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


def _put(bench: Workbench, name: str, number: int, rows: pl.DataFrame) -> Part:
    return bench.put_part(number, to_arrow(rows), rows.height, name)
