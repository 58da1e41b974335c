"""Conditional requests, as RFC 9110 compares entity tags."""

import re
import sys
from collections.abc import Container, Sequence
from datetime import UTC, datetime
from typing import NamedTuple, NoReturn

from stafett.domain.errors import PreconditionFailedError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ETAG = re.compile(r'"(\d{1,18})-\d+"', re.ASCII)
_ADVICE = 'Send the ETag of the response that the edit is based on as it is, such as "3-1200000", or *.'
_MAX_DAYS = 100_000  # days since 1970, until the year 2243


class JobRevision(NamedTuple):
    """What the entity tag of a job consists of, and what the headers of a response need."""

    edits: int
    changes: int
    updated_at: datetime
    is_finished: bool
    may_have_file: bool


def format_etag(edit_count: int, change_count: int, link_expires_at: datetime | None) -> str:
    """Format a strong entity tag ``"R-S"``: R counts clients' edits, S identifies every other change.

    The commands compare only R of ``If-Match`` (`require_revision`). S is the row's change count followed by
    five digits for the day on which the download link expires, or zeros without a link. The tag therefore differs
    between callers who may download and callers who may not, changes with the link at midnight, and never repeats.
    """
    day = 0 if link_expires_at is None else (link_expires_at - _EPOCH).days
    return f'"{edit_count}-{change_count * _MAX_DAYS + day}"'


def is_unchanged(etag: str, if_none_match: str | None) -> bool:
    """Compare the tag with ``If-None-Match``, weakly: proxies weaken the tags of responses that they compress."""
    client_tags = parse_if_none_match(if_none_match or "")
    return "*" in client_tags or etag in client_tags


def parse_if_none_match(if_none_match: str) -> list[str]:
    """Return the tags without the mark of weak ones."""
    return [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]


class _UnusableHeader:
    """The expectation of a header without entity tags. It raises when it is compared, after the checks of access."""

    def __init__(self, fault: str) -> None:
        self._fault = fault

    def __contains__(self, _revision: object) -> NoReturn:
        raise PreconditionFailedError(self._fault)


def parse_if_match(if_match: str | None) -> Container[int] | None:
    """Parse the expected revisions out of ``If-Match``: R of each strong tag, or every revision for ``*``.

    Without a tag that this API could have issued, the comparison raises: that is no conflict with another edit.
    """
    if if_match is None:
        return None
    if if_match.strip() == "*":
        return range(sys.maxsize)
    tags = [tag.strip() for tag in if_match.split(",")]
    revisions = frozenset(int(tag[1]) for tag in map(_ETAG.fullmatch, tags) if tag)
    return revisions or _UnusableHeader(f"{_describe_fault(tags)} {_ADVICE}")


def _describe_fault(tags: Sequence[str]) -> str:
    if not any(tags):
        return "The If-Match header is empty."
    if any(tag.startswith("W/") for tag in tags):
        return "The If-Match header has a weak entity tag (W/), which matches nothing."
    if not all(tag.startswith('"') and tag.endswith('"') for tag in tags):
        return "The If-Match header is not an entity tag, which has double quotes around it."
    return "The If-Match header has an entity tag that this API has not issued."
