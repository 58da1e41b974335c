"""The schema of mapping documents: what a report contains, not how it is computed."""

import hashlib
from typing import Annotated, Any, Literal

import rfc8785
from pydantic import (
    Discriminator,
    Field,
    JsonValue,
    StringConstraints,
    Tag,
)

from stafett.column_mapper.localized import BoundedText, Localized, NonBlankText, SnakeCaseName
from stafett.column_mapper.workbook_layout import Layout
from stafett.domain.fields import IsoDate
from stafett.domain.frozen import FrozenModel

Expression = Annotated[JsonValue, Field(description="A literal, or an object with exactly one operation.")]
Severity = Literal["reject", "warning"]


class Option(FrozenModel):
    """One value of a taxonomy."""

    code: NonBlankText
    label: Localized


Taxonomy = Annotated[tuple[Option, ...], Field(min_length=1, max_length=1000)]


class _BaseColumn(FrozenModel):
    id: SnakeCaseName
    header: Localized
    value: Expression
    required: Expression = Field(False, description="Whether a value is required: true, false or a condition.")
    if_missing: Severity = Field(
        "reject",
        description="What happens to a row whose required value is missing: it is rejected, or stays with a warning.",
    )
    width: float | None = Field(None, ge=1, le=255, description="The width of the column in Excel, in characters.")
    number_format: NonBlankText | None = Field(None, description="An Excel number format, such as #,##0.00.")
    hidden: bool = Field(
        False, description="Whether the workbook hides the column, because it is for programs; a click on + shows it."
    )


class TextColumn(_BaseColumn):
    type: Literal["text"]


class IntegerColumn(_BaseColumn):
    type: Literal["integer"]


class DecimalColumn(_BaseColumn):
    type: Literal["decimal"]
    decimals: int = Field(2, ge=0, le=6)


class DateColumn(_BaseColumn):
    type: Literal["date"]


class TimeColumn(_BaseColumn):
    """A column of times of day, written to the minute."""

    type: Literal["time"]


class DurationColumn(_BaseColumn):
    """A column of durations, whose value is a number of minutes."""

    type: Literal["duration"]


class YesNoLabels(FrozenModel):
    yes: Localized = Localized(nb="Ja", nn="Ja", en="Yes")
    no: Localized = Localized(nb="Nei", nn="Nei", en="No")


class YesNoColumn(_BaseColumn):
    type: Literal["yes_no"]
    labels: YesNoLabels = YesNoLabels()


class ChoiceColumn(_BaseColumn):
    """A column of taxonomy codes, which are written as their labels."""

    type: Literal["choice"]
    options: SnakeCaseName
    unknown: Literal["fail", "keep", "fallback"] = "fail"
    fallback: NonBlankText | None = None


Column = Annotated[
    TextColumn | IntegerColumn | DecimalColumn | DateColumn | TimeColumn | DurationColumn | YesNoColumn | ChoiceColumn,
    Field(discriminator="type"),
]


class Rule(FrozenModel):
    """A check that a row fails when ``when`` is true."""

    code: SnakeCaseName
    when: Expression
    severity: Severity
    message: Localized
    repair: Localized | None = None
    column: SnakeCaseName | None = None


class Reason(FrozenModel):
    """A reason why a row does not count. The first reason whose ``when`` is true applies."""

    code: SnakeCaseName
    when: Expression
    label: Localized
    repair: Localized | None = None


class Counting(FrozenModel):
    """The rules for which rows count, and where the other rows are listed."""

    rows_that_do_not_count: Literal["in_report", "apart"] = "in_report"
    reasons: Annotated[tuple[Reason, ...], Field(max_length=100)]


class CountMeasure(FrozenModel):
    """The number of rows in a group."""

    header: Localized
    count: Literal["rows", "countable", "not_countable"]


class SumMeasure(FrozenModel):
    """The sum of an integer column over a group."""

    header: Localized
    sum: SnakeCaseName


def _measure_tag(measure: Any) -> str:
    return "sum" if (isinstance(measure, dict) and "sum" in measure) or isinstance(measure, SumMeasure) else "count"


Measure = Annotated[
    Annotated[CountMeasure, Tag("count")] | Annotated[SumMeasure, Tag("sum")], Discriminator(_measure_tag)
]


class Summary(FrozenModel):
    """Totals for each value of one column, with an optional chart of the first measure."""

    title: Localized
    by: SnakeCaseName
    measures: Annotated[tuple[Measure, ...], Field(min_length=1, max_length=20)]
    chart: Localized | None = Field(None, description="The title of the chart. Without it, no chart is drawn.")


class AttachmentPolicy(FrozenModel):
    """The policy for attachments that are missing or have changed."""

    unavailable: Literal["fail", "report"] = "fail"


class MappingDocument(FrozenModel):
    """The complete definition of an organisation's report, valid from a given day."""

    format: Literal[1] = Field(description="The version of the mapping language.")
    title: Annotated[NonBlankText, StringConstraints(max_length=200)]
    effective_from: IsoDate
    lookups: Annotated[
        dict[
            SnakeCaseName,
            Annotated[dict[BoundedText, BoundedText], Field(min_length=1, max_length=1000)],
        ],
        Field(max_length=100, default_factory=dict),
    ]
    taxonomies: Annotated[dict[SnakeCaseName, Taxonomy], Field(max_length=100, default_factory=dict)]
    values: Annotated[dict[SnakeCaseName, Expression], Field(max_length=200, default_factory=dict)]
    columns: Annotated[tuple[Column, ...], Field(min_length=1, max_length=200)]
    rules: Annotated[tuple[Rule, ...], Field(max_length=200)] = ()
    counting: Counting
    summary: Summary | None = None
    layout: Layout = Layout()
    attachments: AttachmentPolicy = AttachmentPolicy()

    @property
    def sha256(self) -> str:
        """The SHA-256 of the canonical JSON (RFC 8785), which does not depend on formatting."""
        return hashlib.sha256(rfc8785.dumps(self.as_json())).hexdigest()

    def as_json(self) -> dict[str, Any]:
        """Return the document as it was written, without fields that were left to their defaults."""
        return self.model_dump(mode="json", exclude_unset=True)
