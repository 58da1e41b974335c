"""Where an organisation has data of one of its peer mentors, counted for an administrator before an erasure."""

from uuid import UUID

from sqlalchemy import text
from sqlmodel import col, select

from stafett.database.session import Database
from stafett.database.tables import PeerMentor
from stafett.domain.errors import NotFoundError
from stafett.domain.frozen import FrozenModel
from stafett.domain.membership import Caller
from stafett.people.access import require_administrator

_COUNT = text("""
WITH own_activities AS MATERIALIZED (
    SELECT id, starts_at, note FROM activities WHERE org_id = :org_id AND mentor_id = :mentor_id
), own_items AS MATERIALIZED (
    SELECT batch_id, overrides FROM bulk_items WHERE org_id = :org_id AND mentor_id = :mentor_id
)
SELECT
    (SELECT count(*) FROM own_activities) AS activities,
    (SELECT count(*) FROM own_activities WHERE note IS NOT NULL)
        + (SELECT count(*) FROM own_items WHERE overrides ->> 'note' IS NOT NULL) AS notes,
    (SELECT count(*) FROM attachments
        WHERE org_id = :org_id AND activity_id IN (SELECT id FROM own_activities)) AS attachments,
    (SELECT count(DISTINCT batch_id) FROM own_items) AS batches,
    (SELECT count(*) FROM exports e
        WHERE e.org_id = :org_id AND e.files_removed_at IS NULL AND e.status <> 'completed_empty' AND EXISTS (
            SELECT FROM own_activities a WHERE a.starts_at BETWEEN e.period_start AND e.period_end)) AS exports
""")


class MentorData(FrozenModel):
    """Counts of what an erasure of a mentor concerns."""

    display_name: str
    activities: int
    """Activities that stay as countable facts, without the mentor's name."""
    notes: int
    attachments: int
    batches: int
    exports: int
    """Exports whose period has an activity of the mentor: at most so many have files with rows of the mentor."""


def count_mentor_data(database: Database, caller: Caller, org_id: str, mentor_id: UUID) -> MentorData:
    """Count what the caller's own role can read. No file is read, and no text is searched for the name."""
    require_administrator(caller, org_id)
    with database.transaction(org_id, user_id=caller.user_id) as session:
        mentor = session.exec(select(PeerMentor.display_name).where(col(PeerMentor.id) == mentor_id)).one_or_none()
        if mentor is None:
            raise NotFoundError("There is no such peer mentor.")
        counts = session.execute(_COUNT, {"org_id": org_id, "mentor_id": mentor_id}).one()
    return MentorData(display_name=mentor, **counts._asdict())
