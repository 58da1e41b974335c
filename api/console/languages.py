"""The languages of the console: the choice of one, its texts, and its way to write dates and numbers."""

import io
import re
from calendar import monthrange
from collections.abc import Callable
from contextlib import suppress
from datetime import date, datetime
from functools import cache, lru_cache, partial
from importlib.resources import files
from unicodedata import bidirectional
from urllib.parse import urlencode

from babel.dates import format_date, format_datetime
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.numbers import format_decimal
from babel.support import NullTranslations, Translations
from fastapi import Request
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from api.console.assets import get_asset_url
from api.console.forms import parse_id
from api.console.written_days import write_day
from stafett.bulk.item_messages import describe_field
from stafett.domain.activity import ACTIVITY_TYPES, ACTIVITY_TYPES_BY_ID, ActivityType
from stafett.domain.export import Locale
from stafett.domain.failure_reasons import describe_export_failure, describe_item_failure
from stafett.domain.file_versions import name_version
from stafett.domain.proxy_activity import MAX_DURATION_MINUTES, MAX_PARTICIPANTS
from stafett.domain.reporting_period import EARLIEST_YEAR, LATEST_YEAR, OSLO, ReportingPeriod

LANGUAGE_COOKIE, LANGUAGE_PARAMETER = "stafett-lang", "lang"
LANGUAGE_NAMES: dict[Locale, str] = {"nb": "Bokmål", "nn": "Nynorsk", "en": "English"}
SOURCE_LANGUAGE: Locale = "en"
"""The language of the texts in the templates, which needs no catalogue."""

_DEFAULT_LANGUAGE: Locale = "nb"
_LANGUAGES: dict[str | None, Locale] = {code: code for code in LANGUAGE_NAMES}
_BABEL_LOCALES: dict[Locale, str] = {"nb": "nb", "nn": "nn", "en": "en_GB"}
_ISO_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_UNITS = ("B", "kB", "MB", "GB")
_BYTES_PER_UNIT = 1000
_MAX_FORMATTED_VALUES = 2000
"""Of each kind of dates, whose formatting takes longer than the rest of a row."""

_DECEMBER = 12
_LIMITS = {"duration": MAX_DURATION_MINUTES, "participants": MAX_PARTICIPANTS, "years": (EARLIEST_YEAR, LATEST_YEAR)}
"""The limits of numbers that error messages name."""

_LEFT_TO_RIGHT = frozenset({"L", "EN", "ES", "ET", "CS", "NSM", "BN", "B", "S", "WS", "ON", ""})
"""Classes of characters that are in texts written from left to right only."""
_ISOLATE, _END_OF_ISOLATE = "\N{FIRST STRONG ISOLATE}", "\N{POP DIRECTIONAL ISOLATE}"
_WITHOUT_ISOLATES = dict.fromkeys(range(ord("\N{LEFT-TO-RIGHT ISOLATE}"), ord(_END_OF_ISOLATE) + 1))


def choose_language(request: Request) -> Locale:
    """Return the language that the URL names, or else the one that the browser remembers, or else Bokmål."""
    return get_requested_language(request) or get_remembered_language(request) or _DEFAULT_LANGUAGE


def get_requested_language(request: Request) -> Locale | None:
    return _LANGUAGES.get(request.query_params.get(LANGUAGE_PARAMETER))


def get_remembered_language(request: Request) -> Locale | None:
    return _LANGUAGES.get(request.cookies.get(LANGUAGE_COOKIE))


def list_languages(request: Request, address: str) -> list[tuple[Locale, str, str]]:
    """List the languages with their names, and the URL of the same page in each of them."""
    others = [pair for pair in request.query_params.multi_items() if pair[0] != LANGUAGE_PARAMETER]
    return [
        (code, name, f"{address}?{urlencode([*others, (LANGUAGE_PARAMETER, code)])}")
        for code, name in LANGUAGE_NAMES.items()
    ]


