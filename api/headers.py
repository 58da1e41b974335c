"""Request headers that several resources understand, each read in one place."""

import re
from typing import Annotated

from fastapi import Depends, Header, Request

MAX_WAIT_SECONDS = 60
_WAIT_PREFERENCE = re.compile(r"(?:^|[,;])\s*wait\s*=\s*\"?(\d{1,9})\"?\s*(?=$|[,;])", re.ASCII | re.IGNORECASE)
_EVENT_ID = re.compile(r"\d{1,18}", re.ASCII)

IdempotencyKeyHeader = Annotated[
    str | None,
    Header(min_length=1, max_length=255, description="The same key with the same body is the same job, never another."),
]
IfNoneMatchHeader = Annotated[str | None, Header(description="Entity tags you have; 304 if one is the present one.")]
IfMatchHeader = Annotated[str | None, Header(description="The entity tag that your edit is based on.")]


def get_preferred_wait(
    request: Request,
    prefer: Annotated[  # noqa: ARG001 - documented here; a header may come several times
        str | None,
        Header(description=f"`wait=N`: answer when the job has ended, or after N ≤ {MAX_WAIT_SECONDS} seconds."),
    ] = None,
) -> int | None:
    """RFC 7240, of which we know ``wait``; the first one counts."""
    found = _WAIT_PREFERENCE.search(",".join(request.headers.getlist("prefer")))
    return min(int(found[1]), MAX_WAIT_SECONDS) if found else None


def get_last_event_id(
    last_event_id: Annotated[str | None, Header(description="The last event's id, to go on after it.")] = None,
) -> int:
    """What is no id of ours says nothing."""
    said = _EVENT_ID.fullmatch(last_event_id or "")
    return int(said[0]) if said else 0


PreferredWait = Annotated[int | None, Depends(get_preferred_wait)]
LastEventId = Annotated[int, Depends(get_last_event_id)]
