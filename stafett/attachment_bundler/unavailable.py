"""Attachments that are missing from storage or changed, and how they are reported."""

from collections.abc import Iterator, Sequence
from enum import StrEnum
from itertools import islice
from types import MappingProxyType
from typing import NamedTuple
from uuid import UUID

import polars as pl

from stafett.column_mapper.messages import Translations
from stafett.domain.errors import ExportError
from stafett.domain.export import MAX_AFFECTED_ROWS, Locale, PartialFailureReport
from stafett.domain.export_status import ExportErrorCode


class UnavailableReason(StrEnum):
    """The reason why an attachment is left out of a bundle."""

    NOT_IN_STORAGE = "not_in_storage"
    CHANGED = "not_as_it_was"


class UnavailableAttachment(NamedTuple):
    """One attachment that is left out, by the row and id of its activity."""

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
                "en": "An attachment is no longer in storage and is left out.",
            }
        ),
        UnavailableReason.CHANGED: MappingProxyType(
            {
                "nb": "Et vedlegg er ikke lenger den filen som ble lagt ved, og er ikke med.",
                "nn": "Eit vedlegg er ikkje lenger den fila som vart lagd ved, og er ikkje med.",
                "en": "An attachment is no longer the file that was attached, and is left out.",
            }
        ),
    }
)


_REPAIR: Translations = MappingProxyType(
    {
        "nb": "Legg filen ved aktiviteten på nytt, og lag rapporten på nytt.",
        "nn": "Legg fila ved aktiviteten på nytt, og lag rapporten på nytt.",
        "en": "Attach the file to the activity again, and export the period again.",
    }
)


def to_export_error(unavailable: UnavailableAttachment) -> ExportError:
    """Build an error that is not retryable: a user must restore the file or attach it again."""
    problems = {
        UnavailableReason.NOT_IN_STORAGE: "is no longer in storage",
        UnavailableReason.CHANGED: "is no longer the file that was attached",
    }
    message = f"An attachment of activity {unavailable.activity_id} {problems[unavailable.reason]}."
    return ExportError(ExportErrorCode.ATTACHMENT_UNAVAILABLE, message)


def to_partial_failures(unavailable: Sequence[UnavailableAttachment], locale: Locale) -> Iterator[PartialFailureReport]:
    """Yield one failure per reason; an activity is listed once, however many of its attachments are missing."""
    for reason in UnavailableReason:
        affected = {missing.row: missing.activity_id for missing in unavailable if missing.reason is reason}
        if affected:
            yield PartialFailureReport(
                affected_row_indices=tuple(islice(affected, MAX_AFFECTED_ROWS)),
                affected_activity_ids=tuple(islice(affected.values(), MAX_AFFECTED_ROWS)),
                affected_count=len(affected),
                failure_reason=_REASON_MESSAGES[reason][locale],
                code=ExportErrorCode.ATTACHMENT_UNAVAILABLE,
                sub_service_name=_SUB_SERVICE_NAME,
            )


def build_deviations(unavailable: Sequence[UnavailableAttachment], locale: Locale) -> pl.DataFrame:
    """Build one line for each activity: its row and id, what is wrong, and how to correct it."""
    lines = [
        {
            "row": missing.row,
            "activity_id": str(missing.activity_id),
            "problem": _REASON_MESSAGES[missing.reason][locale],
        }
        for missing in unavailable
    ]
    frame = pl.DataFrame(lines, schema={"row": pl.Int64, "activity_id": pl.String, "problem": pl.String})
    by_activity = frame.group_by("row", "activity_id", maintain_order=True)
    return by_activity.agg(pl.col("problem").unique(maintain_order=True).str.join(" ")).with_columns(
        repair=pl.lit(_REPAIR[locale]), codes=pl.lit(ExportErrorCode.ATTACHMENT_UNAVAILABLE.value)
    )
