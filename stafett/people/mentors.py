"""Peer mentors of an organisation: listed, added, edited and imported."""

import re
from collections.abc import Container, Mapping, Sequence
from datetime import date, datetime
from datetime import time as clock_time
from typing import Annotated, Any, NamedTuple
from uuid import UUID, uuid4

from pydantic import BeforeValidator, ConfigDict, Field, StrictBool, StringConstraints, TypeAdapter, model_validator
from sqlalchemy import func, tuple_
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Session, col, select
from sqlmodel.sql.expression import SelectOfScalar

from stafett.audit.trail import AuditEntry, append_audit_event
from stafett.database.idempotency import IdempotencyScope, claim_idempotency_key
from stafett.database.pagination import (
    DEFAULT_PAGE_SIZE,
    OrgIdFilter,
    Page,
    PageSize,
    PageToken,
    decode_page_token,
    invalid_token_error,
    select_visible,
    split_page,
)
from stafett.database.session import Database
from stafett.database.tables import PeerMentor
from stafett.domain.errors import NotFoundError, PermissionDeniedError, require_revision
from stafett.domain.export import OrgId
from stafett.domain.fields import NO_NUL, DisplayName, UtcDatetime
from stafett.domain.frozen import FrozenModel
from stafett.domain.membership import Caller
from stafett.domain.reporting_period import OSLO

_ADD_OPERATION = "peer-mentors.add"
_ISO_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_LIST_NAME, _ID_KEY = "peer_mentors", TypeAdapter(tuple[UUID])
_MAX_BRANCHES = 500
_NAME_ORDER = (col(PeerMentor.display_name), col(PeerMentor.id))


def _midnight_in_oslo(value: object) -> object:
    """Take a day as its beginning in Europe/Oslo; any other value is unchanged."""
    if not isinstance(value, str) or not _ISO_DAY.fullmatch(value):
        return value
    try:
        return datetime.combine(date.fromisoformat(value), clock_time(), OSLO)
    except ValueError:
        return value


ApprovedAt = Annotated[UtcDatetime, BeforeValidator(_midnight_in_oslo)]


class MentorFields(FrozenModel):
    """What an organisation records about a peer mentor."""

    display_name: DisplayName = Field(description="Name of the peer mentor.")
    active: StrictBool = Field(True, description="Whether activities can be registered for the mentor.")
    branch: DisplayName | None = Field(None, description="Local branch, as the organisation names it.")
    approved_at: ApprovedAt | None = Field(
        None, description="When the mentor was approved: a time, or a day in Europe/Oslo."
    )


class NewMentor(MentorFields):
    """A peer mentor to add."""

    org_id: OrgId


