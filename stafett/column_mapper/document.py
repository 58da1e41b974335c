"""The mapping document as people write it: what a report's columns, rules and counting are, and nothing about how."""

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

Expression = Annotated[
    JsonValue, Field(description="A literal, or an object with one operation: see the table of operations.")
]
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
    required: Expression = Field(False, description="Whether a value must be there: true, or a condition.")
    if_missing: Severity = Field("reject", description="What becomes of a row whose required value is missing.")
    width: float | None = Field(None, ge=1, le=255, description="In characters, for Excel.")
    number_format: NonBlankText | None = Field(None, description="As Excel writes it, such as #,##0.00.")


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
    """Written to the minute."""

    type: Literal["time"]


class DurationColumn(_BaseColumn):
    """Its value is a number of minutes."""

    type: Literal["duration"]


class YesNoLabels(FrozenModel):
    yes: Localized = Localized(nb="Ja", nn="Ja", en="Yes")
    no: Localized = Localized(nb="Nei", nn="Nei", en="No")


class YesNoColumn(_BaseColumn):
    type: Literal["yes_no"]
    labels: YesNoLabels = YesNoLabels()


class ChoiceColumn(_BaseColumn):
    """Its value is a code of a taxonomy, written as its label."""

    type: Literal["choice"]
    options: SnakeCaseName
    unknown: Literal["fail", "keep", "fallback"] = "fail"
    fallback: NonBlankText | None = None


Column = Annotated[
    TextColumn | IntegerColumn | DecimalColumn | DateColumn | TimeColumn | DurationColumn | YesNoColumn | ChoiceColumn,
    Field(discriminator="type"),
]


class Rule(FrozenModel):
    """A row is faulty when ``when`` is true."""

    code: SnakeCaseName
    when: Expression
    severity: Severity
    message: Localized
    column: SnakeCaseName | None = None


class Reason(FrozenModel):
    """A row does not count when ``when`` is true; the first reason that applies is the one given."""

    code: SnakeCaseName
    when: Expression
    label: Localized


class Counting(FrozenModel):
    """Which rows count, and where those stand that do not."""

    rows_that_do_not_count: Literal["in_report", "apart"] = "in_report"
    reasons: Annotated[tuple[Reason, ...], Field(max_length=100)]


class CountMeasure(FrozenModel):
    """How many rows of a group there are."""

    header: Localized
    count: Literal["rows", "countable", "not_countable"]


class SumMeasure(FrozenModel):
    """What an integer column's values of a group add up to."""

    header: Localized
    sum: SnakeCaseName


def _measure_tag(measure: Any) -> str:
    return "sum" if (isinstance(measure, dict) and "sum" in measure) or isinstance(measure, SumMeasure) else "count"


Measure = Annotated[
    Annotated[CountMeasure, Tag("count")] | Annotated[SumMeasure, Tag("sum")], Discriminator(_measure_tag)
]


class Summary(FrozenModel):
    """Totals by the values of one column, with a chart of the first measure."""

    title: Localized
    by: SnakeCaseName
    measures: Annotated[tuple[Measure, ...], Field(min_length=1, max_length=20)]
    chart: Localized | None = Field(None, description="The chart's title; without it there is no chart.")


class AttachmentPolicy(FrozenModel):
    """What becomes of an export whose attachments are not all there as they were."""

    unavailable: Literal["fail", "report"] = "fail"


class MappingDocument(FrozenModel):
    """Everything about an organisation's report, from a day on."""

    format: Literal[1] = Field(description="The version of this language.")
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
        """Of the canonical form (RFC 8785): the same for every spelling of the same document."""
        return hashlib.sha256(rfc8785.dumps(self.as_json())).hexdigest()

    def as_json(self) -> dict[str, Any]:
        """The document as it was written, without what was left to its default."""
        return self.model_dump(mode="json", exclude_unset=True)
