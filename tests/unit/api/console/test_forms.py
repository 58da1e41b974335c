"""The form of a new report: periods and what is wrong with a field."""

from datetime import date

import pytest

from api.console.forms import InvalidFormError, ReportForm, list_periods

FIELDS = {"period": "2025", "export_format": "xlsx", "locale": "nb"}


@pytest.mark.parametrize(
    ("period", "start", "end"),
    [
        ("2025", date(2025, 1, 1), date(2025, 12, 31)),
        ("2025-H1", date(2025, 1, 1), date(2025, 6, 30)),
        ("2025-H2", date(2025, 7, 1), date(2025, 12, 31)),
        ("2024-02", date(2024, 2, 1), date(2024, 2, 29)),
        ("2025-12", date(2025, 12, 1), date(2025, 12, 31)),
    ],
)
def test_offered_period_covers_its_days(period: str, start: date, end: date) -> None:
    reporting_period = ReportForm.parse(FIELDS | {"period": period}).reporting_period
    assert (reporting_period.start, reporting_period.end) == (start, end)


def test_every_offered_period_is_valid_and_the_last_year_comes_first() -> None:
    periods = list_periods(date(2026, 5, 1))
    assert periods[0][0].value == "2025"
    for year, halves, months in periods:
        for choice in (year, *halves, *months):
            assert ReportForm.parse(FIELDS | {"period": choice.value}).reporting_period.start == choice.start


def test_own_dates_and_options_become_parameters() -> None:
    own = {"period": "dates", "start": "2025-03-01", "end": "2025-03-15"}
    form = ReportForm.parse(FIELDS | own | {"include_attachments": "true", "csv_profile": "machine", "other": "x"})
    assert form.parameters.model_dump(mode="json") == {
        "reporting_period": {"start": "2025-03-01", "end": "2025-03-15"},
        "export_format": "xlsx",
        "locale": "nb",
        "include_attachments": True,
        "fail_on_empty": False,
        "csv_profile": "machine",
    }


@pytest.mark.parametrize(
    ("fields", "errors"),
    [
        ({"period": ""}, {"period": "period_missing"}),
        ({"period": "dates"}, {"start": "date_missing"}),
        ({"period": "dates", "start": "2025-03-01"}, {"end": "date_missing"}),
        ({"period": "dates", "start": "2025-03-02", "end": "2025-03-01"}, {"end": "period_order"}),
        ({"period": "dates", "start": "2025-02-30", "end": "x"}, {"start": "date_invalid", "end": "date_invalid"}),
        ({"export_format": "pdf"}, {"export_format": "enum"}),
    ],
)
def test_wrong_field_is_named_with_a_code(fields: dict[str, str], errors: dict[str, str]) -> None:
    with pytest.raises(InvalidFormError) as raised:
        ReportForm.parse(FIELDS | fields)
    assert raised.value.errors == errors
