"""Authentication of requests: token, rate limit and role, at little cost for many requests of one user."""

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import TypeVar, TypeVarTuple
from uuid import UUID

from anyio import CapacityLimiter
from anyio.to_thread import run_sync

from api.auth import Credential, CredentialVerifier, Identity
from api.callers import Access, AccessQuery, JobKey, load_access
from api.concurrency import ThreadShares
from api.rate_limit import RateLimiter
from api.shared_reads import BatchedRead
from stafett.database.session import Database
from stafett.domain.membership import Caller

Result = TypeVar("Result")
Arguments = TypeVarTuple("Arguments")
_MAX_VERIFIED = 10_000
_VERIFIED_LIFETIME_SECONDS = 30.0
VERIFYING_THREADS, ACCESS_THREADS = 2, 2
"""A backend of PostgreSQL that hangs occupies one thread for its deadline, and not the other."""
_MAX_ACCESS_WAIT_SECONDS = 0.5
_UNAUTHENTICATED = UUID(int=0)


class _ThreadLimit:
    """Runs functions in threads of their own, at most so many at a time."""

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._limiter: CapacityLimiter | None = None

    async def run(self, function: Callable[[*Arguments], Result], *args: *Arguments) -> Result:
        if self._limiter is None:  # it belongs to the running event loop
            self._limiter = CapacityLimiter(self._threads)
        return await run_sync(function, *args, limiter=self._limiter)


class Authenticator:
    """Authenticates bearer tokens and API keys. Unverified ones have threads of their own, so they delay no user."""

    def __init__(
        self,
        verifier: CredentialVerifier,
        rate_limiter: RateLimiter,
        shares: ThreadShares,
        database: Database,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._verifier = verifier
        self._rate_limiter = rate_limiter
        self._shares = shares
        self._clock = clock
        self._verified: OrderedDict[bytes, tuple[float, Credential]] = OrderedDict()
        self._database = database
        self._verifying = _ThreadLimit(VERIFYING_THREADS)
        self._accessing = _ThreadLimit(ACCESS_THREADS)
        self._access = BatchedRead[AccessQuery, Access](self._load_access, max_wait_seconds=_MAX_ACCESS_WAIT_SECONDS)
        """Requests that arrive at the same time share a statement, whichever users they are of, and one thread."""

    async def authenticate(self, bearer_token: str, job: JobKey | None = None) -> tuple[Credential, Access]:
        """Verify the token or key and load what it may access, and the revision of the job that the request polls.

        The rate limit comes first, so that it protects PostgreSQL.
        """
        credential = await self._verify(bearer_token)
        self.admit(credential.client_id)
        return credential, await self._access.get(AccessQuery.from_identity(credential, job))

    def admit(self, client_id: UUID) -> None:
        """Apply the client's rate limit and share of the threads to the current request."""
        self._rate_limiter.take_token(client_id)
        self._shares.activate(client_id)

    def admit_unauthenticated(self) -> None:
        """Let the current request share threads with all others whose user is not known yet."""
        self._shares.activate(_UNAUTHENTICATED)

    async def load_caller(self, identity: Identity) -> Caller:
        """Load the caller with their current role."""
        access = await self._access.get(AccessQuery.from_identity(identity))
        return access.require_caller()

    async def _load_access(self, queries: Sequence[AccessQuery]) -> Sequence[Access]:
        return await self._accessing.run(load_access, self._database, queries)

    async def _verify(self, bearer_token: str) -> Credential:
        digest = hashlib.sha256(bearer_token.encode("utf-8", "surrogateescape")).digest()
        valid_until, credential = self._verified.get(digest, (0.0, None))
        if credential is not None and self._clock() < valid_until:
            return credential
        credential = await self._verifying.run(self._verifier.verify, bearer_token)
        self._verified[digest] = min(self._clock() + _VERIFIED_LIFETIME_SECONDS, credential.expires_at), credential
        if len(self._verified) > _MAX_VERIFIED:
            self._verified.popitem(last=False)
        return credential
