"""Erases users: their opaque id stays in events and jobs, without identifying anyone."""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, delete, func, or_, update
from sqlmodel import Session, col, select

from stafett.database.session import Database
from stafett.database.tables import ApiKey, Delivery, Membership, Notification, User, UserIdentity, UserSession
from stafett.domain.erasure import ERASED_NAME, ErasureReport, ErasureSummary, Person
from stafett.domain.errors import NotFoundError
from stafett.domain.notification import OPEN_DELIVERY_STATES, Channel, DeliveryState
from stafett.erasure.free_texts import FreeTextErasure
from stafett.erasure.journal import ErasureJournal, SourceErasure


class UserErasure:
    """Erases an account with its last membership: while another organisation has it, the account is retained."""

    def __init__(self, database: Database, journal: ErasureJournal) -> None:
        self._database = database
        self._journal = journal
        self._free_texts = FreeTextErasure(database, journal)

    def dry_run(self, person: Person) -> ErasureReport:
        """Report what would be erased, without changing anything."""
        with self._database.transaction(person.org_id, user_id=person.id) as session:
            user, memberships = self._get_user_or_404(session, person), _load_memberships(session, person)
            emails = session.scalar(select(func.count()).select_from(Delivery).where(*_pending_email_filter(person)))
        name = _current_name(user) or self._journal.get_search_name(person)
        summary = ErasureSummary(
            memberships_removed=len(memberships) - len(_list_other_organisations(memberships, person)),
            emails_given_up=emails or 0,
        )
        summary = summary.merge(self._free_texts.count_clearable(person, name))
        summary = summary.merge(self._free_texts.find_to_review(person, name))
        retained_for = _list_other_organisations(memberships, person)
        return ErasureReport(person=person, dry_run=True, summary=summary, account_retained_for=retained_for)

    def erase(self, person: Person) -> ErasureSummary:
        """Erase the user, and return what the operator has to review."""
        with self._database.transaction(person.org_id, user_id=person.id) as session:
            user = self._get_user_or_404(session, person, for_update=True)
            self._journal.start(session, person, _erase_source(session, person, user))
        name = self._journal.get_search_name(person)
        self._free_texts.clear(person, name)
        return self._free_texts.find_to_review(person, name)

    def list_other_organisations(self, person: Person) -> tuple[str, ...]:
        """List the other organisations that still have the account."""
        with self._database.transaction(person.org_id, user_id=person.id) as session:
            return _list_other_organisations(_load_memberships(session, person), person)

    def _get_user_or_404(self, session: Session, person: Person, *, for_update: bool = False) -> User:
        """Load a user of this organisation or of none: an operator, a former member, or one being erased already."""
        query = select(User).where(col(User.id) == person.id)
        user = session.exec(query.with_for_update() if for_update else query).one_or_none()
        memberships = {membership.org_id for membership in _load_memberships(session, person)}
        is_of_organisation = (
            not memberships or person.org_id in memberships or self._journal.has_erasure(session, person)
        )
        if user is None or not is_of_organisation:
            raise NotFoundError(f"{person.org_id} has no user {person.id}.")
        return user


def _erase_source(session: Session, person: Person, user: User) -> SourceErasure:
    name, memberships = _current_name(user), _load_memberships(session, person)
    other_organisations = _list_other_organisations(memberships, person)
    if not other_organisations and name is not None:
        user.display_name, user.email, user.is_operator = ERASED_NAME, f"erased-{user.id}@invalid", False
        session.add(user)
        session.execute(delete(UserIdentity).where(col(UserIdentity.user_id) == user.id))
    session.execute(delete(UserSession).where(col(UserSession.user_id) == user.id))
    removal = delete(Membership).where(col(Membership.user_id) == person.id, col(Membership.org_id) == person.org_id)
    memberships_removed = len(session.scalars(removal.returning(col(Membership.org_id))).all())
    _erase_api_keys(session, person)
    values = {"state": DeliveryState.GIVEN_UP, "last_error": "recipient_left", "settled_at": func.clock_timestamp()}
    emails = update(Delivery).where(*_pending_email_filter(person)).values(values)
    emails_given_up = len(session.scalars(emails.returning(col(Delivery.id))).all())
    has_changed = bool(memberships_removed or emails_given_up) or (not other_organisations and name is not None)
    summary = ErasureSummary(memberships_removed=memberships_removed, emails_given_up=emails_given_up)
    return SourceErasure(name, has_changed, summary)


def _erase_api_keys(session: Session, person: Person) -> None:
    """Revoke the keys that the user has made in the organisation, and delete their names, which are free text."""
    values = {"name": ERASED_NAME, "revoked_at": func.coalesce(col(ApiKey.revoked_at), func.clock_timestamp())}
    keys = update(ApiKey).where(col(ApiKey.org_id) == person.org_id, col(ApiKey.user_id) == person.id)
    session.execute(keys.values(values), execution_options={"synchronize_session": False})


def _load_memberships(session: Session, person: Person) -> Sequence[Membership]:
    return session.exec(select(Membership).where(col(Membership.user_id) == person.id)).all()


def _list_other_organisations(memberships: Sequence[Membership], person: Person) -> tuple[str, ...]:
    return tuple(sorted(membership.org_id for membership in memberships if membership.org_id != person.org_id))


def _pending_email_filter(person: Person) -> tuple[ColumnElement[bool], ...]:
    notification_ids = select(Notification.id).where(
        col(Notification.org_id) == person.org_id, col(Notification.user_id) == person.id
    )
    return (
        col(Delivery.org_id) == person.org_id,
        col(Delivery.channel) == Channel.EMAIL,
        col(Delivery.state).in_(OPEN_DELIVERY_STATES),
        or_(col(Delivery.notification_id).in_(notification_ids), col(Delivery.invited_user_id) == person.id),
    )


def _current_name(user: User) -> str | None:
    return None if user.display_name == ERASED_NAME else user.display_name
