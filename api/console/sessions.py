"""The session of a request to the console, as a dependency of its routes."""

import hmac
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Request, params

from api.auth import Identity
from api.concurrency import run_in_threadpool
from api.console.languages import get_requested_language
from api.console.openid import OpenIDProvider
from api.console.services import get_console_services
from api.dependencies import get_services
from api.rate_limit import TooManyRequestsError
from stafett.database.tables import UserSession
from stafett.domain.errors import NotFoundError, PermissionDeniedError, ServiceUnavailableError, StafettError
from stafett.domain.membership import Caller, Permission


class SignInRequiredError(StafettError):
    """The request has no valid session."""


class OrganisationRequiredError(StafettError):
    """The user has not chosen an organisation, or is no longer a member of it."""


@dataclass(frozen=True)
class ConsoleSession:
    """The session of a signed-in user, who may still have to choose an organisation."""

    row: UserSession
    secret: str
    provider: OpenIDProvider

    @property
    def user_id(self) -> UUID:
        return self.row.user_id

    @cached_property
    def form_token(self) -> str:
        """The token that forms of this session contain. It does not reveal the secret of the cookie."""
        return hmac.digest(self.secret.encode(), b"form token", "sha256").hex()


@dataclass(frozen=True)
class ActiveSession(ConsoleSession):
    """The session of a user who acts for an organisation, or as an operator, with their current role."""

    caller: Caller

    @property
    def org_id(self) -> str:
        """The organisation that the user acts for."""
        if self.caller.org_id is None:
            raise NotFoundError("An operator has no organisation.")
        return self.caller.org_id


async def admit_unauthenticated(request: Request) -> None:
    """Let the request share threads with all others whose user is not known yet."""
    get_services(request).authenticator.admit_unauthenticated()


async def require_session(request: Request) -> ConsoleSession:
    """Find the session of the cookie; raise ``SignInRequiredError`` if there is none or its provider is gone.

    A language that the URL names becomes the one of the user's emails. Error pages have the menu of the session.
    """
    console, authenticator = get_console_services(request), get_services(request).authenticator
    secret = console.session_cookie.read(request)
    row = await run_in_threadpool(console.sessions.find, secret) if secret else None
    provider = console.providers.get(row.provider) if row else None
    if secret is None or row is None or provider is None:
        raise SignInRequiredError
    authenticator.admit(row.user_id)
    if language := get_requested_language(request):
        await run_in_threadpool(console.sessions.store_language, row.user_id, language)
    session = request.state.console_session = ConsoleSession(row, secret, provider)
    return session


SignedInSession = Annotated[ConsoleSession, Depends(require_session)]


async def require_organisation(request: Request, session: SignedInSession) -> ActiveSession:
    """Load the caller with their current role, and check that the provider may vouch for the organisation."""
    org_id, vouched_for = session.row.org_id, session.provider.organisations
    if vouched_for is not None and org_id not in vouched_for:
        raise OrganisationRequiredError
    try:
        identity = Identity(user_id=session.user_id, org_id=org_id)
        caller = await get_services(request).authenticator.load_caller(identity)
    except PermissionDeniedError:
        raise OrganisationRequiredError from None
    if caller.org_id != org_id:  # an operator who is no longer a member
        raise OrganisationRequiredError
    active = request.state.console_session = ActiveSession(session.row, session.secret, session.provider, caller)
    return active


def get_loaded_session(request: Request) -> ConsoleSession | None:
    """Return the session, if a dependency of this request has loaded it."""
    session: ConsoleSession | None = getattr(request.state, "console_session", None)
    return session


async def find_session(request: Request) -> ConsoleSession | None:
    """Find the session for the menu of a page that is shown without one, too, and whatever is unavailable."""
    await admit_unauthenticated(request)
    with suppress(SignInRequiredError, OrganisationRequiredError, ServiceUnavailableError, TooManyRequestsError):
        await require_organisation(request, await require_session(request))
    return get_loaded_session(request)


CurrentSession = Annotated[ActiveSession, Depends(require_organisation)]


def require_permission(permission: Permission) -> params.Depends:
    """Declare the permission that a page requires of the user's role. What a form changes, the services decide."""

    async def check_permission(session: CurrentSession) -> ActiveSession:
        if not session.caller.has_permission(permission):
            raise PermissionDeniedError("The role of the user does not allow this.")
        return session

    dependency: params.Depends = Depends(check_permission)
    return dependency


JobStarter = Annotated[ActiveSession, require_permission(Permission.START_JOBS)]
ActivityCorrector = Annotated[ActiveSession, require_permission(Permission.CORRECT_ACTIVITIES)]
MentorManager = Annotated[ActiveSession, require_permission(Permission.MANAGE_MENTORS)]
Administrator = Annotated[ActiveSession, require_permission(Permission.ADMINISTER)]
