"""Request headers that several resources understand, each read in one place."""

import re
from typing import Annotated

from fastapi import Depends, Header, Request

LONGEST_WAIT = 60
_WAIT = re.compile(r"(?:^|[,;])\s*wait\s*=\s*\"?(\d{1,9})\"?\s*(?=$|[,;])", re.ASCII | re.IGNORECASE)
_AN_EVENT = re.compile(r"\d{1,18}", re.ASCII)

IdempotencyKey = Annotated[
    str | None,
    Header(min_length=1, max_length=255, description="The same key with the same body is the same job, never another."),
]
IfNoneMatch = Annotated[str | None, Header(description="Entity tags you have; 304 if one is the present one.")]
IfMatch = Annotated[str | None, Header(description="The entity tag that your edit is based on.")]


def preferred_wait(
    request: Request,
    prefer: Annotated[  # noqa: ARG001 - documented here; a header may come several times
        str | None, Header(description=f"`wait=N`: answer when the job has ended, or after N ≤ {LONGEST_WAIT} seconds.")
    ] = None,
) -> int | None:
    """RFC 7240, of which we know ``wait``; the first one counts."""
    found = _WAIT.search(",".join(request.headers.getlist("prefer")))
    return min(int(found[1]), LONGEST_WAIT) if found else None


def last_seen(
    last_event_id: Annotated[str | None, Header(description="The last event's id, to go on after it.")] = None,
) -> int:
    """What is no id of ours says nothing."""
    said = _AN_EVENT.fullmatch(last_event_id or "")
    return int(said[0]) if said else 0


PreferredWait = Annotated[int | None, Depends(preferred_wait)]
LastSeen = Annotated[int, Depends(last_seen)]
