"""The note that the items of a batch share, which is a note of a mentor's activity too."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import ColumnElement, and_, func, select, text, update
from sqlalchemy.orm import aliased
from sqlalchemy.sql.dml import ReturningUpdate
from sqlmodel import Session, col

from stafett.database.tables import BulkBatch, BulkItem
from stafett.domain.erasure import Person

_OtherItem = aliased(BulkItem)


def own_batch_note_filter(person: Person) -> tuple[ColumnElement[bool], ...]:
    """Match batches with a shared note, all items of which are the mentor's."""
    return (*_filter_batches(person), ~_has_items_of_others(person))


def clear_own_batch_notes(person: Person) -> ReturningUpdate[UUID]:
    """Clear the note of batches all items of which are the mentor's."""
    emptied = func.jsonb_set(col(BulkBatch.activity), ["note"], text("'null'::jsonb"))
    statement = update(BulkBatch).where(*own_batch_note_filter(person)).values(activity=emptied)
    return statement.returning(col(BulkBatch.id)).execution_options(synchronize_session=False)


def list_batches_with_shared_note(session: Session, person: Person) -> Sequence[UUID]:
    """List the batches whose note is of the mentor and of others: a program does not know whom it is about."""
    query = select(col(BulkBatch.id)).where(*_filter_batches(person), _has_items_of_others(person))
    return session.scalars(query.order_by(col(BulkBatch.id))).all()


def _filter_batches(person: Person) -> tuple[ColumnElement[bool], ...]:
    has_shared_note = col(BulkBatch.activity)["note"].as_string().is_not(None)
    uses_shared_note = ~col(BulkItem.overrides).has_key("note")  # type: ignore[attr-defined]  # of JSONB
    own_items = select(col(BulkItem.batch_id)).where(
        col(BulkItem.org_id) == person.org_id, col(BulkItem.mentor_id) == person.id, uses_shared_note
    )
    return col(BulkBatch.org_id) == person.org_id, has_shared_note, col(BulkBatch.id).in_(own_items)


def _has_items_of_others(person: Person) -> ColumnElement[bool]:
    is_of_other = and_(
        col(_OtherItem.org_id) == person.org_id,
        col(_OtherItem.batch_id) == col(BulkBatch.id),
        col(_OtherItem.mentor_id).is_distinct_from(person.id),
    )
    return select(col(_OtherItem.batch_id)).where(is_of_other).exists()
