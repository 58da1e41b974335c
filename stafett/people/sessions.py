"""Sign-in to the console: attempts that are bound to a browser, and the sessions of users."""

import hashlib
import secrets
from collections.abc import Sequence
from datetime import timedelta
from typing import NamedTuple
from uuid import UUID, uuid4

from sqlalchemy import ColumnElement, delete, func, insert, text, update
from sqlmodel import Session, col, select

from stafett.database.session import Database
from stafett.database.tables import LoginAttempt, Membership, Organisation, User, UserSession
from stafett.domain.errors import PermissionDeniedError, SignInRefusedError
from stafett.domain.export import Locale
from stafett.domain.frozen import FrozenModel
from stafett.people.identities import resolve_user

LOGIN_TIMEOUT = timedelta(minutes=10)
MAX_RETURN_PATH_LENGTH = 1000
_MAX_BROWSER_LENGTH = 200
_USE_INTERVAL = timedelta(minutes=1)
"""Further uses within it are not recorded, so that most requests write nothing."""

_PRESENT_SECRET = text("SELECT set_config('app.secret_sha256', :sha256, true)")
_SET_USER = text("SELECT set_config('app.user_id', :user_id, true)")
_SET_ORGANISATION = text("SELECT set_config('app.org_id', :org_id, true)")


def create_secret() -> str:
    """Create a random secret of 256 bits that fits into cookies and URLs."""
    return secrets.token_urlsafe(32)


class LoginAttempts:
    """Sign-ins in progress. Each has one response, from the browser that started it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def start(self, provider: str, browser_secret: str, return_path: str) -> tuple[str, LoginAttempt]:
        """Store an attempt, and return it with its state, of which the row has only the hash."""
        state = create_secret()
        row = insert(LoginAttempt).values(
            state_sha256=_hash(state),
            browser_sha256=_hash(browser_secret),
            provider=provider,
            nonce=create_secret(),
            code_verifier=create_secret(),
            return_path=return_path,
            expires_at=func.now() + LOGIN_TIMEOUT,
        )
        with self._database.transaction() as session:
            _present_secret(session, state)
            return state, session.scalars(row.returning(LoginAttempt)).one()

    def take(self, state: str, browser_secret: str) -> LoginAttempt:
        """Delete the attempt and return it. Without the secret of its browser it is not found, and stays."""
        query = delete(LoginAttempt).where(
            col(LoginAttempt.state_sha256) == _hash(state),
            col(LoginAttempt.browser_sha256) == _hash(browser_secret),
            col(LoginAttempt.expires_at) > func.now(),
        )
        with self._database.transaction() as session:
            _present_secret(session, state)
            attempt = session.scalars(query.returning(LoginAttempt)).one_or_none()
        if attempt is None:
            raise SignInRefusedError("no_login_attempt")
        return attempt


class SessionLifetime(NamedTuple):
    """Time without a request after which a session ends, and time after which it ends in any case."""

    idle: timedelta
    absolute: timedelta


class VerifiedSignIn(FrozenModel):
    """An identity that a provider has vouched for, and the organisations for which its word counts (None: all)."""

    provider: str
    organisations: frozenset[str] | None
    issuer: str
    subject: str
    verified_address: str | None
    id_token: str
    logout_url: str | None


class OrganisationChoice(FrozenModel):
    """An organisation that a user can act for; without one, an operator acts for the service."""

    org_id: str | None
    name: str | None


class SessionService:
    """Opens, finds, lists and ends the sessions of users."""

    def __init__(self, database: Database, lifetime: SessionLifetime) -> None:
        self._database = database
        self._lifetime = lifetime

    def open(
        self, sign_in: VerifiedSignIn, browser: str, replaced_secret: str | None, language: Locale | None = None
    ) -> str:
        """Open a session, end the one that the browser had before, and return the new secret.

        The language that the browser remembers becomes the user's.
        A refused sign-in leaves no trace: the identity is not linked to the user either.
        """
        secret = create_secret()
        with self._database.transaction() as session:
            user_id = resolve_user(session, sign_in.issuer, sign_in.subject, sign_in.verified_address)
            if user_id is None:
                raise SignInRefusedError("unknown_user")
            session.execute(_SET_USER, {"user_id": str(user_id)})
            choices = _list_choices(session, user_id, sign_in.organisations)
            if not choices:
                raise SignInRefusedError("no_membership")
            if replaced_secret is not None:
                _present_secret(session, replaced_secret)
                session.execute(delete(UserSession).where(_has_secret(replaced_secret)))
            row = insert(UserSession).values(
                id=uuid4(),
                token_sha256=_hash(secret),
                user_id=user_id,
                org_id=choices[0] if len(choices) == 1 else None,
                provider=sign_in.provider,
                id_token=sign_in.id_token,
                logout_url=sign_in.logout_url,
                browser=browser[:_MAX_BROWSER_LENGTH],
                idle_expires_at=func.now() + min(self._lifetime),
                expires_at=func.now() + self._lifetime.absolute,
            )
            session.execute(row)
            _store_language(session, user_id, language)
        return secret

    def find(self, secret: str) -> UserSession | None:
        """Find the session of the secret if it has not expired, and record its use."""
        query = select(UserSession, func.now()).where(_has_secret(secret), _is_valid())
        with self._database.transaction() as session:
            _present_secret(session, secret)
            row = session.exec(query).one_or_none()
            if row is None:
                return None
            found, now = row
            if now - found.last_used_at >= _USE_INTERVAL:
                found.last_used_at = now
                found.idle_expires_at = min(now + self._lifetime.idle, found.expires_at)
                session.add(found)
        return found

    def is_open(self, secret: str) -> bool:
        """Return whether the session of the secret exists, without recording a use of it."""
        with self._database.transaction() as session:
            _present_secret(session, secret)
            return session.exec(select(UserSession.id).where(_has_secret(secret), _is_valid())).first() is not None

    def close(self, secret: str) -> None:
        """End the session of the secret."""
        with self._database.transaction() as session:
            _present_secret(session, secret)
            session.execute(delete(UserSession).where(_has_secret(secret)))

    def list(self, user_id: UUID) -> Sequence[UserSession]:
        """List the user's sessions, the latest first."""
        query = select(UserSession).where(col(UserSession.user_id) == user_id, _is_valid())
        with self._database.transaction(user_id=user_id) as session:
            return session.exec(query.order_by(col(UserSession.created_at).desc(), col(UserSession.id))).all()

    def revoke(self, user_id: UUID, session_id: UUID) -> None:
        """End one of the user's sessions; one that has ended already is no error."""
        with self._database.transaction(user_id=user_id) as session:
            session.execute(delete(UserSession).where(_is_of(user_id), col(UserSession.id) == session_id))

    def revoke_others(self, user_id: UUID, session_id: UUID) -> None:
        """End all of the user's sessions except this one."""
        with self._database.transaction(user_id=user_id) as session:
            session.execute(delete(UserSession).where(_is_of(user_id), col(UserSession.id) != session_id))

    def list_choices(self, user_id: UUID, organisations: frozenset[str] | None) -> Sequence[OrganisationChoice]:
        """List what the user can act for, as far as the provider may vouch for it."""
        with self._database.transaction(user_id=user_id) as session:
            return [
                OrganisationChoice(org_id=org_id, name=_load_name(session, org_id))
                for org_id in _list_choices(session, user_id, organisations)
            ]

    def choose(self, current: UserSession, org_id: str | None, organisations: frozenset[str] | None) -> None:
        """Let the session act for another organisation of the user."""
        with self._database.transaction(user_id=current.user_id) as session:
            if org_id not in _list_choices(session, current.user_id, organisations):
                raise PermissionDeniedError("You are not a member of this organisation.")
            query = update(UserSession).where(_is_of(current.user_id), col(UserSession.id) == current.id)
            session.execute(query.values(org_id=org_id))

    def store_language(self, user_id: UUID, language: Locale) -> None:
        """Store the language that the user has chosen, which is also that of the emails."""
        with self._database.transaction(user_id=user_id) as session:
            _store_language(session, user_id, language)

    def load_user_name(self, user_id: UUID) -> str:
        with self._database.transaction(user_id=user_id) as session:
            return session.exec(select(User.display_name).where(col(User.id) == user_id)).one()


