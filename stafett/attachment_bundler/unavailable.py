"""Attachments that are not there as they were: what is said of them, to whom."""

from collections.abc import Iterator, Sequence
from enum import StrEnum
from itertools import islice
from types import MappingProxyType
from typing import NamedTuple
from uuid import UUID

from stafett.column_mapper.messages import Words
from stafett.domain.errors import ExportError
from stafett.domain.export import MAX_AFFECTED_ROWS, Locale, PartialFailureReport
from stafett.domain.export_status import ExportErrorCode


class Unavailability(StrEnum):
    """Why an attachment is not in a bundle."""

    NOT_IN_STORAGE = "not_in_storage"
    NOT_AS_IT_WAS = "not_as_it_was"


class Unavailable(NamedTuple):
    """The activity's row and id, once for each attachment that it misses."""

    row: int
    activity_id: UUID
    reason: Unavailability


_SERVICE = "bufdir-attachment-bundler"
_REASONS: MappingProxyType[Unavailability, Words] = MappingProxyType(
    {
        Unavailability.NOT_IN_STORAGE: MappingProxyType(
            {
                "nb": "Et vedlegg finnes ikke lenger i lageret og er ikke med.",
                "nn": "Eit vedlegg finst ikkje lenger i lageret og er ikkje med.",
                "en": "An attachment is not in storage any more, and is left out.",
            }
        ),
        Unavailability.NOT_AS_IT_WAS: MappingProxyType(
            {
                "nb": "Et vedlegg er ikke lenger den filen som ble lagt ved, og er ikke med.",
                "nn": "Eit vedlegg er ikkje lenger den fila som vart lagd ved, og er ikkje med.",
                "en": "An attachment is not the file any more that was attached, and is left out.",
            }
        ),
    }
)


def failure(found: Unavailable) -> ExportError:
    """Not retryable: nothing about it passes by itself, somebody has to put the file back or attach it anew."""
    what = {
        Unavailability.NOT_IN_STORAGE: "is not in storage any more",
        Unavailability.NOT_AS_IT_WAS: "is not the file any more that was attached",
    }
    message = f"An attachment of activity {found.activity_id} {what[found.reason]}."
    return ExportError(ExportErrorCode.ATTACHMENT_UNAVAILABLE, message)


def partial_failures(found: Sequence[Unavailable], locale: Locale) -> Iterator[PartialFailureReport]:
    """One for each reason; an activity is named once, however many of its attachments are missing."""
    for reason in Unavailability:
        affected = {one.row: one.activity_id for one in found if one.reason is reason}
        if affected:
            yield PartialFailureReport(
                affected_row_indices=tuple(islice(affected, MAX_AFFECTED_ROWS)),
                affected_activity_ids=tuple(islice(affected.values(), MAX_AFFECTED_ROWS)),
                affected_count=len(affected),
                failure_reason=_REASONS[reason][locale],
                code=ExportErrorCode.ATTACHMENT_UNAVAILABLE,
                sub_service_name=_SERVICE,
            )
