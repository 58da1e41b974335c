"""What became of the rows, part after part, in memory that does not grow with them."""

from collections import Counter
from collections.abc import Container, Iterator
from dataclasses import dataclass, field
from uuid import UUID

import polars as pl

from stafett.column_mapper.program import Judgement, MappedPart, MappingProgram
from stafett.domain.export import MAX_AFFECTED_ROWS, ExportCounts, PartialFailureReport
from stafett.domain.export_outputs import NotCountableReason, Total
from stafett.domain.frozen import FrozenModel

_SERVICE = "bufdir-column-mapper"


class FaultyRows(FrozenModel):
    """A part's rows that did not pass one judgement: all of them counted, those named that the whole still names."""

    judgement: int
    count: int
    rows: tuple[int, ...]
    ids: tuple[str, ...]


class PartOutcome(FrozenModel):
    """What one part adds to the outcome: small, and fit to be kept as JSON."""

    counts: ExportCounts
    apart: int
    not_countable: dict[str, int]
    totals: tuple[Total, ...]
    faults: tuple[FaultyRows, ...]


@dataclass
class _Tally:
    """One judgement's rows: all of them counted, the first thousand named."""

    count: int = 0
    indices: list[int] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)

    @property
    def still_named(self) -> int:
        return MAX_AFFECTED_ROWS - len(self.indices)

    def add(self, faulty: FaultyRows, first: int) -> None:
        self.count += faulty.count
        self.indices += [first + row for row in faulty.rows]
        self.ids += faulty.ids

    def report(self, judgement: Judgement) -> PartialFailureReport:
        return PartialFailureReport(
            affected_row_indices=tuple(self.indices),
            affected_activity_ids=tuple(UUID(activity_id) for activity_id in self.ids),
            affected_count=self.count,
            failure_reason=judgement.message,
            code=judgement.code,
            column=judgement.column,
            sub_service_name=_SERVICE,
            is_fatal=judgement.rejects,
        )


class Outcome:
    """Add the parts in report order, then ask."""

    def __init__(self, program: MappingProgram, *, ignored: Container[str] = ()) -> None:
        self._program = program
        self._ignored = ignored
        self._tallies: dict[int, _Tally] = {}
        self._reasons = Counter[str]()
        self._totals: dict[str | None, tuple[int, ...]] = {}
        self._counts = ExportCounts()
        self._apart = 0

    def add(self, rows: pl.DataFrame) -> MappedPart:
        """Map the next part and take note of what came out."""
        part, outcome = self.mapped(rows)
        self.take(outcome)
        return part

    def mapped(self, rows: pl.DataFrame) -> tuple[MappedPart, PartOutcome]:
        """The next part and what it adds, of which no note is taken yet."""
        part = self._program.apply(rows)
        if rows.height != part.written.height + part.apart.height + part.rejected:
            raise RuntimeError("a row was lost or doubled in mapping")
        return part, PartOutcome(
            counts=ExportCounts(
                queried=rows.height,
                written=part.written.height,
                countable=part.countable,
                not_countable=rows.height - part.rejected - part.countable,
                rejected=part.rejected,
            ),
            apart=part.apart.height,
            not_countable=dict(part.not_countable),
            totals=tuple(Total(label=label, figures=tuple(figures)) for label, figures in part.totals.items()),
            faults=tuple(self._faulty(part, rows["id"])),
        )

    def take(self, part: PartOutcome) -> None:
        """Take note of the next part, whenever it was mapped."""
        for faulty in part.faults:
            self._tallies.setdefault(faulty.judgement, _Tally()).add(faulty, self._counts.queried)
        self._reasons.update(part.not_countable)
        for total in part.totals:
            before = self._totals.get(total.label, (0,) * len(total.figures))
            self._totals[total.label] = tuple(map(sum, zip(before, total.figures, strict=True)))
        self._counts = _added(self._counts, part.counts)
        self._apart += part.apart

    def _faulty(self, part: MappedPart, ids: pl.Series) -> Iterator[FaultyRows]:
        for fault in part.faults:
            if fault.code in self._ignored:
                continue
            named = tuple(fault.rows[: self._tallies.get(fault.judgement, _Tally()).still_named])
            yield FaultyRows(
                judgement=fault.judgement, count=len(fault.rows), rows=named, ids=tuple(ids.gather(named).to_list())
            )

    @property
    def counts(self) -> ExportCounts:
        return self._counts

    @property
    def apart(self) -> int:
        return self._apart

    @property
    def partial_failures(self) -> tuple[PartialFailureReport, ...]:
        """In the order of the document."""
        judgements = self._program.judgements
        return tuple(tally.report(judgements[number]) for number, tally in sorted(self._tallies.items()))

    @property
    def not_countable(self) -> tuple[NotCountableReason, ...]:
        return tuple(
            NotCountableReason(code=reason.code, reason=reason.label, count=self._reasons[reason.code])
            for reason in self._program.reasons
        )

    @property
    def totals(self) -> tuple[Total, ...]:
        """A line for every value that the column can have, in its order."""
        summary = self._program.summary
        if summary is None:
            return ()
        none = (0,) * len(summary.measures)
        labels: list[str | None] = [*summary.labels, *([None] if None in self._totals else [])]
        return tuple(Total(label=label, figures=self._totals.get(label, none)) for label in labels)


def _added(one: ExportCounts, other: ExportCounts) -> ExportCounts:
    more = other.model_dump()
    return ExportCounts(**{name: count + more[name] for name, count in one.model_dump().items()})
