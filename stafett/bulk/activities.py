"""Registered activities, as the API lists, corrects and deletes them."""

from collections.abc import Container, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, NamedTuple
from uuid import UUID

from psycopg.errors import ExclusionViolation
from pydantic import Field
from sqlalchemy import func
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col, select

from stafett.audit.trail import AuditEntry, append_audit_event
from stafett.bulk.overlaps import MentorTime, OverlappedActivity, find_overlapped
from stafett.database.pagination import NEWEST_FIRST, ListFilter, Page, load_page, select_visible
from stafett.database.session import Database
from stafett.database.tables import Activity, PeerMentor
from stafett.domain.bulk_status import ITEM_ERROR_MESSAGES, ItemErrorCode
from stafett.domain.errors import (
    InvalidRequestError,
    NotFoundError,
    OverlappingActivityError,
    PermissionDeniedError,
    RequestIssue,
    require_revision,
)
from stafett.domain.fields import IdPrefix, bound_id_prefix
from stafett.domain.membership import Caller
from stafett.domain.proxy_activity import ACTIVITY_FIELDS, ActivityCorrection, check_participants
from stafett.domain.reporting_period import DayOrInstant, to_first_instant, to_last_instant

_LATEST_FIRST = NEWEST_FIRST._replace(names=("starts_at", "id"))
_NOUN, _DURATION = "activity", "duration_minutes"
_MINUTE = timedelta(minutes=1)


class ActivityFilter(ListFilter):
    """Filters of the list of activities. Both ends of the period are included."""

    batch_id: UUID | None = Field(None, description="Only activities that this batch registered.")
    mentor_id: UUID | None = Field(None, description="Only activities of this peer mentor.")
    period_start: DayOrInstant | None = Field(
        None, description="Only activities that start on this date in Europe/Oslo, at this time, or later."
    )
    period_end: DayOrInstant | None = Field(
        None, description="Only activities that start on this date in Europe/Oslo, at this time, or earlier."
    )
    id_prefix: IdPrefix | None = Field(
        None,
        description="Only activities whose id starts with these 8 or more hexadecimal digits; hyphens are ignored.",
    )
    event_id_prefix: IdPrefix | None = Field(
        None,
        description="Only activities at events whose id starts with these 8 or more hexadecimal digits; hyphens are"
        " ignored.",
    )


class ActivityDetails(NamedTuple):
    """An activity with the name of its peer mentor."""

    activity: Activity
    mentor_name: str


class ActivityService:
    """The API's access to the ``activities`` table. Each change is one transaction with its audit event."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def list(self, caller: Caller, filters: ActivityFilter) -> Page[ActivityDetails]:
        """List activities, latest start first."""
        starts_at, query = col(Activity.starts_at), select_visible(Activity, caller, filters)
        if filters.period_start is not None:
            query = query.where(starts_at >= to_first_instant(filters.period_start))
        if filters.period_end is not None:
            query = query.where(starts_at <= to_last_instant(filters.period_end))
        if filters.id_prefix is not None:
            query = query.where(col(Activity.id).between(*bound_id_prefix(filters.id_prefix)))
        if filters.event_id_prefix is not None:
            query = query.where(col(Activity.event_id).between(*bound_id_prefix(filters.event_id_prefix)))
        with self._database.transaction(caller.org_id, user_id=caller.user_id) as session:
            activities, page_token = load_page(session, Activity, query, filters, _LATEST_FIRST)
            return Page(_name_mentors(session, activities), page_token)

    def find(self, caller: Caller, activity_id: UUID) -> ActivityDetails:
        with self._database.transaction(caller.org_id, user_id=caller.user_id) as session:
            activity = _require_existing(session.get(Activity, activity_id))
            return ActivityDetails(activity, session.get_one(PeerMentor, activity.mentor_id).display_name)

    def find_deleted(self, caller: Caller, activity_ids: Sequence[UUID]) -> frozenset[UUID]:
        """Return which of the activities have been deleted since they were registered."""
        query = select(Activity.id).where(col(Activity.id).in_(activity_ids), col(Activity.deleted_at).is_not(None))
        with self._database.transaction(caller.org_id, user_id=caller.user_id) as session:
            return frozenset(session.exec(query.where(Activity.org_id == caller.org_id)))

    def find_overlapped(
        self, caller: Caller, times: Sequence[MentorTime | None]
    ) -> Sequence[OverlappedActivity | None]:
        """Find the first registered activity that each time overlaps, or None."""
        if caller.org_id is None:
            raise PermissionDeniedError("An operator has no activities.")
        with self._database.transaction(caller.org_id, user_id=caller.user_id) as session:
            return find_overlapped(session, caller.org_id, times)

    def correct(
        self,
        caller: Caller,
        activity_id: UUID,
        correction: ActivityCorrection,
        expected_revisions: Container[int] | None,
    ) -> ActivityDetails:
        """Correct fields, if the client's expected revision is current. Equal values change and record nothing."""
        with self._lock_for_change(caller, activity_id) as (session, details):
            activity = details.activity
            require_revision(expected_revisions, activity.edits, _NOUN)
            changes = _find_changes(activity, correction)
            if changes:
                columns = _build_columns(activity, changes)
                session.add(activity.sqlmodel_update(columns | {"edits": activity.edits + 1}))
                append_audit_event(session, _build_entry(caller, activity, "activity_corrected", changes))
            return details

    def delete(self, caller: Caller, activity_id: UUID, expected_revisions: Container[int] | None = None) -> None:
        """Mark an activity as deleted, if the client expects no revision or the current one."""
        with self._lock_for_change(caller, activity_id) as (session, details):
            activity = details.activity
            if expected_revisions is not None:
                require_revision(expected_revisions, activity.edits, _NOUN)
            deletion = {"deleted_at": func.clock_timestamp(), "edits": activity.edits + 1}
            session.add(activity.sqlmodel_update(deletion))
            append_audit_event(session, _build_entry(caller, activity, "activity_deleted"))

    @contextmanager
    def _lock_for_change(self, caller: Caller, activity_id: UUID) -> Iterator[tuple[Session, ActivityDetails]]:
        """Lock an activity that the caller may change.

        The mentor is locked first, and so does a batch: two activities that were moved to each other's time at once, or
        one that is moved to a time that a batch is registering, would be a deadlock.
        """
        with (
            _translate_overlap(),
            self._database.transaction(caller.org_id, user_id=caller.user_id) as session,
        ):
            found, lock = _require_existing(session.get(Activity, activity_id)), {"key_share": True}
            mentor = session.get_one(PeerMentor, found.mentor_id, with_for_update=lock)
            activity = session.get(Activity, activity_id, populate_existing=True, with_for_update=lock)
            details = ActivityDetails(_require_existing(activity), mentor.display_name)
            if not caller.can_correct_activities_of(details.activity.org_id):
                raise PermissionDeniedError("You may not correct or delete activities of this organisation.")
            yield session, details


