"""The report that a period has already."""

from typing import cast

import pytest

from stafett.cli.client import ApiClient, ApiError, Json
from stafett.cli.existing_report import describe_existing_report, find_report_of_period

_REPORT: Json = {
    "id": "a7401f32-d2f4-4cfa-a415-2ba40fa4d8f1",
    "org_id": "nhf",
    "export_id": "5cf71378-189b-49f6-8bb7-dd50b0d0ff11",
    "reporting_period": {"start": "2026-01-01", "end": "2026-12-31"},
    "created_at": "2026-11-29T11:06:44Z",
    "submitted_at": None,
}


class _Reports:
    """An API with two reports, or one that lists none to an operator."""

    def __init__(self, *, is_forbidden: bool = False) -> None:
        self._is_forbidden = is_forbidden

    def get(self, _path: str, _query: Json) -> Json:
        if self._is_forbidden:
            raise ApiError("You may not.", status=403)
        half_year = {"reporting_period": {"start": "2026-01-01", "end": "2026-06-30"}}
        return {"items": [_REPORT | half_year, _REPORT], "next_page_token": None}


def _find(start: str, end: str, *, is_forbidden: bool = False) -> Json | None:
    return find_report_of_period(cast("ApiClient", _Reports(is_forbidden=is_forbidden)), "nhf", start, end)


@pytest.mark.parametrize("end", ["2026-12-31", "2026-12-31T23:59:59.999999+01:00"])
def test_report_of_exactly_the_period_is_found(end: str) -> None:
    assert _find("2026-01-01", end) == _REPORT


@pytest.mark.parametrize("period", [("2026-01-02", "2026-12-31"), ("2026-12-31", "2026-01-01"), ("2026-02-30", "x")])
def test_other_and_invalid_periods_have_no_report(period: tuple[str, str]) -> None:
    assert _find(*period) is None


def test_operator_gets_no_warning() -> None:
    assert _find("2026-01-01", "2026-12-31", is_forbidden=True) is None


def test_description_names_the_report_its_export_and_the_command() -> None:
    assert describe_existing_report(_REPORT | {"submitted_at": "2026-11-30T11:00:00Z"}) == (
        f"nhf has a report of 2026 already: {_REPORT['id']} (made on 29.11.2026 by export {_REPORT['export_id']},"
        f" handed in on 30.11.2026). `stafett reexport start {_REPORT['id']}` adds a version to it."
    )
