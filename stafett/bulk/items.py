"""What batches write: items, the activities they become, and what became of each; set by set, in SQL.

Whoever changes items takes hold of them before the batch, and of several in the order of their chunks.
"""

import json
from collections.abc import Iterable
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlmodel import Session

from stafett.domain.bulk import PlannedItem
from stafett.domain.bulk_job import BulkJob
from stafett.domain.bulk_status import ItemErrorCode, ItemStatus

_INSERT_ITEMS = text("""
INSERT INTO bulk_items (batch_id, org_id, position, chunk, client_ref, mentor_ref, mentor_id, overrides, fault,
                        activity_id)
SELECT :batch, :org, i.*
FROM jsonb_to_recordset(CAST(:items AS jsonb)) AS i (
    position integer, chunk integer, client_ref varchar, mentor_ref varchar, mentor_id uuid, overrides jsonb,
    fault varchar, activity_id uuid)
""")

# However little PostgreSQL knows of a table that grew a moment ago, no plan for these compares every row with every
# other: what is written back is found by its place, and what was inserted in a hash.

# The rules of what a mentor may have registered. Activities go in ordered, so that two batches that meet in the same
# mentors wait for one another and never for each other; which of two that overlap is in, the exclusion constraint says.
_REGISTER_ITEMS = text("""
WITH due AS MATERIALIZED (
    SELECT ctid AS place, position, mentor_id, activity_id, fault, overrides
    FROM bulk_items
    WHERE batch_id = :batch AND chunk = :chunk AND status = 'pending'
      AND (CAST(:position AS integer) IS NULL OR position = :position)
    ORDER BY chunk, position
    FOR UPDATE
), judged AS MATERIALIZED (
    SELECT due.*, CASE WHEN m.id IS NULL THEN 'mentor_not_found'
                       WHEN NOT m.active THEN 'mentor_inactive'
                       WHEN due.fault IS NOT NULL THEN 'invalid_activity' END AS code
    FROM due LEFT JOIN peer_mentors m ON m.org_id = :org AND m.id = due.mentor_id
), written AS (
    INSERT INTO activities (id, org_id, mentor_id, activity_type, starts_at, ends_at, participants, new_participants,
                            place, in_person, in_norway, note, registered_by, batch_id)
    SELECT j.activity_id, b.org_id, j.mentor_id, a.activity_type, a.starts_at,
           a.starts_at + make_interval(mins => a.duration_minutes), a.participants, a.new_participants,
           a.place, a.in_person, a.in_norway, a.note, b.requested_by, b.id
    FROM judged j
    JOIN bulk_registrations b ON b.id = :batch,
    LATERAL jsonb_to_record(b.activity || j.overrides) AS a (
        activity_type varchar, starts_at timestamptz, duration_minutes integer, participants integer,
        new_participants integer, place varchar, in_person boolean, in_norway boolean, note varchar)
    WHERE j.code IS NULL
    ORDER BY j.mentor_id, a.starts_at, j.position
    ON CONFLICT DO NOTHING
    RETURNING id
), settled AS (
    UPDATE bulk_items i
    SET status = CASE WHEN j.activity_id IN (SELECT id FROM written) THEN 'registered' ELSE 'failed' END,
        error_code = CASE WHEN j.activity_id IN (SELECT id FROM written) THEN NULL
                          ELSE coalesce(j.code, 'overlapping_activity') END,
        attempts = i.attempts + 1
    FROM judged j
    WHERE i.ctid = j.place
    RETURNING i.status
)
SELECT count(*) FILTER (WHERE status = 'registered'), count(*) FILTER (WHERE status = 'failed') FROM settled
""")

_SET_OUTCOMES = text("""
WITH due AS MATERIALIZED (
    SELECT position FROM bulk_items
    WHERE batch_id = :batch AND status = 'pending' AND (CAST(:chunk AS integer) IS NULL OR chunk = :chunk)
      AND (CAST(:position AS integer) IS NULL OR position = :position)
    ORDER BY chunk, position
    FOR UPDATE
), settled AS (
    UPDATE bulk_items i
    SET status = :status, error_code = :code, attempts = attempts + :attempts
    WHERE i.batch_id = :batch AND i.position = ANY (ARRAY(SELECT position FROM due))
    RETURNING 1
)
SELECT count(*) FROM settled
""")

