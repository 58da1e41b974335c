"""Forms of the console as models: the fields of a request become a value, or a code of what is wrong with each."""

from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any, Literal, NamedTuple, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from api.console.written_days import WrittenDay
from stafett.domain.export import CsvProfile, ExportFormat, ExportParameters, Locale
from stafett.domain.reporting_period import EARLIEST_YEAR, LATEST_YEAR, ReportingPeriod

FormErrors = Mapping[str, str]
Day = Annotated[WrittenDay, Field(ge=date(EARLIEST_YEAR + 1, 1, 1), le=date(LATEST_YEAR - 1, 12, 31))]
OWN_DATES = "dates"
_MONTHS_PER_YEAR = 12


class InvalidFormError(Exception):
    """Fields of a form are not valid; the page shows the form again with what is wrong."""

    def __init__(self, errors: FormErrors) -> None:
        super().__init__(*errors.values())
        self.errors = errors


class ConsoleForm(BaseModel):
    """A form. Fields that are empty or that it does not have are left out."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    @classmethod
    def parse(cls, fields: Mapping[str, Any]) -> Self:
        """Validate the fields; raise ``InvalidFormError`` with the first error of each."""
        try:
            return cls.model_validate({name: value for name, value in fields.items() if value not in {"", None}})
        except ValidationError as error:
            errors: dict[str, str] = {}
            for details in error.errors(include_url=False, include_input=False):
                name, code = str(details["loc"][0]) if details["loc"] else "", details["type"]
                name, code = (code.partition(":")[0], code.partition(":")[2]) if ":" in code else (name, code)
                errors.setdefault(name, _ERROR_CODES.get((name, code), _ERROR_CODES.get(("", code), code)))
            raise InvalidFormError(errors) from None


def create_field_error(field: str, code: str) -> PydanticCustomError:
    """Create an error that a validator of several fields raises for one of them."""
    return PydanticCustomError(f"{field}:{code}", "The field is not valid.")


_ERROR_CODES = {
    ("period", "missing"): "period_missing",
    ("source", "missing"): "source_missing",
    ("days", "missing"): "days_missing",
    ("start", "missing"): "date_missing",
    ("submitted_reference", "string_too_long"): "reference_too_long",
    ("reason", "string_too_long"): "reason_too_long",
    ("starts_at", "missing"): "start_missing",
    ("place", "missing"): "place_missing",
    ("activity_type", "missing"): "activity_type_missing",
    ("activity_type", "enum"): "activity_type_missing",
    ("duration_minutes", "missing"): "duration_invalid",
    ("duration_minutes", "int_parsing"): "duration_invalid",
    ("participants", "missing"): "participants_invalid",
    ("participants", "int_parsing"): "participants_invalid",
    ("new_participants", "missing"): "new_participants_invalid",
    ("new_participants", "int_parsing"): "new_participants_invalid",
    ("submitted_on", "missing"): "date_invalid",
    ("start", "greater_than_equal"): "date_invalid",
    ("start", "less_than_equal"): "date_invalid",
    ("end", "greater_than_equal"): "date_invalid",
    ("end", "less_than_equal"): "date_invalid",
    ("starts_at", "greater_than_equal"): "start_missing",
    ("starts_at", "less_than_equal"): "start_missing",
    ("display_name", "missing"): "name_missing",
    ("display_name", "string_too_short"): "name_missing",
    ("display_name", "value_error"): "one_line",
    ("branch", "value_error"): "one_line",
    ("name", "missing"): "name_missing",
    ("name", "string_too_short"): "name_missing",
    ("name", "value_error"): "one_line",
    ("address", "missing"): "address_invalid",
    ("address", "string_pattern_mismatch"): "address_invalid",
    ("url", "missing"): "url_invalid",
    ("description", "value_error"): "one_line",
    ("effective_from", "missing"): "date_invalid",
    ("effective_from", "greater_than_equal"): "date_invalid",
    ("effective_from", "less_than_equal"): "date_invalid",
    ("end", "missing"): "date_missing",
    ("role", "missing"): "role_missing",
    ("role", "value_error"): "role_missing",
    ("approved_on", "greater_than_equal"): "date_invalid",
    ("approved_on", "less_than_equal"): "date_invalid",
    ("", "date_parsing"): "date_invalid",
    ("", "datetime_parsing"): "start_missing",
    ("", "int_parsing"): "whole_number",
    ("duration_minutes", "greater_than_equal"): "duration_range",
    ("duration_minutes", "less_than_equal"): "duration_range",
    ("participants", "greater_than_equal"): "participants_range",
    ("participants", "less_than_equal"): "participants_range",
    ("new_participants", "greater_than_equal"): "new_participants_range",
    ("new_participants", "less_than_equal"): "new_participants_range",
    ("grant_year", "greater_than_equal"): "grant_year_range",
    ("grant_year", "less_than_equal"): "grant_year_range",
    ("", "greater_than_equal"): "number_range",
    ("", "less_than_equal"): "number_range",
    ("", "string_too_long"): "too_long",
    ("job", "uuid_parsing"): "job_invalid",
    ("job", "string_pattern_mismatch"): "id_invalid",
    ("actor", "string_pattern_mismatch"): "actor_invalid",
    ("event_id", "uuid_parsing"): "job_invalid",
    ("in_person", "literal_error"): "yes_or_no",
    ("in_norway", "literal_error"): "yes_or_no",
}


class RetryForm(ConsoleForm):
    """The attempt that the page showed, so that a second press on its button starts no other attempt."""

    attempt: Annotated[int, Field(ge=1, le=2**31 - 1)]

    def create_key(self, job_id: UUID) -> str:
        return f"console-{job_id}-{self.attempt}"


class ReportForm(ConsoleForm):
    """The period, format and options of a new report."""

    period: Annotated[str, Field(pattern=rf"^(20\d\d(-H[12]|-(0[1-9]|1[0-2]))?|{OWN_DATES})$")]
    start: Day | None = None
    end: Day | None = None
    export_format: ExportFormat
    locale: Locale
    csv_profile: CsvProfile = "excel"
    include_attachments: Literal["true"] | None = None

    @model_validator(mode="after")
    def _check_dates(self) -> Self:
        if self.period == OWN_DATES:
            if self.start is None or self.end is None:
                raise create_field_error("start" if self.start is None else "end", "date_missing")
            if self.end < self.start:
                raise create_field_error("end", "period_order")
        elif self.start or self.end:
            raise create_field_error("period", "dates_not_chosen")
        return self

    @property
    def reporting_period(self) -> ReportingPeriod:
        if self.period == OWN_DATES and self.start and self.end:
            return ReportingPeriod(start=self.start, end=self.end)
        first, last = _to_days(self.period)
        return ReportingPeriod(start=first, end=last)

    @property
    def parameters(self) -> ExportParameters:
        return ExportParameters(
            reporting_period=self.reporting_period,
            export_format=self.export_format,
            locale=self.locale,
            csv_profile=self.csv_profile,
            include_attachments=self.include_attachments is not None,
        )


class PeriodChoice(NamedTuple):
    """A period that the form offers, by the value of its option."""

    value: str
    start: date


def list_periods(today: date) -> list[tuple[PeriodChoice, list[PeriodChoice], list[PeriodChoice]]]:
    """List the last year, which a report is usually about, then this one and the one before: year, halves, months."""
    return [
        (
            PeriodChoice(str(year), date(year, 1, 1)),
            [PeriodChoice(f"{year}-H{half}", date(year, 6 * half - 5, 1)) for half in (1, 2)],
            [PeriodChoice(f"{year}-{month:02}", date(year, month, 1)) for month in range(1, _MONTHS_PER_YEAR + 1)],
        )
        for year in (today.year - 1, today.year, today.year - 2)
    ]


def _to_days(period: str) -> tuple[date, date]:
    """Convert a year, half-year or month to its first and last day."""
    year, _, part = period.partition("-")
    if not part:
        first_month, months = 1, _MONTHS_PER_YEAR
    elif part.startswith("H"):
        first_month, months = 6 * int(part[1]) - 5, 6
    else:
        first_month, months = int(part), 1
    after = date(int(year) + (first_month + months - 1) // 12, (first_month + months - 1) % 12 + 1, 1)
    return date(int(year), first_month, 1), date.fromordinal(after.toordinal() - 1)


class RevisionForm(ConsoleForm):
    """The revision of the object that the page showed."""

    revision: Annotated[int, Field(ge=0, le=2**31 - 1)]


def parse_id(text: object) -> UUID | None:
    """Parse an id; a form or a file can have any text in its place."""
    try:
        return UUID(str(text))
    except ValueError:
        return None
