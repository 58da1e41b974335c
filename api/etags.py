"""Conditional requests, as RFC 9110 compares entity tags."""

import re
import sys
from collections.abc import Container
from datetime import UTC, datetime

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ETAG = re.compile(r'"(\d{1,18})-\d+"', re.ASCII)
_MAX_DAYS = 100_000  # more than there will be


def format_etag(edit_count: int, change_count: int, link_expires_at: datetime | None) -> str:
    """``"R-S"``: R counts clients' edits, and ``If-Match`` compares it alone; S tells all other change apart.

    S is the row's count of changes, followed by five digits for the day of the link that is shown, or zeros for
    none: one answer to whoever may download and another to whoever may not, a new one at each midnight, and
    never an old one again.
    """
    day = 0 if link_expires_at is None else (link_expires_at - _EPOCH).days
    return f'"{edit_count}-{change_count * _MAX_DAYS + day}"'


def is_unchanged(etag: str, if_none_match: str | None) -> bool:
    """Whether the client has it already: weakly compared, for proxies weaken what they compress."""
    if if_none_match is None:
        return False
    known = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
    return "*" in known or etag in known


def parse_if_match(if_match: str | None) -> Container[int] | None:
    """The counts of edits that a client says it has seen; of a strong tag R alone, of ``*`` any that there is."""
    if if_match is None:
        return None
    if if_match.strip() == "*":
        return range(sys.maxsize)
    tags = (_ETAG.fullmatch(tag.strip()) for tag in if_match.split(","))
    return frozenset(int(tag[1]) for tag in tags if tag)
