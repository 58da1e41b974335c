"""Authentication while one backend of PostgreSQL does not answer."""

import asyncio
import threading
from typing import cast

from sqlalchemy import text

from api.auth import CredentialVerifier, Identity
from api.authenticator import Authenticator
from api.concurrency import ThreadShares
from api.rate_limit import RateLimiter
from stafett.database.session import Database
from stafett.domain.membership import Role
from stafett.settings import RateLimitSettings
from stafett.testing import Tenant, wait_until
from tests.support.dev_stack import freeze_processes


async def test_request_on_a_hanging_backend_delays_no_other_request(api_database: Database, tenant: Tenant) -> None:
    """The first request gets the only connection of the pool; the second one must not wait for it."""
    verifier = cast("CredentialVerifier", None)  # the tokens are verified already
    authenticator = Authenticator(verifier, RateLimiter(RateLimitSettings()), ThreadShares(2), api_database)
    first, second = (
        Identity(user_id=tenant.users[role], org_id=tenant.org_id) for role in (Role.COORDINATOR, Role.ADMIN)
    )
    ((backend,),) = api_database.execute(text("SELECT pg_backend_pid()"), {})
    has_connection = threading.Event()
    api_database.observe_wait = lambda _seconds: has_connection.set()

    async def is_hanging() -> bool:
        return has_connection.is_set()

    with freeze_processes(backend):
        hanging = asyncio.create_task(authenticator.load_caller(first))
        await wait_until(is_hanging, bool)
        assert (await authenticator.load_caller(second)).role is Role.ADMIN
        assert not hanging.done()
    assert (await hanging).role is Role.COORDINATOR
