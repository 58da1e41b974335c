"""Keys of an export's objects, which name the attempt that wrote them.

The clean-up of an attempt deletes only what this attempt and earlier ones have written. A worker that was suspended
between its check and its clean-up then deletes nothing of a later attempt, whose file may be finished by now.
"""

import re
from typing import NamedTuple, Self
from uuid import UUID

EXPORTS_PREFIX = "exports/"

_EXPORT_KEY = re.compile(
    EXPORTS_PREFIX
    + r"(?P<org_id>[a-z][a-z0-9_-]{0,62})/"
    + r"(?P<export_id>[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})/"
    + r"(?:(?P<attempt>[1-9][0-9]{0,8})-[a-z_]+-[0-9a-f]{8}/)?"
    + r"[^/].*",
    re.DOTALL,
)


class ExportKey(NamedTuple):
    """The export below whose prefix an object is stored, and the attempt that wrote it: 0 if no attempt did."""

    org_id: str
    export_id: UUID
    attempt: int

    @classmethod
    def parse(cls, key: str) -> Self | None:
        """Return None if the key is not below the prefix of an export."""
        match = _EXPORT_KEY.fullmatch(key)
        return match and cls(match["org_id"], UUID(match["export_id"]), int(match["attempt"] or 0))


def build_export_prefix(org_id: str, export_id: UUID) -> str:
    return f"{EXPORTS_PREFIX}{org_id}/{export_id}/"


def build_execution_prefix(export_prefix: str, attempt: int, stage: str, execution_id: str) -> str:
    """Build the prefix of one execution of a stage; ``execution_id`` is eight hexadecimal digits."""
    return f"{export_prefix}{attempt}-{stage}-{execution_id}/"
