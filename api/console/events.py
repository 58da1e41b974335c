"""Server-sent events of jobs under a session: they end with the session, and with the user's membership."""

from collections.abc import AsyncIterator
from typing import Any

from fastapi import Response

from api.auth import Credential
from api.concurrency import OccupyingUse, run_in_threadpool
from api.console.services import ConsoleServices
from api.console.sessions import ActiveSession, CurrentSession
from api.dependencies import Services, ServicesDep
from api.job_events import stream_job_events
from api.job_views import LoadView
from stafett.domain.errors import PermissionDeniedError


async def limit_event_streams(session: CurrentSession, services: ServicesDep) -> AsyncIterator[None]:
    """Count the request as an event stream until it has ended."""
    with services.concurrency.occupy(OccupyingUse.EVENT_STREAMS, session.caller):
        yield


async def stream_session_events(
    session: ActiveSession,
    services: Services,
    console: ConsoleServices,
    load_view: LoadView[Any],
    last_event_id: int,
) -> Response:
    """Stream the events of a job to the browser of a session. An open stream does not keep the session alive."""
    credential = Credential(
        user_id=session.user_id, org_id=session.caller.org_id, expires_at=session.row.expires_at.timestamp()
    )

    async def reauthorise() -> None:
        if not await run_in_threadpool(console.sessions.is_open, session.secret):
            raise PermissionDeniedError("The session has ended.")
        await services.authenticator.load_caller(credential)

    return await stream_job_events(load_view, services, credential, last_event_id, reauthorise)
