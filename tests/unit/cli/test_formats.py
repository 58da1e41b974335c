"""Short periods, and times in Europe/Oslo."""

import pytest

from stafett.cli.formats import format_period, format_size, format_time

TO = "\N{EN DASH}"


@pytest.mark.parametrize(
    ("start", "end", "text"),
    [
        ("2026-01-01", "2026-12-31", "2026"),
        ("2028-02-01", "2028-02-29", "02.2028"),
        ("2026-01-06", "2026-01-06", "06.01.2026"),
        ("2026-01-01", "2026-06-30", f"01.01{TO}30.06.2026"),
        ("2025-12-01", "2026-01-31", f"01.12.2025{TO}31.01.2026"),
        ("2025-01-01", "2026-12-31", f"01.01.2025{TO}31.12.2026"),
        ("2026-01-01T00:00:00.25+01:00", "2026-02-01T00:00:00Z", f"01.01.2026 00:00{TO}01.02.2026 01:00"),
        ("2026-01-01", "2026-02-01T00:00:00Z", f"01.01.2026{TO}01.02.2026 01:00"),
    ],
)
def test_period_is_as_short_as_it_can_be_read(start: str, end: str, text: str) -> None:
    assert format_period({"reporting_period": {"start": start, "end": end}}) == text


def test_time_is_that_of_oslo() -> None:
    assert [format_time(value) for value in ("2026-07-01T22:30:00Z", None)] == ["02.07.2026 00:30", ""]


def test_size_has_the_unit_of_a_file_manager() -> None:
    assert [format_size(size) for size in (999, 1500, 12_345_678)] == ["999 bytes", "1.5 kB", "12.3 MB"]
