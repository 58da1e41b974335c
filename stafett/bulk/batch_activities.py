"""What the items of a batch register: the fields that all of them have in common, and the events."""

from collections.abc import Mapping
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlmodel import Session

from stafett.database.tables import BulkBatch

_FIELDS = ("activity_type", "duration_minutes", "participants", "place")
_RANGES = ", ".join(
    f"{function}(coalesce(overrides ->> '{name}', CAST(:{name} AS text))) FILTER (WHERE validation_error IS NULL)"
    for name in _FIELDS
    for function in ("min", "max")
)
_SUMMARY = text(f"""
SELECT count(DISTINCT mentor_ref), count(DISTINCT event_id), min(CAST(event_id AS text)), {_RANGES}
FROM bulk_items WHERE batch_id = :batch_id
""")  # noqa: S608 - the fields are constants


class BatchActivities(NamedTuple):
    """The mentors and events of a batch, and each field that its valid items have in common; None if they differ."""

    mentors: int
    events: int
    event_id: UUID | None
    """The event, if there is only one."""
    fields: Mapping[str, str | None]


def summarise_activities(session: Session, batch: BulkBatch) -> BatchActivities:
    """Summarise all items in one query; fields that no valid item has are left out."""
    shared = {name: batch.activity.get(name) for name in _FIELDS}
    values = {name: None if value is None else str(value) for name, value in shared.items()}
    mentors, events, event_id, *ranges = session.execute(_SUMMARY, {"batch_id": batch.id, **values}).one()
    pairs = zip(_FIELDS, ranges[::2], ranges[1::2], strict=True)
    fields = {name: first if first == last else None for name, first, last in pairs if first is not None}
    return BatchActivities(mentors, events, UUID(event_id) if events == 1 else None, fields)
