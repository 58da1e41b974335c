"""Attachments that are not there as they were: what is said of them, to whom."""

from collections.abc import Iterator, Sequence
from enum import StrEnum
from itertools import islice
from types import MappingProxyType
from typing import NamedTuple
from uuid import UUID

from stafett.column_mapper.messages import Translations
from stafett.domain.errors import ExportError
from stafett.domain.export import MAX_AFFECTED_ROWS, Locale, PartialFailureReport
from stafett.domain.export_status import ExportErrorCode


class UnavailableReason(StrEnum):
    """Why an attachment is not in a bundle."""

    NOT_IN_STORAGE = "not_in_storage"
    CHANGED = "not_as_it_was"


class UnavailableAttachment(NamedTuple):
    """The activity's row and id, once for each attachment that it misses."""

    row: int
    activity_id: UUID
    reason: UnavailableReason


_SUB_SERVICE_NAME = "bufdir-attachment-bundler"
_REASON_MESSAGES: MappingProxyType[UnavailableReason, Translations] = MappingProxyType(
    {
        UnavailableReason.NOT_IN_STORAGE: MappingProxyType(
            {
                "nb": "Et vedlegg finnes ikke lenger i lageret og er ikke med.",
                "nn": "Eit vedlegg finst ikkje lenger i lageret og er ikkje med.",
                "en": "An attachment is not in storage any more, and is left out.",
            }
        ),
        UnavailableReason.CHANGED: MappingProxyType(
            {
                "nb": "Et vedlegg er ikke lenger den filen som ble lagt ved, og er ikke med.",
                "nn": "Eit vedlegg er ikkje lenger den fila som vart lagd ved, og er ikkje med.",
                "en": "An attachment is not the file any more that was attached, and is left out.",
            }
        ),
    }
)


def to_export_error(unavailable: UnavailableAttachment) -> ExportError:
    """Not retryable: nothing about it passes by itself, somebody has to put the file back or attach it anew."""
    what = {
        UnavailableReason.NOT_IN_STORAGE: "is not in storage any more",
        UnavailableReason.CHANGED: "is not the file any more that was attached",
    }
    message = f"An attachment of activity {unavailable.activity_id} {what[unavailable.reason]}."
    return ExportError(ExportErrorCode.ATTACHMENT_UNAVAILABLE, message)


def to_partial_failures(unavailable: Sequence[UnavailableAttachment], locale: Locale) -> Iterator[PartialFailureReport]:
    """One for each reason; an activity is named once, however many of its attachments are missing."""
    for reason in UnavailableReason:
        affected = {one.row: one.activity_id for one in unavailable if one.reason is reason}
        if affected:
            yield PartialFailureReport(
                affected_row_indices=tuple(islice(affected, MAX_AFFECTED_ROWS)),
                affected_activity_ids=tuple(islice(affected.values(), MAX_AFFECTED_ROWS)),
                affected_count=len(affected),
                failure_reason=_REASON_MESSAGES[reason][locale],
                code=ExportErrorCode.ATTACHMENT_UNAVAILABLE,
                sub_service_name=_SUB_SERVICE_NAME,
            )
