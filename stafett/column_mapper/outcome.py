"""The outcome of a mapping, summed over the parts of a report in constant memory."""

from collections import Counter
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple
from uuid import UUID

import polars as pl

from stafett.column_mapper.deviations import find_deviations, list_causes
from stafett.column_mapper.events import EventCounts, EventTally
from stafett.column_mapper.program import MappedPart, MappingProgram, RowCheck
from stafett.column_mapper.slices import map_in_slices
from stafett.domain.export import MAX_AFFECTED_ROWS, ExportCounts, PartialFailureReport
from stafett.domain.export_outputs import DeviationCause, NotCountableReason, Total
from stafett.domain.frozen import PayloadModel

_SERVICE_NAME = "bufdir-column-mapper"


class FailedRows(PayloadModel):
    """The rows of a part that failed one check.

    All of them are counted. Only those are listed that fit into the report's ``MAX_AFFECTED_ROWS``.
    """

    check_index: int
    count: int
    row_indices: tuple[int, ...]
    activity_ids: tuple[str, ...]


class PartOutcome(PayloadModel):
    """The contribution of one part to the outcome, small enough to store as JSON."""

    counts: ExportCounts
    excluded_count: int
    not_countable: dict[str, int]
    totals: tuple[Total, ...]
    failures: tuple[FailedRows, ...]
    event_counts: EventCounts = EventCounts()


class MappedSlice(NamedTuple):
    """A mapped slice of a part, its share of the outcome, and its deviating rows."""

    part: MappedPart
    outcome: PartOutcome
    deviations: pl.DataFrame


@dataclass
class _CheckTally:
    """The rows that failed one check: all of them counted, the first ``MAX_AFFECTED_ROWS`` listed."""

    count: int = 0
    row_indices: list[int] = field(default_factory=list)
    activity_ids: list[str] = field(default_factory=list)

    @property
    def remaining_capacity(self) -> int:
        return MAX_AFFECTED_ROWS - len(self.row_indices)

    def add(self, failed_rows: FailedRows, first_row_index: int) -> None:
        self.count += failed_rows.count
        self.row_indices += [first_row_index + row for row in failed_rows.row_indices]
        self.activity_ids += failed_rows.activity_ids

    def to_failed_rows(self, check_index: int) -> FailedRows:
        return FailedRows(
            check_index=check_index,
            count=self.count,
            row_indices=tuple(self.row_indices),
            activity_ids=tuple(self.activity_ids),
        )

    def to_report(self, check: RowCheck) -> PartialFailureReport:
        return PartialFailureReport(
            affected_row_indices=tuple(self.row_indices),
            affected_activity_ids=tuple(UUID(activity_id) for activity_id in self.activity_ids),
            affected_count=self.count,
            failure_reason=check.message,
            code=check.code,
            column=check.column,
            sub_service_name=_SERVICE_NAME,
            is_fatal=check.rejects_row,
        )


