"""Authentication of many requests of one user: one signature check and few queries."""

import asyncio
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, cast
from uuid import uuid4

import pytest

import api.authenticator
from api.auth import Credential, CredentialVerifier
from api.authenticator import Authenticator
from api.callers import Access, AccessQuery
from api.concurrency import ThreadShares
from api.rate_limit import RateLimiter, TooManyRequestsError
from stafett.domain.errors import UnauthenticatedError
from stafett.domain.membership import Role
from stafett.settings import RateLimitSettings

if TYPE_CHECKING:
    from stafett.database.session import Database

_EXPIRES_AT = 1000.0


class _Verifier:
    """A verifier that knows one token and counts its checks."""

    def __init__(self) -> None:
        self.checks = 0
        self.credential = Credential(user_id=uuid4(), org_id="nhf", expires_at=_EXPIRES_AT)

    def verify(self, token: str) -> Credential:
        self.checks += 1
        if token != "valid":  # noqa: S105 - not a secret
            raise UnauthenticatedError("Missing or invalid bearer token.")
        return self.credential


def create_authenticator(verifier: _Verifier, clock: Callable[[], float], burst: int = 1000) -> Authenticator:
    limiter = RateLimiter(RateLimitSettings(burst=burst), clock=lambda: 0.0)
    return Authenticator(
        cast("CredentialVerifier", verifier), limiter, ThreadShares(2), cast("Database", None), clock=clock
    )


@pytest.fixture
def queries(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The threads in which the access of callers was loaded."""
    threads: list[str] = []

    def load(_database: object, queries: Sequence[AccessQuery]) -> Sequence[Access]:
        threads.append(threading.current_thread().name)
        return [Access(query, Role.COORDINATOR, False, None, None) for query in queries]

    monkeypatch.setattr(api.authenticator, "load_access", load)
    return threads


async def test_concurrent_requests_of_a_user_share_one_query(queries: list[str]) -> None:
    verifier = _Verifier()
    authenticator = create_authenticator(verifier, lambda: 0.0)
    await authenticator.authenticate("valid")
    await asyncio.gather(*(asyncio.create_task(authenticator.authenticate("valid")) for _ in range(100)))
    assert verifier.checks == 1
    assert len(queries) <= 3


async def test_verified_token_is_checked_again_after_its_lifetime(queries: list[str]) -> None:
    now, verifier = 0.0, _Verifier()
    authenticator = create_authenticator(verifier, lambda: now)
    for now in (0.0, 29.0, 31.0, _EXPIRES_AT - 1, _EXPIRES_AT + 1, _EXPIRES_AT + 2):  # noqa: B007 - the clock reads it
        await authenticator.authenticate("valid")
    assert verifier.checks == 5
    assert len(queries) == 6


async def test_invalid_token_is_never_remembered(queries: list[str]) -> None:
    verifier = _Verifier()
    authenticator = create_authenticator(verifier, lambda: 0.0)
    for _ in range(2):
        with pytest.raises(UnauthenticatedError):
            await authenticator.authenticate("invalid")
    assert (verifier.checks, queries) == (2, [])


async def test_rate_limit_is_applied_before_the_query(queries: list[str]) -> None:
    authenticator = create_authenticator(_Verifier(), lambda: 0.0, burst=1)
    await authenticator.authenticate("valid")
    with pytest.raises(TooManyRequestsError):
        await authenticator.authenticate("valid")
    assert len(queries) == 1