class MentorEdit(FrozenModel):
    """Fields to change. Omitted fields stay unchanged."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"active": False}]})

    display_name: DisplayName | None = Field(None, description="New name of the mentor; not null.")
    active: StrictBool | None = Field(
        None, description="Whether activities can be registered for the mentor; not null."
    )
    branch: DisplayName | None = Field(None, description="Local branch; null removes it.")
    approved_at: ApprovedAt | None = Field(
        None, description="When the mentor was approved: a time, or a day in Europe/Oslo; null removes it."
    )

    @model_validator(mode="after")
    def _require_a_change(self) -> "MentorEdit":
        required = {"display_name", "active"} & self.model_fields_set
        if not self.model_fields_set or any(getattr(self, name) is None for name in required):
            raise ValueError("specify at least one field; the name and active cannot be null")
        return self


class MentorFilter(FrozenModel):
    """Filters of the list of peer mentors."""

    org_id: OrgIdFilter = None
    active: bool | None = Field(None, description="Only active, or only inactive, peer mentors.")
    q: Annotated[str, StringConstraints(min_length=1, max_length=100), NO_NUL] | None = Field(
        None, description="Only names that contain this text."
    )
    branch: Annotated[str, StringConstraints(min_length=1, max_length=200), NO_NUL] | None = Field(
        None, description="Only mentors of this local branch."
    )
    page_size: PageSize = DEFAULT_PAGE_SIZE
    page_token: PageToken = None


class SavedMentor(NamedTuple):
    """A mentor, and the ids of other mentors of the organisation with the same name."""

    mentor: PeerMentor
    same_name: Sequence[UUID]


class MentorService:
    """The API's access to the ``peer_mentors`` table. Each change is one transaction with its audit event."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def list(self, caller: Caller, filters: MentorFilter) -> Page[PeerMentor]:
        """List mentors by name. The page token has the last mentor's id, because a name is personal data."""
        query = _select_mentors(caller, filters).limit(filters.page_size + 1)
        with self._database.transaction(caller.org_id, user_id=caller.user_id) as session:
            if filters.page_token:
                last_mentor = session.get(PeerMentor, decode_page_token(filters.page_token, _LIST_NAME, _ID_KEY))
                if last_mentor is None:  # erased meanwhile, or of another organisation
                    raise invalid_token_error()
                query = query.where(tuple_(*_NAME_ORDER) > (last_mentor.display_name, last_mentor.id))
            return split_page(session.exec(query).all(), filters, _LIST_NAME, lambda mentor: [mentor.id])

    def list_ids(self, caller: Caller, filters: MentorFilter, limit: int) -> Sequence[UUID]:
        """List the ids of all mentors that the filters select, by name, at most ``limit``."""
        with self._database.transaction(caller.org_id, user_id=caller.user_id) as session:
            return session.scalars(
                _select_mentors(caller, filters).with_only_columns(col(PeerMentor.id)).limit(limit)
            ).all()

    def list_branches(self, caller: Caller) -> Sequence[str]:
        """List the organisation's local branches, by name: those that its mentors have."""
        query = select(PeerMentor.branch).where(PeerMentor.org_id == caller.org_id, col(PeerMentor.branch).is_not(None))
        with self._database.transaction(caller.org_id, user_id=caller.user_id) as session:
            branches = session.exec(query.distinct().order_by(col(PeerMentor.branch)).limit(_MAX_BRANCHES)).all()
            return [branch for branch in branches if branch is not None]

    def load_names(self, caller: Caller, mentor_ids: Sequence[UUID]) -> Mapping[UUID, str]:
        """Load the names of those mentors that the caller's organisation has."""
        names = select(PeerMentor.id, PeerMentor.display_name)
        query = names.where(col(PeerMentor.id).in_(mentor_ids), PeerMentor.org_id == caller.org_id)
        with self._database.transaction(caller.org_id, user_id=caller.user_id) as session:
            return dict(session.exec(query).all())

    def find(self, caller: Caller, mentor_id: UUID) -> PeerMentor:
        with self._database.transaction(caller.org_id, user_id=caller.user_id) as session:
            return _get_or_404(session, mentor_id)

    def add(self, caller: Caller, new: NewMentor, idempotency_key: str | None) -> SavedMentor:
        authorise_mentors(caller, new.org_id)
        new_id = uuid4()
        with self._database.transaction(new.org_id, user_id=caller.user_id) as session:
            scope = IdempotencyScope(new.org_id, _ADD_OPERATION, idempotency_key)
            mentor_id = claim_idempotency_key(session, scope, new, new_id)
            if mentor_id != new_id:
                return _load_saved(session, _get_or_404(session, mentor_id))
            row = insert(PeerMentor).values(id=new_id, **new.model_dump())
            saved = _load_saved(session, session.scalars(row.returning(PeerMentor)).one())
            append_audit_event(session, build_mentor_entry(caller, new.org_id, new_id, "mentor_added"))
            return saved

    def edit(
        self, caller: Caller, mentor_id: UUID, edit: MentorEdit, expected_revisions: Container[int] | None
    ) -> SavedMentor:
        """Change fields of a mentor, if the client's expected revision is current."""
        with self._database.transaction(caller.org_id, user_id=caller.user_id) as session:
            mentor = _get_or_404(session, mentor_id, for_update=True)
            authorise_mentors(caller, mentor.org_id)
            require_revision(expected_revisions, mentor.edits, "peer mentor")
            values: dict[str, Any] = edit.model_dump(exclude_unset=True)
            changed = {name: True for name, value in values.items() if getattr(mentor, name) != value}
            session.add(mentor.sqlmodel_update(values | {"edits": mentor.edits + 1}))
            saved = _load_saved(session, mentor)
            event = "mentor_deactivated" if "active" in changed and not mentor.active else "mentor_edited"
            append_audit_event(session, build_mentor_entry(caller, mentor.org_id, mentor_id, event, **changed))
            return saved


def _select_mentors(caller: Caller, filters: MentorFilter) -> SelectOfScalar[PeerMentor]:
    query = select_visible(PeerMentor, caller, filters).order_by(*_NAME_ORDER)
    return query.where(col(PeerMentor.display_name).icontains(filters.q, autoescape=True)) if filters.q else query


def authorise_mentors(caller: Caller, org_id: str) -> None:
    if not caller.can_manage_mentors_of(org_id):
        raise PermissionDeniedError("You may not add or change peer mentors of this organisation.")


def build_mentor_entry(caller: Caller, org_id: str, subject_id: UUID, event: str, **detail: bool | int) -> AuditEntry:
    """Build an audit entry with the names of changed fields, never with their values."""
    return AuditEntry(
        org_id=org_id,
        actor=caller.actor,
        event=event,
        subject_kind="peer_mentor",
        subject_id=subject_id,
        detail={**detail},
    )


def _get_or_404(session: Session, mentor_id: UUID, *, for_update: bool = False) -> PeerMentor:
    mentor = session.get(PeerMentor, mentor_id, with_for_update=for_update)
    if mentor is None:
        raise NotFoundError("There is no such peer mentor.")
    return mentor


def _load_saved(session: Session, mentor: PeerMentor) -> SavedMentor:
    same_name = select(PeerMentor.id).where(
        PeerMentor.org_id == mentor.org_id,
        PeerMentor.id != mentor.id,
        func.lower(PeerMentor.display_name) == func.lower(mentor.display_name),
    )
    return SavedMentor(mentor, session.exec(same_name.limit(20)).all())