class MappingOutcome:
    """Accumulates the outcomes of parts. Parts must be added in report order."""

    def __init__(
        self, program: MappingProgram, *, ignored_checks: Container[str] = (), max_memory_bytes: int | None = None
    ) -> None:
        self._program = program
        self._max_memory_bytes = max_memory_bytes
        self._ignored_checks = ignored_checks
        self._tallies_by_check: dict[int, _CheckTally] = {}
        self._rows_by_reason = Counter[str]()
        self._totals: dict[str | None, tuple[int, ...]] = {}
        self._counts = ExportCounts()
        self._event_counts = EventCounts()
        self._excluded_count = 0

    def map_slices(self, rows: pl.DataFrame) -> Iterator[MappedSlice]:
        """Map the next part in slices that fit into memory, one if it does itself, without adding their outcomes.

        ``map`` releases each slice before it computes the next, where a ``for`` loop would keep two in memory.
        """
        slices = map_in_slices(self._program, rows, self._max_memory_bytes)
        return map(partial(self._to_mapped_slice, EventTally()), slices)

    def _to_mapped_slice(self, events: EventTally, mapped: tuple[pl.DataFrame, MappedPart]) -> MappedSlice:
        rows, part = mapped
        deviations = find_deviations(self._program, rows, part, self._ignored_checks)
        return MappedSlice(part, self._build_outcome(rows, part, events), deviations)

    def map_and_add_slices(self, rows: pl.DataFrame) -> Iterator[MappedPart]:
        """Map the next part in slices that fit into memory, and add the outcome of each."""
        slices = map_in_slices(self._program, rows, self._max_memory_bytes)
        return map(partial(self._add_slice, EventTally()), slices)

    def _add_slice(self, events: EventTally, mapped: tuple[pl.DataFrame, MappedPart]) -> MappedPart:
        rows, part = mapped
        self.add_part(self._build_outcome(rows, part, events))
        return part

    def _build_outcome(self, rows: pl.DataFrame, part: MappedPart, events: EventTally) -> PartOutcome:
        if rows.height != part.report_rows.height + part.excluded_rows.height + part.rejected:
            raise RuntimeError("a row was lost or duplicated in mapping")
        event_counts = events.count(part.verdicts)
        return PartOutcome(
            counts=ExportCounts(
                queried=rows.height,
                written=part.report_rows.height,
                countable=part.countable,
                not_countable=rows.height - part.rejected - part.countable,
                rejected=part.rejected,
                events=event_counts.events,
            ),
            event_counts=event_counts,
            excluded_count=part.excluded_rows.height,
            not_countable=dict(part.not_countable),
            totals=tuple(Total(label=label, figures=tuple(figures)) for label, figures in part.totals.items()),
            failures=tuple(self._collect_failed_rows(part, rows["id"])),
        )

    def combine_slices(self, slices: Sequence[PartOutcome]) -> PartOutcome:
        """Combine the outcomes of the next part's slices, as if it had been mapped at once."""
        if len(slices) == 1:
            return slices[0]
        combined = MappingOutcome(self._program)
        for outcome in slices:
            combined.add_part(outcome)
        part = combined.to_part_outcome()
        return part.model_copy(update={"failures": tuple(map(self._truncate_to_capacity, part.failures))})

    def _truncate_to_capacity(self, failed: FailedRows) -> FailedRows:
        capacity = self._tallies_by_check.get(failed.check_index, _CheckTally()).remaining_capacity
        listed = {"row_indices": failed.row_indices[:capacity], "activity_ids": failed.activity_ids[:capacity]}
        return failed.model_copy(update=listed)

    def to_part_outcome(self) -> PartOutcome:
        """Return the accumulated outcome as that of one part."""
        return PartOutcome(
            counts=self._counts,
            event_counts=self._event_counts,
            excluded_count=self._excluded_count,
            not_countable=dict(self._rows_by_reason),
            totals=tuple(Total(label=label, figures=figures) for label, figures in self._totals.items()),
            failures=tuple(tally.to_failed_rows(index) for index, tally in sorted(self._tallies_by_check.items())),
        )

    def add_part(self, outcome: PartOutcome) -> None:
        """Add the outcome of the next part, which may have been mapped by an earlier execution."""
        for failed in outcome.failures:
            self._tallies_by_check.setdefault(failed.check_index, _CheckTally()).add(failed, self._counts.queried)
        self._rows_by_reason.update(outcome.not_countable)
        for total in outcome.totals:
            before = self._totals.get(total.label, (0,) * len(total.figures))
            self._totals[total.label] = tuple(map(sum, zip(before, total.figures, strict=True)))
        self._counts = _add_counts(self._counts, outcome.counts)
        self._event_counts += outcome.event_counts
        self._excluded_count += outcome.excluded_count

    def _collect_failed_rows(self, part: MappedPart, ids: pl.Series) -> Iterator[FailedRows]:
        for failed in part.failed_checks:
            if failed.code in self._ignored_checks:
                continue
            tally = self._tallies_by_check.get(failed.check_index, _CheckTally())
            listed = tuple(failed.row_indices[: tally.remaining_capacity])
            yield FailedRows(
                check_index=failed.check_index,
                count=len(failed.row_indices),
                row_indices=listed,
                activity_ids=tuple(ids.gather(listed).to_list()),
            )

    @property
    def counts(self) -> ExportCounts:
        return self._counts

    @property
    def event_counts(self) -> EventCounts:
        return self._event_counts

    @property
    def excluded_count(self) -> int:
        return self._excluded_count

    @property
    def partial_failures(self) -> tuple[PartialFailureReport, ...]:
        """The failed checks, in the order of the document."""
        checks = self._program.checks
        return tuple(tally.to_report(checks[index]) for index, tally in sorted(self._tallies_by_check.items()))

    @property
    def not_countable(self) -> tuple[NotCountableReason, ...]:
        return tuple(
            NotCountableReason(code=reason.code, reason=reason.label, count=self._rows_by_reason[reason.code])
            for reason in self._program.reasons
        )

    @property
    def deviation_causes(self) -> tuple[DeviationCause, ...]:
        """The causes that at least one row has."""
        return tuple(list_causes(self._program, self._tallies_by_check, self._rows_by_reason))

    @property
    def totals(self) -> tuple[Total, ...]:
        """The totals for every value that the document lists, in its order, then for others and none if they occur."""
        summary = self._program.summary
        if summary is None:
            return ()
        zeros = (0,) * len(summary.measures)
        labels = [*summary.labels, *(label for label in (summary.other_label, None) if label in self._totals)]
        return tuple(Total(label=label, figures=self._totals.get(label, zeros)) for label in dict.fromkeys(labels))


def _add_counts(first: ExportCounts, second: ExportCounts) -> ExportCounts:
    addends = second.model_dump()
    return ExportCounts(**{name: count + addends[name] for name, count in first.model_dump().items()})
