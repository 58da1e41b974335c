"""Request headers that several resources share."""

import re
from collections.abc import AsyncIterator
from contextlib import ExitStack
from typing import Annotated

from fastapi import Depends, Header, Request

from api.concurrency import OccupyingUse
from api.dependencies import get_services
from api.rate_limit import TooManyRequestsError

MAX_WAIT_SECONDS = 60
_WAIT_PREFERENCE = re.compile(r"(?:^|[,;])\s*wait\s*=\s*\"?(\d{1,9})\"?\s*(?=$|[,;])", re.ASCII | re.IGNORECASE)
_EVENT_ID = re.compile(r"\d{1,18}", re.ASCII)

IdempotencyKeyHeader = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=255,
        description=(
            "Makes the request safe to repeat: the same key with the same body returns the same result. "
            "Another body is refused with `422`. Keys are valid for at least 24 hours."
        ),
    ),
]
IfNoneMatchHeader = Annotated[
    str | None, Header(description="Entity tags of earlier responses; answers `304` if one of them is current.")
]
IfMatchHeader = Annotated[
    str | None, Header(description="The entity tag of the response that the edit is based on. Required.")
]


async def get_preferred_wait(
    request: Request,
    prefer: Annotated[  # noqa: ARG001 - declared for the OpenAPI document; the header may be repeated
        str | None,
        Header(
            description=(
                "`wait=N`: answer when the job has finished, or after N seconds. "
                f"N is limited to {MAX_WAIT_SECONDS}. RFC 7240."
            )
        ),
    ] = None,
) -> AsyncIterator[int | None]:
    """Parse the first ``wait`` preference (RFC 7240) in seconds; other preferences are ignored.

    So is this one beyond the limit on waiting requests, because no job is refused for being one too many.
    """
    match = _WAIT_PREFERENCE.search(",".join(request.headers.getlist("prefer")))
    seconds = min(int(match[1]), MAX_WAIT_SECONDS) if match else None
    with ExitStack() as stack:
        if seconds:
            try:
                stack.enter_context(get_services(request).concurrency.occupy(OccupyingUse.WAITS, request.state.caller))
            except TooManyRequestsError:
                seconds = None
        yield seconds


async def get_last_event_id(
    last_event_id: Annotated[
        str | None, Header(description="Id of the last event received. The stream resumes after it.")
    ] = None,
) -> int:
    """Parse ``Last-Event-ID``; an id that this API did not issue starts the stream from the beginning."""
    match = _EVENT_ID.fullmatch(last_event_id or "")
    return int(match[0]) if match else 0


PreferredWait = Annotated[int | None, Depends(get_preferred_wait)]
LastEventId = Annotated[int, Depends(get_last_event_id)]
