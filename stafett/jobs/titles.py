"""What jobs and reports are about, by their ids: the period of a report, or the label and the size of a batch."""

from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple
from uuid import UUID

from sqlalchemy import text

from stafett.database.session import Database
from stafett.domain.membership import Caller
from stafett.domain.reporting_period import ReportingPeriod

_TITLES_QUERY = text("""
SELECT 'export' AS kind, id, period_start, period_end, NULL AS label, 0 AS total
FROM exports WHERE org_id = :org_id AND id = ANY(:ids) AND deleted_at IS NULL
UNION ALL
SELECT 'reexport', id, period_start, period_end, NULL, 0
FROM report_reexports WHERE org_id = :org_id AND id = ANY(:ids)
UNION ALL
SELECT 'batch', id, NULL, NULL, label, total
FROM bulk_registrations WHERE org_id = :org_id AND id = ANY(:ids) AND deleted_at IS NULL
UNION ALL
SELECT 'report', id, period_start, period_end, NULL, 0
FROM reports WHERE org_id = :org_id AND id = ANY(:ids)
""")


class JobTitle(NamedTuple):
    """What a job, or the report that it made, is about."""

    kind: Literal["export", "reexport", "batch", "report"]
    id: UUID
    period: ReportingPeriod | None
    label: str | None
    total: int


class JobTitles:
    """Finds what jobs of the caller's organisation are about."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def load(self, caller: Caller, ids: Iterable[UUID]) -> Mapping[UUID, JobTitle]:
        """Load the titles of these jobs. Deleted jobs have none, and operators see none."""
        if caller.org_id is None:
            return {}
        with self._database.caller_transaction(caller) as session:
            rows = session.execute(_TITLES_QUERY, {"org_id": caller.org_id, "ids": list(ids)}).all()
        return {
            row.id: JobTitle(row.kind, row.id, _to_period(row.period_start, row.period_end), row.label, row.total)
            for row in rows
        }


def _to_period(start: object, end: object) -> ReportingPeriod | None:
    return None if start is None else ReportingPeriod.model_validate({"start": start, "end": end})
