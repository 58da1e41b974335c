"""What needs a user's attention: jobs that run or have failed, and reports that are not yet handed in."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal, NamedTuple, get_args
from uuid import UUID

from sqlalchemy import Row, text

from stafett.database.session import Database
from stafett.domain.errors import PermissionDeniedError
from stafett.domain.membership import Caller
from stafett.domain.reporting_period import ReportingPeriod

Need = Literal["failed", "running", "ready"]
"""Why it needs attention; ``ready`` is a report that was not handed in."""

# Each part has the condition of a partial index. Of the re-exports of a report, only the last one needs attention,
# because it is the answer to those that failed before it. A batch that has a correction needs none either: what is left
# to do is the correction's, which is listed itself while it runs or if it has failures.
_ATTENTION_QUERY = text("""
WITH jobs AS (
    SELECT 'export' AS kind, id, status, updated_at AS at, period_start, period_end, NULL AS label, 0 AS total,
           status = 'failed' AS has_failed
    FROM exports
    WHERE org_id = :org_id AND origin = 'report' AND deleted_at IS NULL
      AND status NOT IN ('completed', 'completed_empty', 'cancelled')
    UNION ALL
    SELECT 'reexport', id, status, updated_at, period_start, period_end, NULL, 0, status = 'failed'
    FROM report_reexports r
    WHERE org_id = :org_id AND status NOT IN ('completed', 'cancelled')
      AND NOT EXISTS (SELECT FROM report_reexports l WHERE l.report_id = r.report_id AND l.attempt > r.attempt)
    UNION ALL
    SELECT 'batch', id, status, updated_at, NULL, NULL, label, total, status IN ('failed', 'completed_with_failures')
    FROM bulk_registrations b
    WHERE org_id = :org_id AND deleted_at IS NULL AND status NOT IN ('completed', 'cancelled')
      AND NOT EXISTS (SELECT FROM bulk_registrations c
                      WHERE c.org_id = b.org_id AND c.corrects = b.id AND c.status <> 'cancelled'
                        AND (c.deleted_at IS NULL OR c.status = 'completed'))
), needs AS (
    SELECT CASE WHEN has_failed THEN 'failed' ELSE 'running' END AS need,
           kind, id, status, at, period_start, period_end, label, total
    FROM jobs
    UNION ALL
    SELECT 'ready', 'report', id, 'completed', created_at, period_start, period_end, NULL, 0
    FROM reports r
    WHERE org_id = :org_id AND submitted_at IS NULL
      AND EXISTS (SELECT FROM report_files f JOIN exports e ON e.org_id = f.org_id AND e.id = f.export_id
                  WHERE f.report_id = r.id AND e.deleted_at IS NULL AND e.removal_started_at IS NULL)
), numbered AS (
    SELECT *, row_number() OVER (PARTITION BY need ORDER BY at DESC, id) AS number,
           count(*) OVER (PARTITION BY need) AS needing
    FROM needs
)
SELECT * FROM numbered WHERE number <= :max_lines ORDER BY need, number
""")


class AttentionLine(NamedTuple):
    """A job or a report that needs attention."""

    kind: Literal["export", "reexport", "batch", "report"]
    id: UUID
    status: str
    at: datetime
    period: ReportingPeriod | None
    label: str | None
    total: int


class AttentionGroup(NamedTuple):
    """The newest jobs with one need, and the number of all that have it."""

    lines: Sequence[AttentionLine]
    total: int


class AttentionService:
    """Finds what needs attention in the whole organisation of a member."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def list(self, caller: Caller, *, max_lines: int) -> dict[Need, AttentionGroup]:
        """List the newest of each need."""
        if caller.org_id is None:
            raise PermissionDeniedError("Operators have no organisation whose jobs need their attention.")
        with self._database.caller_transaction(caller) as session:
            parameters = {"org_id": caller.org_id, "max_lines": max_lines}
            rows = session.execute(_ATTENTION_QUERY, parameters).all()
        return {need: _to_group([row for row in rows if row.need == need]) for need in get_args(Need)}


def _to_group(rows: Sequence[Row[Any]]) -> AttentionGroup:
    return AttentionGroup(tuple(map(_to_line, rows)), rows[0].needing if rows else 0)


def _to_line(row: Row[Any]) -> AttentionLine:
    period = None if row.period_start is None else ReportingPeriod(start=row.period_start, end=row.period_end)
    return AttentionLine(row.kind, row.id, row.status, row.at, period, row.label, row.total)