@cache
def get_environment(language: Locale) -> Environment:
    """Return the templates of a language, with its texts and formats."""
    environment = Environment(
        loader=PackageLoader("api.console"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    translations = load_translations(language)
    formats, remember = _Formats(_BABEL_LOCALES[language]), lru_cache(_MAX_FORMATTED_VALUES)
    environment.globals.update(
        _=_translate_with(translations), ngettext=_translate_plural_with(translations), asset=get_asset_url
    )
    environment.globals.update(
        limits=_LIMITS,
        activity_type_options=[(each.id.value, each.names[language]) for each in ACTIVITY_TYPES],
    )
    environment.filters.update(
        number=formats.format_number,
        date=remember(formats.format_day),
        written_day=write_day,
        name_version=name_version,
        day=remember(formats.format_day_of),
        iso_day=formats.format_iso_day,
        time=remember(formats.format_time),
        clock=formats.format_clock,
        month=formats.format_month,
        long_month=formats.format_long_month,
        short_month=formats.format_short_month,
        activity_type=partial(_name_activity_type, language),
        export_failure=partial(describe_export_failure, locale=language),
        item_failure=partial(describe_item_failure, locale=language),
        fault=partial(describe_field, locale=language),
        clock_time=formats.format_clock_time,
        size=formats.format_size,
        period=remember(formats.format_period),
        isolate=isolate,
        uuid=parse_id,
    )
    return environment


def load_translations(language: Locale) -> NullTranslations:
    """Load the catalogue of a language. It is compiled here, so that the repository has no binary files."""
    if language == SOURCE_LANGUAGE:
        return NullTranslations()
    content = files("api.console").joinpath("locales", f"{language}.po").read_bytes()
    compiled = io.BytesIO()
    write_mo(compiled, read_po(io.BytesIO(content), language))
    return Translations(io.BytesIO(compiled.getvalue()))


def _name_activity_type(language: Locale, activity_type: ActivityType) -> str:
    return ACTIVITY_TYPES_BY_ID[activity_type].names[language]


def _translate_with(translations: NullTranslations) -> Callable[..., Markup]:
    @cache  # most texts have no values, and a table repeats them in each row
    def translate_text(message: str) -> Markup:
        return escape(translations.gettext(message))

    @cache
    def translate_without_values(message: str) -> Markup:
        return translate_text(message) % {}

    def translate(message: str, /, **values: object) -> Markup:
        """Translate a text and insert the values, which are escaped."""
        return translate_text(message) % _isolate_values(values) if values else translate_without_values(message)

    return translate


def _translate_plural_with(translations: NullTranslations) -> Callable[..., Markup]:
    def translate(singular: str, plural: str, number: int, /, **values: object) -> Markup:
        return escape(translations.ngettext(singular, plural, number)) % _isolate_values(values)

    return translate


def _isolate_values(values: dict[str, object]) -> dict[str, object]:
    return {name: isolate(value) if type(value) is str else value for name, value in values.items()}


def isolate(text: str) -> str:
    """Keep a text with parts that are written from right to left from reordering the words beside it."""
    if _LEFT_TO_RIGHT.issuperset(map(bidirectional, text)):
        return text
    return f"{_ISOLATE}{text.translate(_WITHOUT_ISOLATES)}{_END_OF_ISOLATE}"


class _Formats:
    """Dates, times and numbers as a language writes them. All times are those of Oslo."""

    def __init__(self, locale: str) -> None:
        self._locale = locale

    def format_number(self, value: int) -> str:
        return format_decimal(value, locale=self._locale)

    def format_day(self, value: date) -> str:
        return format_date(value, "long", locale=self._locale)

    def format_day_of(self, value: datetime) -> str:
        return self.format_day(value.astimezone(OSLO).date())

    def format_iso_day(self, text: str) -> str:
        """Format a day, or the day of a time, that a text has in ISO 8601; leave any other text unchanged."""
        with suppress(ValueError):
            if _ISO_DAY.fullmatch(text):
                return self.format_day(date.fromisoformat(text))
            if _ISO_DAY.match(text):
                return self.format_day_of(datetime.fromisoformat(text))
        return text

    def format_month(self, value: date) -> str:
        return format_date(value, "MMMM y", locale=self._locale)

    def format_long_month(self, value: date) -> str:
        return format_date(value, "LLLL", locale=self._locale)

    def format_short_month(self, value: date) -> str:
        return format_date(value, "LLL", locale=self._locale).rstrip(".")

    def format_time(self, value: datetime) -> str:
        return format_datetime(value, "d MMM y, HH:mm" if self._is_english else "d. MMM y, HH:mm", OSLO, self._locale)

    def format_clock(self, value: datetime) -> str:
        return format_datetime(value, "HH:mm:ss", OSLO, self._locale)

    def format_clock_time(self, value: datetime) -> str:
        return format_datetime(value, "HH:mm", OSLO, self._locale)

    @property
    def _is_english(self) -> bool:
        return self._locale.startswith("en")

    def format_size(self, size: float) -> str:
        unit = 0
        while size >= _BYTES_PER_UNIT and unit < len(_UNITS) - 1:
            size, unit = size / _BYTES_PER_UNIT, unit + 1
        return f"{format_decimal(size, '#,##0.#' if unit else '#,##0', self._locale)}\N{NO-BREAK SPACE}{_UNITS[unit]}"

    def format_period(self, period: ReportingPeriod) -> str:
        """Format a period as briefly as it can be read: a year, a month, a day, or its first and last day or time."""
        start, end = period.first_day, period.last_day
        days = ReportingPeriod(start=start, end=end)
        if (days.first_instant, days.last_instant) != (period.first_instant, period.last_instant):
            return f"{self.format_time(period.first_instant)} \N{EN DASH} {self.format_time(period.last_instant)}"
        if start == end:
            return self.format_day(start)
        if start.day == 1 and end == _get_last_day_of_month(end):
            if (start.year, start.month, end.month) == (end.year, 1, _DECEMBER):
                return str(start.year)
            if (start.year, start.month) == (end.year, end.month):
                return self.format_month(start)
        return f"{self._format_start(start, end)} \N{EN DASH} {self.format_day(end)}"

    def _format_start(self, start: date, end: date) -> str:
        """Format the first day without the year if the last day has the same."""
        if start.year != end.year:
            return self.format_day(start)
        return format_date(start, "d MMMM" if self._is_english else "d. MMMM", locale=self._locale)


def _get_last_day_of_month(day: date) -> date:
    return day.replace(day=monthrange(day.year, day.month)[1])
