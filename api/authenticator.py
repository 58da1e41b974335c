"""Authentication of requests: token, rate limit and role, at little cost for many requests of one user."""

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from uuid import UUID
from weakref import WeakValueDictionary

from anyio import CapacityLimiter
from anyio.to_thread import run_sync

from api.auth import Identity, TokenVerifier, VerifiedToken, load_caller
from api.concurrency import ThreadShares, run_in_threadpool
from api.rate_limit import RateLimiter
from api.shared_reads import SharedRead
from stafett.database.session import Database
from stafett.domain.membership import Caller

_MAX_TOKENS = 10_000
_TOKEN_LIFETIME_SECONDS = 30.0
_VERIFYING_THREADS = 2
_UNAUTHENTICATED = UUID(int=0)


class Authenticator:
    """Authenticates bearer tokens. Unverified tokens have threads of their own, so that they delay no user."""

    def __init__(
        self,
        verifier: TokenVerifier,
        rate_limiter: RateLimiter,
        shares: ThreadShares,
        database: Database,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._verifier = verifier
        self._rate_limiter = rate_limiter
        self._shares = shares
        self._database = database
        self._clock = clock
        self._tokens: OrderedDict[bytes, tuple[float, VerifiedToken]] = OrderedDict()
        self._limiter: CapacityLimiter | None = None
        self._reads: WeakValueDictionary[Identity, SharedRead[Caller]] = WeakValueDictionary()

    async def authenticate(self, bearer_token: str) -> tuple[VerifiedToken, Caller]:
        """Verify the token and load the caller. The rate limit comes first, so that it protects PostgreSQL."""
        token = await self._verify(bearer_token)
        self.admit(token.user_id)
        return token, await self.load_caller(token)

    def admit(self, user_id: UUID) -> None:
        """Apply the user's rate limit and share of the threads to the current request."""
        self._rate_limiter.take_token(user_id)
        self._shares.activate(user_id)

    def admit_unauthenticated(self) -> None:
        """Let the current request share threads with all others whose user is not known yet."""
        self._shares.activate(_UNAUTHENTICATED)

    async def load_caller(self, authenticated: Identity) -> Caller:
        """Load the caller with their current role; concurrent requests of the same identity share the query."""
        identity = Identity(user_id=authenticated.user_id, org_id=authenticated.org_id)
        read = self._reads.get(identity)
        if read is None:
            load = partial(run_in_threadpool, load_caller, self._database, identity)
            read = self._reads[identity] = SharedRead(load)
        return await read.get()

    async def _verify(self, bearer_token: str) -> VerifiedToken:
        digest = hashlib.sha256(bearer_token.encode("utf-8", "surrogateescape")).digest()
        valid_until, token = self._tokens.get(digest, (0.0, None))
        if token is not None and self._clock() < valid_until:
            return token
        if self._limiter is None:  # it belongs to the running event loop
            self._limiter = CapacityLimiter(_VERIFYING_THREADS)
        token = await run_sync(self._verifier.verify, bearer_token, limiter=self._limiter)
        self._tokens[digest] = min(self._clock() + _TOKEN_LIFETIME_SECONDS, token.expires_at), token
        if len(self._tokens) > _MAX_TOKENS:
            self._tokens.popitem(last=False)
        return token
