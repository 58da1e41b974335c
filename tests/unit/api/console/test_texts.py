"""The console's texts in each language, and its dates and numbers."""

import re
from datetime import UTC, date, datetime

import pytest

from api.console.languages import get_environment, isolate
from stafett.domain.export import Locale
from stafett.domain.reporting_period import ReportingPeriod
from tools.console_texts import LANGUAGES, extract_texts, get_path, load_catalogue, update_catalogue

PLACEHOLDER = re.compile(r"%\(\w+\)s|%[^%(]")


def list_strings(text: object) -> list[str]:
    return [text] if isinstance(text, str) else list(text) if isinstance(text, (tuple, list)) else []


@pytest.mark.parametrize("language", LANGUAGES)
def test_catalogue_has_exactly_the_texts_of_the_templates(language: str) -> None:
    assert len(extract_texts()) > 100
    assert get_path(language).read_bytes() == update_catalogue(language)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_text_is_translated_with_the_same_placeholders(language: str) -> None:
    for message in load_catalogue(language):
        if not message.id:
            continue
        sources, translations = list_strings(message.id), list_strings(message.string)
        assert not message.fuzzy, message.id
        assert len(translations) == len(sources), message.id
        assert all(translations), message.id
        placeholders = {name for source in sources for name in PLACEHOLDER.findall(source)}
        assert {name for each in translations for name in PLACEHOLDER.findall(each)} == placeholders, message.id


def render(language: Locale, template: str, **values: object) -> str:
    return get_environment(language).from_string(template).render(values)


@pytest.mark.parametrize(
    ("language", "day", "time", "size"),
    [
        ("nb", "1. mars 2026", "1. mars 2026, 10:05", "1,5\N{NO-BREAK SPACE}MB"),
        ("nn", "1. mars 2026", "1. mars 2026, 10:05", "1,5\N{NO-BREAK SPACE}MB"),
        ("en", "1 March 2026", "1 Mar 2026, 10:05", "1.5\N{NO-BREAK SPACE}MB"),
    ],
)
def test_dates_and_numbers_are_written_as_in_the_language(language: Locale, day: str, time: str, size: str) -> None:
    instant = datetime(2026, 3, 1, 9, 5, tzinfo=UTC)
    values = {"day": date(2026, 3, 1), "instant": instant}
    text = render(language, "{{ day | date }}|{{ instant | time }}|{{ 1500000 | size }}", **values)
    assert text == f"{day}|{time}|{size}"


@pytest.mark.parametrize(
    ("start", "end", "text"),
    [
        ("2025-01-01", "2025-12-31", "2025"),
        ("2025-07-01", "2025-12-31", "1 July \N{EN DASH} 31 December 2025"),
        ("2024-12-31", "2025-12-31", "31 December 2024 \N{EN DASH} 31 December 2025"),
        ("2024-02-01", "2024-02-29", "February 2024"),
        ("2025-01-01", "2025-11-30", "1 January \N{EN DASH} 30 November 2025"),
        ("2025-02-28", "2025-02-28", "28 February 2025"),
        ("2024-12-31T23:00:00Z", "2025-12-31T22:59:59.999999Z", "2025"),
        ("2025-01-01T09:00:00Z", "2025-01-01T11:00:00Z", "1 Jan 2025, 10:00 \N{EN DASH} 1 Jan 2025, 12:00"),
    ],
)
def test_period_is_written_as_briefly_as_it_can_be_read(start: str, end: str, text: str) -> None:
    period = ReportingPeriod.model_validate({"start": start, "end": end})
    assert render("en", "{{ period | period }}", period=period) == text


def test_values_in_texts_are_escaped() -> None:
    assert render("en", "{{ _('Report %(period)s', period=name) }}", name="<b>") == "Report &lt;b&gt;"


@pytest.mark.parametrize("text", ["Åse Ødegård", "27/1234", "a\N{COMBINING RING ABOVE} 5 %", ""])
def test_text_from_left_to_right_is_not_isolated(text: str) -> None:
    assert isolate(text) == text


@pytest.mark.parametrize("text", ["\N{RIGHT-TO-LEFT OVERRIDE}x", "\u05d0", "\N{RIGHT-TO-LEFT MARK}"])
def test_text_with_another_direction_cannot_leave_its_isolate(text: str) -> None:
    inner = f"a\N{POP DIRECTIONAL ISOLATE}{text}\N{LEFT-TO-RIGHT ISOLATE}"
    assert isolate(inner) == f"\N{FIRST STRONG ISOLATE}a{text}\N{POP DIRECTIONAL ISOLATE}"
