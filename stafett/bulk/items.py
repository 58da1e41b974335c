"""Set-based SQL for a batch's items: inserts them, registers their activities and records their outcomes.

Lock order: peer mentors before items, items before their batch, and several items in the order of their chunks.
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
INSERT INTO bulk_items (batch_id, org_id, position, chunk, client_ref, mentor_ref, mentor_id, overrides,
                        validation_error, activity_id, event_id)
SELECT :batch, :org, i.*
FROM jsonb_to_recordset(CAST(:items AS jsonb)) AS i (
    position integer, chunk integer, client_ref varchar, mentor_ref varchar, mentor_id uuid, overrides jsonb,
    validation_error varchar, activity_id uuid, event_id uuid)
""")

_LOCK_MENTORS = text("SELECT lock_mentors_of_chunk(:batch, :chunk)")

# Even if the planner's statistics predate the rows just inserted, no plan for these statements compares every row with
# every other: rows are updated by their ctid, and inserted ids are looked up in a hash.

# The rules for registering an activity. Activities are inserted in one order, so that two batches with the same mentors
# wait for each other without a deadlock; the exclusion constraint decides which of two overlapping ones is registered.
_REGISTER_ITEMS = text("""
WITH pending_items AS MATERIALIZED (
    SELECT ctid AS row_location, position, mentor_id, activity_id, event_id, validation_error, overrides
    FROM bulk_items
    WHERE batch_id = :batch AND chunk = :chunk AND status = 'pending'
      AND (CAST(:position AS integer) IS NULL OR position = :position)
    ORDER BY chunk, position
    FOR UPDATE
), validated AS MATERIALIZED (
    SELECT p.*, CASE WHEN m.id IS NULL THEN 'mentor_not_found'
                     WHEN NOT m.active THEN 'mentor_inactive'
                     WHEN p.validation_error IS NOT NULL THEN 'invalid_activity' END AS code
    FROM pending_items p LEFT JOIN peer_mentors m ON m.org_id = :org AND m.id = p.mentor_id
), inserted AS (
    INSERT INTO activities (id, org_id, mentor_id, activity_type, starts_at, ends_at, participants, new_participants,
                            place, in_person, in_norway, note, registered_by, batch_id, event_id)
    SELECT v.activity_id, b.org_id, v.mentor_id, a.activity_type, a.starts_at,
           a.starts_at + make_interval(mins => a.duration_minutes), a.participants, a.new_participants,
           a.place, a.in_person, a.in_norway, a.note, b.requested_by, b.id, v.event_id
    FROM validated v
    JOIN bulk_registrations b ON b.id = :batch,
    LATERAL jsonb_to_record(b.activity || v.overrides) AS a (
        activity_type varchar, starts_at timestamptz, duration_minutes integer, participants integer,
        new_participants integer, place varchar, in_person boolean, in_norway boolean, note varchar)
    WHERE v.code IS NULL
    ORDER BY v.mentor_id, a.starts_at, v.position
    ON CONFLICT DO NOTHING
    RETURNING id
), updated AS (
    UPDATE bulk_items i
    SET status = CASE WHEN v.activity_id IN (SELECT id FROM inserted) THEN 'registered' ELSE 'failed' END,
        error_code = CASE WHEN v.activity_id IN (SELECT id FROM inserted) THEN NULL
                          ELSE coalesce(v.code, 'overlapping_activity') END,
        attempts = i.attempts + 1
    FROM validated v
    WHERE i.ctid = v.row_location
    RETURNING i.status
)
SELECT count(*) FILTER (WHERE status = 'registered'), count(*) FILTER (WHERE status = 'failed') FROM updated
""")

_SET_OUTCOMES = text("""
WITH pending_items AS MATERIALIZED (
    SELECT position FROM bulk_items
    WHERE batch_id = :batch AND status = 'pending' AND (CAST(:chunk AS integer) IS NULL OR chunk = :chunk)
      AND (CAST(:position AS integer) IS NULL OR position = :position)
    ORDER BY chunk, position
    FOR UPDATE
), updated AS (
    UPDATE bulk_items i
    SET status = :status, error_code = :code, attempts = attempts + :attempts
    WHERE i.batch_id = :batch AND i.position = ANY (ARRAY(SELECT position FROM pending_items))
    RETURNING 1
)
SELECT count(*) FROM updated
""")

