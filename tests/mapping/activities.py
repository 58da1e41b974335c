"""Activities as they come from the source, each told by what is particular about it; what documents make of them."""

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
from tests.mapping.rows import FRAME_SCHEMA, Row

_OSLO = ZoneInfo("Europe/Oslo")


def activity(
    number: int,
    activity_type: str = "samtalegruppe",
    starts: str = "2026-03-02T17:00+01:00",
    *,
    minutes: int = 60,
    mentor: str | None = None,
    **said: Any,
) -> Row:
    """An hour's group of four in Bodø, one of them new, led by somebody with nothing else that day: unless said."""
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
        "is_proxy": False,
        "registered_by": None,
        "attachments": 0,
    } | said


def activity_id(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012}"


def ids(*numbers: int) -> list[str]:
    return [activity_id(number) for number in numbers]


def likepersoner(*numbers: int) -> list[str]:
    return [f"Likeperson {number}" for number in numbers]


def decimals(*written: str) -> list[Decimal]:
    return [Decimal(one) for one in written]


def frame(*rows: Row) -> pl.DataFrame:
    """In report order."""
    return pl.DataFrame(sorted(rows, key=lambda row: (row["starts_at"], row["id"])), schema=FRAME_SCHEMA)


def document(organisation: str, *, since: str) -> MappingDocument:
    (found,) = (one for one in load_bundled_mappings(organisation) if one.effective_from == date.fromisoformat(since))
    return found


def mapped(by: MappingDocument, *rows: Row, locale: Locale = "nb") -> MappedPart:
    return compile_mapping(by, locale).apply(frame(*rows))


def outcome(by: MappingDocument, *parts: Sequence[Row], locale: Locale = "nb") -> MappingOutcome:
    result = MappingOutcome(compile_mapping(by, locale))
    for rows in parts:
        result.map_and_add(frame(*rows))
    return result


def cells(report: pl.DataFrame) -> dict[str, list[Any]]:
    """Header → the cells below it."""
    return report.to_dict(as_series=False)


def faults(part: MappedPart) -> list[tuple[str, str | None, bool, str, list[int]]]:
    """Code, column, whether it rejects, message, rows."""
    return [
        (fault.code, fault.column, fault.rejects_row, fault.message, list(fault.row_indices))
        for fault in part.failed_checks
    ]


def rows_by_reason(part: MappedPart) -> dict[str, int]:
    """Those that some row had."""
    return {code: rows for code, rows in part.not_countable.items() if rows}


def failures(result: MappingOutcome) -> list[dict[str, Any]]:
    return [report.model_dump(mode="json") for report in result.partial_failures]


def failure(
    code: str, column: str, reason: str, rows: list[int], numbers: list[int], *, rejects: bool
) -> dict[str, Any]:
    """One of ``failures``."""
    return {
        "affected_row_indices": rows,
        "affected_activity_ids": ids(*numbers),
        "affected_count": len(rows),
        "failure_reason": reason,
        "code": code,
        "column": column,
        "sub_service_name": "bufdir-column-mapper",
        "is_fatal": rejects,
    }


def reasons(result: MappingOutcome) -> list[tuple[str, str, int]]:
    """Those that some row had."""
    return [(one.code, one.reason, one.count) for one in result.not_countable if one.count]


def totals(result: MappingOutcome) -> list[tuple[str | None, tuple[int, ...]]]:
    return [(total.label, total.figures) for total in result.totals]
