"""Parser for the server-sent events of a job."""

import json
from typing import Any, NamedTuple


class Event(NamedTuple):
    name: str
    data: dict[str, Any]
    id: str | None


def parse_events(text: str) -> list[Event]:
    """Parse a stream as a browser does."""
    events = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if line and not line.startswith(":"))
        if "data" in fields:
            events.append(Event(fields["event"], json.loads(fields["data"]), fields.get("id")))
    return events