_RESET_ITEMS = text("""
WITH reset_items AS MATERIALIZED (
    SELECT position FROM bulk_items
    WHERE batch_id = :batch AND status IN ('failed', 'cancelled')
    ORDER BY chunk, position
    FOR UPDATE
)
UPDATE bulk_items i SET status = 'pending', error_code = NULL
WHERE i.batch_id = :batch AND i.position = ANY (ARRAY(SELECT position FROM reset_items))
""")

_PENDING_POSITIONS = text("""
SELECT position FROM bulk_items WHERE batch_id = :batch AND chunk = :chunk AND status = 'pending' ORDER BY position
""")
_PENDING_CHUNKS = text(
    "SELECT DISTINCT chunk FROM bulk_items WHERE batch_id = :batch AND status = 'pending' ORDER BY chunk"
)


class ItemSelection(NamedTuple):
    """Selection of a batch's items: all of them, those of a chunk, or the one at a position."""

    job: BulkJob
    chunk: int | None = None
    position: int | None = None

    @property
    def params(self) -> dict[str, Any]:
        return {"batch": self.job.batch_id, "org": self.job.org_id, "chunk": self.chunk, "position": self.position}


class OutcomeCounts(NamedTuple):
    """Numbers of items by outcome."""

    registered: int = 0
    failed: int = 0
    cancelled: int = 0

    def plus(self, other: "OutcomeCounts") -> "OutcomeCounts":
        return OutcomeCounts(*(own + added for own, added in zip(self, other, strict=True)))


def insert_items(session: Session, batch_id: UUID, org_id: str, items: Iterable[PlannedItem]) -> None:
    """Insert all items of a batch in one statement."""
    rows = [
        {
            "position": item.position,
            "chunk": item.chunk,
            "client_ref": item.client_ref,
            "mentor_ref": item.mentor_ref,
            "mentor_id": str(item.mentor_id) if item.mentor_id else None,
            "overrides": item.overrides,
            "validation_error": item.validation_error,
            "activity_id": str(item.derive_activity_id(batch_id)),
            "event_id": str(event_id) if (event_id := item.derive_event_id(batch_id)) else None,
        }
        for item in items
    ]
    session.execute(_INSERT_ITEMS, {"batch": batch_id, "org": org_id, "items": json.dumps(rows)})


def lock_mentors(session: Session, selection: ItemSelection) -> None:
    """Lock the peer mentors of a chunk's pending items until the transaction ends, as a correction locks its mentor."""
    session.execute(_LOCK_MENTORS, selection.params)


def register_items(session: Session, selection: ItemSelection) -> OutcomeCounts:
    """Register the pending items, or fail those that break a rule; items with an outcome stay unchanged."""
    registered, failed = session.execute(_REGISTER_ITEMS, selection.params).one()
    return OutcomeCounts(registered=registered, failed=failed)


def fail_items(session: Session, selection: ItemSelection, code: ItemErrorCode) -> OutcomeCounts:
    """Fail the pending items with this code."""
    return OutcomeCounts(failed=_set_outcomes(session, selection, ItemStatus.FAILED, code))


def cancel_items(session: Session, selection: ItemSelection) -> OutcomeCounts:
    """Cancel the pending items."""
    return OutcomeCounts(cancelled=_set_outcomes(session, selection, ItemStatus.CANCELLED, None))


def reset_for_retry(session: Session, batch_id: UUID) -> None:
    """Set failed and cancelled items to pending again."""
    session.execute(_RESET_ITEMS, {"batch": batch_id})


def list_pending_chunks(session: Session, job: BulkJob) -> tuple[int, ...]:
    return tuple(session.execute(_PENDING_CHUNKS, {"batch": job.batch_id}).scalars())


def list_pending_positions(session: Session, selection: ItemSelection) -> list[int]:
    """List the positions of a chunk's pending items."""
    return list(session.execute(_PENDING_POSITIONS, selection.params).scalars())


def _set_outcomes(session: Session, selection: ItemSelection, status: ItemStatus, code: ItemErrorCode | None) -> int:
    attempts = int(status is ItemStatus.FAILED)
    params = {**selection.params, "status": status, "code": code, "attempts": attempts}
    count: int = session.execute(_SET_OUTCOMES, params).scalar_one()
    return count
