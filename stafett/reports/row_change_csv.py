"""The rows that differ between two versions as a CSV file: values as people write them, or as programs do."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain

import polars as pl

from stafett.domain.activity import ACTIVITY_TYPES
from stafett.domain.export import ExportParameters, Locale
from stafett.domain.reporting_period import OSLO
from stafett.file_generator.csv import render_csv
from stafett.reports.row_descriptions import COMPARED_COLUMNS, VALUE_COLUMNS, name_values

_SCHEMA = pl.Schema(
    {
        "change": pl.String(),
        "date": pl.Date(),
        "mentor": pl.String(),
        "place": pl.String(),
        "sheet_before": pl.String(),
        "row_before": pl.Int64(),
        "sheet_after": pl.String(),
        "row_after": pl.Int64(),
        "counted_before": pl.String(),
        "counted_after": pl.String(),
        "columns": pl.String(),
        "differences": pl.String(),
        "activity_id": pl.String(),
    }
)
_TRUTH_VALUES: Mapping[Locale, tuple[str, str]] = {"nb": ("ja", "nei"), "nn": ("ja", "nei"), "en": ("yes", "no")}
_SEPARATOR, _ARROW, _NO_VALUE = " · ", " → ", "\N{EN DASH}"


def render_changes_csv(rows: Iterable[pl.DataFrame], parameters: ExportParameters) -> Iterator[bytes]:
    """Render described rows in the version's profile."""
    profile = parameters.csv_profile
    values = _PlainValues() if profile == "machine" else _WrittenValues(parameters.locale)
    return render_csv(chain([_SCHEMA.to_frame()], (_to_lines(frame, values) for frame in rows)), profile)


class _PlainValues:
    """Texts of values for programs."""

    time_zone, time_format = "UTC", "%Y-%m-%dT%H:%M:%SZ"
    truth_values = "true", "false"
    type_names: Mapping[str, str] = {}

    def to_text(self, name: str, column: str) -> pl.Expr:
        value = pl.col(column)
        match name:
            case "starts_at":
                text = value.dt.convert_time_zone(self.time_zone).dt.strftime(self.time_format)
            case "in_person" | "in_norway" | "counted":
                yes, no = self.truth_values
                text = pl.when(value).then(pl.lit(yes)).when(value.not_()).then(pl.lit(no))
            case "activity_type":
                text = value.replace(self.type_names)
            case _:
                text = value.cast(pl.String)
        return text


class _WrittenValues(_PlainValues):
    """Texts of values for people, as in the CSV file of a batch."""

    time_zone, time_format = OSLO.key, "%d.%m.%Y %H:%M"

    def __init__(self, locale: Locale) -> None:
        self.truth_values = _TRUTH_VALUES[locale]
        self.type_names = {each.id: each.names[locale] for each in ACTIVITY_TYPES}


def _to_lines(rows: pl.DataFrame, values: _PlainValues) -> pl.DataFrame:
    differing = rows["columns"].str.split(" ").alias("differing")
    differences = pl.concat_str(
        [pl.when(pl.col("differing").list.contains(name)).then(_describe(name, values)) for name in COMPARED_COLUMNS],
        separator=_SEPARATOR,
        ignore_nulls=True,
    )
    counted = (values.to_text("counted", name).alias(name) for name in ("counted_before", "counted_after"))
    return (
        rows.with_columns(differing)
        .with_columns(*counted, pl.when(pl.col("differing").is_not_null()).then(differences).alias("differences"))
        .select(_SCHEMA.names())
    )


def _describe(name: str, values: _PlainValues) -> pl.Expr:
    """Describe the change of a column as ``name: before → after``, or by its name if it has no values."""
    if name not in VALUE_COLUMNS:
        return pl.lit(name)
    before, after = (values.to_text(name, column).fill_null(_NO_VALUE) for column in name_values(name))
    return pl.concat_str(pl.lit(f"{name}: "), before, pl.lit(_ARROW), after)
