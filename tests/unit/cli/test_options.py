"""Dates of the command line in the Norwegian form."""

import pytest
import typer

from stafett.cli.options import normalise_time


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("31.12.2026", "2026-12-31"),
        ("1.3.2026", "2026-03-01"),
        ("2026-12-31", "2026-12-31"),
        ("2026-12-31T23:00:00Z", "2026-12-31T23:00:00Z"),
    ],
)
def test_date_is_accepted_in_the_norwegian_and_the_iso_form(text: str, value: str) -> None:
    assert normalise_time(text) == value


@pytest.mark.parametrize("text", ["31.11.2026", "1.13.2026", "0.1.2026"])
def test_day_outside_the_calendar_is_rejected(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        normalise_time(text)
