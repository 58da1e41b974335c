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

from api.auth import Credential, CredentialVerifier, Identity, load_caller
from api.concurrency import ThreadShares, run_in_threadpool
from api.rate_limit import RateLimiter
from api.shared_reads import SharedRead
from stafett.database.session import Database
from stafett.domain.membership import Caller

_MAX_VERIFIED = 10_000
_VERIFIED_LIFETIME_SECONDS = 30.0
VERIFYING_THREADS = 2
_UNAUTHENTICATED = UUID(int=0)


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
        self._database = database
        self._clock = clock
        self._verified: OrderedDict[bytes, tuple[float, Credential]] = OrderedDict()
        self._limiter: CapacityLimiter | None = None
        self._reads: WeakValueDictionary[Identity, SharedRead[Caller]] = WeakValueDictionary()

    async def authenticate(self, bearer_token: str) -> tuple[Credential, Caller]:
        """Verify the token or key and load the caller. The rate limit comes first, so that it protects PostgreSQL."""
        credential = await self._verify(bearer_token)
        self.admit(credential.client_id)
        return credential, await self.load_caller(credential)

    def admit(self, client_id: UUID) -> None:
        """Apply the client's rate limit and share of the threads to the current request."""
        self._rate_limiter.take_token(client_id)
        self._shares.activate(client_id)

    def admit_unauthenticated(self) -> None:
        """Let the current request share threads with all others whose user is not known yet."""
        self._shares.activate(_UNAUTHENTICATED)

    async def load_caller(self, authenticated: Identity) -> Caller:
        """Load the caller with their current role; concurrent requests of the same identity share the query."""
        identity = Identity.model_validate(authenticated.model_dump(include=set(Identity.model_fields)))
        read = self._reads.get(identity)
        if read is None:
            load = partial(run_in_threadpool, load_caller, self._database, identity)
            read = self._reads[identity] = SharedRead(load)
        return await read.get()

    async def _verify(self, bearer_token: str) -> Credential:
        digest = hashlib.sha256(bearer_token.encode("utf-8", "surrogateescape")).digest()
        valid_until, credential = self._verified.get(digest, (0.0, None))
        if credential is not None and self._clock() < valid_until:
            return credential
        if self._limiter is None:  # it belongs to the running event loop
            self._limiter = CapacityLimiter(VERIFYING_THREADS)
        credential = await run_sync(self._verifier.verify, bearer_token, limiter=self._limiter)
        self._verified[digest] = min(self._clock() + _VERIFIED_LIFETIME_SECONDS, credential.expires_at), credential
        if len(self._verified) > _MAX_VERIFIED:
            self._verified.popitem(last=False)
        return credential