def _require_existing(activity: Activity | None) -> Activity:
    if activity is None or activity.deleted_at is not None:
        raise NotFoundError("There is no such activity.")
    return activity


def _name_mentors(session: Session, activities: Sequence[Activity]) -> Sequence[ActivityDetails]:
    query = select(PeerMentor.id, PeerMentor.display_name)
    names = dict(session.exec(query.where(col(PeerMentor.id).in_({each.mentor_id for each in activities}))).all())
    return [ActivityDetails(activity, names[activity.mentor_id]) for activity in activities]


def _find_changes(activity: Activity, correction: ActivityCorrection) -> dict[str, Any]:
    """Return the corrected fields whose values differ; raise if the activity would not be valid with them."""
    stored = {name: getattr(activity, name) for name in ACTIVITY_FIELDS if name != _DURATION}
    stored[_DURATION] = (activity.ends_at - activity.starts_at) / _MINUTE
    fields = correction.model_dump(exclude_unset=True)
    try:
        check_participants(*((stored | fields)[name] for name in ("participants", "new_participants")))
    except ValueError as error:
        raise InvalidRequestError([RequestIssue("/new_participants", "value_error", str(error))]) from None
    return {name: value for name, value in fields.items() if value != stored[name]}


def _build_columns(activity: Activity, changes: dict[str, Any]) -> dict[str, Any]:
    """Return the new values of the columns. An activity whose start is corrected keeps its duration."""
    columns = {name: value for name, value in changes.items() if name != _DURATION}
    duration = changes[_DURATION] * _MINUTE if _DURATION in changes else activity.ends_at - activity.starts_at
    return columns | {"ends_at": columns.get("starts_at", activity.starts_at) + duration}


def _build_entry(caller: Caller, activity: Activity, event: str, changes: Container[str] = ()) -> AuditEntry:
    """Build an audit entry with the names of the corrected fields, never with their values."""
    return AuditEntry(
        org_id=activity.org_id,
        actor=caller.actor,
        event=event,
        subject_kind="activity",
        subject_id=activity.id,
        detail={name: True for name in ACTIVITY_FIELDS if name in changes},
    )


@contextmanager
def _translate_overlap() -> Iterator[None]:
    try:
        yield
    except IntegrityError as error:
        if not isinstance(error.orig, ExclusionViolation):
            raise
        raise OverlappingActivityError(ITEM_ERROR_MESSAGES[ItemErrorCode.OVERLAPPING_ACTIVITY]) from None