def delete_expired_sessions(maintenance: Database) -> None:
    """Delete the expired sessions and login attempts of all users."""
    options = {"synchronize_session": False}  # the role can select nothing but the times
    with maintenance.transaction() as session:
        for table, expires_at in (
            (UserSession, col(UserSession.idle_expires_at)),
            (LoginAttempt, col(LoginAttempt.expires_at)),
        ):
            session.execute(delete(table).where(expires_at <= func.now()), execution_options=options)


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _present_secret(session: Session, secret: str) -> None:
    """Let the transaction see the row that has the hash of the secret."""
    session.execute(_PRESENT_SECRET, {"sha256": _hash(secret)})


def _has_secret(secret: str) -> ColumnElement[bool]:
    return col(UserSession.token_sha256) == _hash(secret)


def _is_of(user_id: UUID) -> ColumnElement[bool]:
    return col(UserSession.user_id) == user_id


def _is_valid() -> ColumnElement[bool]:
    return col(UserSession.idle_expires_at) > func.now()


def _list_choices(session: Session, user_id: UUID, organisations: frozenset[str] | None) -> list[str | None]:
    """List the ids of the organisations, and None for an operator, for whom no organisation can vouch."""
    memberships = select(Membership.org_id).where(col(Membership.user_id) == user_id).order_by(col(Membership.org_id))
    allowed = [org_id for org_id in session.exec(memberships) if organisations is None or org_id in organisations]
    is_operator = session.exec(select(User.is_operator).where(col(User.id) == user_id)).one()
    return [None, *allowed] if is_operator and organisations is None else list(allowed)


def _store_language(session: Session, user_id: UUID, language: Locale | None) -> None:
    if language is not None:
        is_other = col(User.language).is_distinct_from(language)
        session.execute(update(User).where(col(User.id) == user_id, is_other).values(language=language))


def _load_name(session: Session, org_id: str | None) -> str | None:
    """Load the name of an organisation; its row is visible to a transaction of the organisation only."""
    if org_id is None:
        return None
    session.execute(_SET_ORGANISATION, {"org_id": org_id})
    return session.exec(select(Organisation.name).where(col(Organisation.id) == org_id)).one()
