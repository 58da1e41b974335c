"""What became of the rows, part after part, in memory that does not grow with them."""

from collections import defaultdict
from collections.abc import Container
from dataclasses import dataclass, field
from uuid import UUID

import polars as pl

from stafett.column_mapper.program import Fault, MappedPart, MappingProgram
from stafett.domain.export import MOST_AFFECTED_ROWS, ExportCounts, PartialFailureReport
from stafett.domain.export_outputs import NotCountable, Total

_SERVICE = "bufdir-column-mapper"


@dataclass
class _Tally:
    """One judgement's rows: all of them counted, the first thousand named."""

    fault: Fault
    count: int = 0
    indices: list[int] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)

    def add(self, fault: Fault, ids: pl.Series, first: int) -> None:
        self.count += len(fault.rows)
        named = fault.rows[: MOST_AFFECTED_ROWS - len(self.indices)]
        self.indices += [first + row for row in named]
        self.ids += ids.gather(named).to_list()

    def report(self) -> PartialFailureReport:
        return PartialFailureReport(
            affected_row_indices=tuple(self.indices),
            affected_activity_ids=tuple(UUID(activity_id) for activity_id in self.ids),
            affected_count=self.count,
            failure_reason=self.fault.message,
            code=self.fault.code,
            column=self.fault.column,
            sub_service_name=_SERVICE,
            is_fatal=self.fault.rejects,
        )


class Outcome:
    """Add the parts in report order, then ask."""

    def __init__(self, program: MappingProgram, *, ignored: Container[str] = ()) -> None:
        self._program = program
        self._ignored = ignored
        self._tallies: dict[int, _Tally] = {}
        self._reasons: dict[str, int] = defaultdict(int)
        self._totals: dict[str | None, list[int]] = {}
        self._queried = self._written = self._apart = self._countable = self._rejected = 0

    def add(self, rows: pl.DataFrame) -> MappedPart:
        """Map the next part and take note of what came out."""
        part = self._program.apply(rows)
        if rows.height != part.written.height + part.apart.height + part.rejected:
            raise RuntimeError("a row was lost or doubled in mapping")
        for fault in (fault for fault in part.faults if fault.code not in self._ignored):
            self._tallies.setdefault(fault.judgement, _Tally(fault)).add(fault, rows["id"], self._queried)
        for code, count in part.not_countable.items():
            self._reasons[code] += count
        for label, figures in part.totals.items():
            before = self._totals.get(label, [0] * len(figures))
            self._totals[label] = [one + other for one, other in zip(before, figures, strict=True)]
        self._queried += rows.height
        self._written += part.written.height
        self._apart += part.apart.height
        self._countable += part.countable
        self._rejected += part.rejected
        return part

    @property
    def counts(self) -> ExportCounts:
        return ExportCounts(
            queried=self._queried,
            written=self._written,
            countable=self._countable,
            not_countable=self._queried - self._rejected - self._countable,
            rejected=self._rejected,
        )

    @property
    def apart(self) -> int:
        return self._apart

    @property
    def partial_failures(self) -> tuple[PartialFailureReport, ...]:
        """In the order of the document."""
        return tuple(tally.report() for _, tally in sorted(self._tallies.items()))

    @property
    def not_countable(self) -> tuple[NotCountable, ...]:
        return tuple(
            NotCountable(code=reason.code, reason=reason.label, count=self._reasons[reason.code])
            for reason in self._program.reasons
        )

    @property
    def totals(self) -> tuple[Total, ...]:
        """A line for every value that the column can have, in its order."""
        summary = self._program.summary
        if summary is None:
            return ()
        none = [0] * len(summary.measures)
        labels: list[str | None] = [*summary.labels, *([None] if None in self._totals else [])]
        return tuple(Total(label=label, figures=tuple(self._totals.get(label, none))) for label in labels)