_RESET_ITEMS = text("""
WITH due AS MATERIALIZED (
    SELECT position FROM bulk_items
    WHERE batch_id = :batch AND status IN ('failed', 'cancelled')
    ORDER BY chunk, position
    FOR UPDATE
)
UPDATE bulk_items i SET status = 'pending', error_code = NULL
WHERE i.batch_id = :batch AND i.position = ANY (ARRAY(SELECT position FROM due))
""")

_PENDING_POSITIONS = text("""
SELECT position FROM bulk_items WHERE batch_id = :batch AND chunk = :chunk AND status = 'pending' ORDER BY position
""")
_PENDING_CHUNKS = text(
    "SELECT DISTINCT chunk FROM bulk_items WHERE batch_id = :batch AND status = 'pending' ORDER BY chunk"
)


class ItemSelection(NamedTuple):
    """Which of a batch's items are meant: all of them, a chunk's, or the one at a position."""

    job: BulkJob
    chunk: int | None = None
    position: int | None = None

    @property
    def params(self) -> dict[str, Any]:
        return {"batch": self.job.batch_id, "org": self.job.org_id, "chunk": self.chunk, "position": self.position}


class OutcomeCounts(NamedTuple):
    """How many items came to an outcome."""

    registered: int = 0
    failed: int = 0
    cancelled: int = 0

    def plus(self, other: "OutcomeCounts") -> "OutcomeCounts":
        return OutcomeCounts(*(one + other for one, other in zip(self, other, strict=True)))


def insert_items(session: Session, batch_id: UUID, org_id: str, items: Iterable[PlannedItem]) -> None:
    """All of a batch's items, in one statement."""
    rows = [
        {
            "position": item.position,
            "chunk": item.chunk,
            "client_ref": item.client_ref,
            "mentor_ref": item.mentor_ref,
            "mentor_id": str(item.mentor_id) if item.mentor_id else None,
            "overrides": item.overrides,
            "fault": item.validation_error,
            "activity_id": str(item.derive_activity_id(batch_id)),
        }
        for item in items
    ]
    session.execute(_INSERT_ITEMS, {"batch": batch_id, "org": org_id, "items": json.dumps(rows)})


def register_items(session: Session, selection: ItemSelection) -> OutcomeCounts:
    """Bring pending items to their outcomes; an item that has one is left as it is."""
    registered, failed = session.execute(_REGISTER_ITEMS, selection.params).one()
    return OutcomeCounts(registered=registered, failed=failed)


def fail_items(session: Session, selection: ItemSelection, code: ItemErrorCode) -> OutcomeCounts:
    """What is pending has failed for this reason."""
    return OutcomeCounts(failed=_set_outcomes(session, selection, ItemStatus.FAILED, code))


def cancel_items(session: Session, selection: ItemSelection) -> OutcomeCounts:
    """What was not begun is not begun any more."""
    return OutcomeCounts(cancelled=_set_outcomes(session, selection, ItemStatus.CANCELLED, None))


def reset_for_retry(session: Session, batch_id: UUID) -> None:
    """What failed or was cancelled is pending once more."""
    session.execute(_RESET_ITEMS, {"batch": batch_id})


def list_pending_chunks(session: Session, job: BulkJob) -> tuple[int, ...]:
    return tuple(session.execute(_PENDING_CHUNKS, {"batch": job.batch_id}).scalars())


def list_pending_positions(session: Session, selection: ItemSelection) -> list[int]:
    """The positions of a chunk's pending items."""
    return list(session.execute(_PENDING_POSITIONS, selection.params).scalars())


def _set_outcomes(session: Session, selection: ItemSelection, status: ItemStatus, code: ItemErrorCode | None) -> int:
    tries = int(status is ItemStatus.FAILED)
    given = {**selection.params, "status": status, "code": code, "attempts": tries}
    count: int = session.execute(_SET_OUTCOMES, given).scalar_one()
    return count
