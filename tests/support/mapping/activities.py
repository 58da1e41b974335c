"""Activities as the source returns them, and the results of mapping them."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl

from stafett.column_mapper import MappedPart, MappingDocument, compile_mapping
from stafett.column_mapper.organisations import load_bundled_mappings
from stafett.column_mapper.outcome import MappingOutcome
from stafett.domain.export import Locale
from tests.support.mapping.rows import FRAME_SCHEMA, Row

_OSLO = ZoneInfo("Europe/Oslo")


def activity(
    number: int,
    activity_type: str = "samtalegruppe",
    starts: str = "2026-03-02T17:00+01:00",
    *,
    minutes: int = 60,
    mentor: str | None = None,
    **fields: Any,
) -> Row:
    """Build an activity: by default one hour, four participants in Bodø, one of them new, and a mentor of its own."""
    starts_at = datetime.fromisoformat(starts)
    return {
        "oslo_day": starts_at.astimezone(_OSLO).date(),
        "id": activity_id(number),
        "activity_type": activity_type,
        "starts_at": starts_at,
        "ends_at": starts_at + timedelta(minutes=minutes),
        "participants": 4,
        "new_participants": 1,
        "place": "Bodø",
        "in_person": True,
        "in_norway": True,
        "note": None,
        "mentor_id": mentor or f"Likeperson {number}",
        "mentor_name": mentor or f"Likeperson {number}",
        "branch": None,
        "is_proxy": False,
        "registered_by": None,
        "event_id": None,
        "attachments": 0,
    } | fields


def activity_id(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012}"


def activity_ids(*numbers: int) -> list[str]:
    return [activity_id(number) for number in numbers]


def mentor_names(*numbers: int) -> list[str]:
    return [f"Likeperson {number}" for number in numbers]


def to_decimals(*texts: str) -> list[Decimal]:
    return [Decimal(text) for text in texts]


def build_frame(*rows: Row) -> pl.DataFrame:
    """Build a frame of the rows in report order."""
    return pl.DataFrame(sorted(rows, key=lambda row: (row["starts_at"], row["id"])), schema=FRAME_SCHEMA)


def load_document(organisation: str, *, since: str) -> MappingDocument:
    first_day = date.fromisoformat(since)
    (mapping,) = (version for version in load_bundled_mappings(organisation) if version.effective_from == first_day)
    return mapping


def map_rows(mapping: MappingDocument, *rows: Row, locale: Locale = "nb") -> MappedPart:
    return compile_mapping(mapping, locale).apply(build_frame(*rows))


def map_parts(mapping: MappingDocument, *parts: Sequence[Row], locale: Locale = "nb") -> MappingOutcome:
    result = MappingOutcome(compile_mapping(mapping, locale))
    for rows in parts:
        list(result.map_and_add_slices(build_frame(*rows)))
    return result


def cells_by_header(report: pl.DataFrame) -> dict[str, list[Any]]:
    """Map each header to the cells below it."""
    return report.to_dict(as_series=False)


def list_failed_checks(part: MappedPart) -> list[tuple[str, str | None, bool, str, list[int]]]:
    """List code, column, whether the row is rejected, message and row indices."""
    return [
        (check.code, check.column, check.rejects_row, check.message, list(check.row_indices))
        for check in part.failed_checks
    ]


def count_rows_by_reason(part: MappedPart) -> dict[str, int]:
    """Count the rows of each reason that applies to at least one row."""
    return {code: rows for code, rows in part.not_countable.items() if rows}


def list_failures(result: MappingOutcome) -> list[dict[str, Any]]:
    return [report.model_dump(mode="json") for report in result.partial_failures]


def build_failure(
    code: str, column: str, reason: str, rows: list[int], numbers: list[int], *, rejects: bool
) -> dict[str, Any]:
    """Build one entry of ``list_failures``."""
    return {
        "affected_row_indices": rows,
        "affected_activity_ids": activity_ids(*numbers),
        "affected_count": len(rows),
        "failure_reason": reason,
        "code": code,
        "column": column,
        "sub_service_name": "bufdir-column-mapper",
        "is_fatal": rejects,
    }


def list_reasons(result: MappingOutcome) -> list[tuple[str, str, int]]:
    """List the reasons that apply to at least one row."""
    return [(reason.code, reason.reason, reason.count) for reason in result.not_countable if reason.count]


def list_totals(result: MappingOutcome) -> list[tuple[str | None, tuple[int, ...]]]:
    return [(total.label, total.figures) for total in result.totals]
