"""What an editor says of each part of a mapping document."""

from collections.abc import Mapping
from types import MappingProxyType

EXPRESSION_DESCRIPTION = (
    "How a value is found: a text, a number, true, false or null as it stands, or an object with exactly one"
    ' operation, such as {"var": "place"}.'
)

CLASS_DESCRIPTIONS: Mapping[str, str] = MappingProxyType(
    {
        "MappingDocument": (
            "Everything about an organisation's report from a day on: which columns it has, which rows are faulty,"
            " which rows count, and what the workbook looks like."
        ),
        "Localized": "The same words in Norwegian Bokmål, Norwegian Nynorsk and English.",
        "SheetName": "A sheet's name in each language, as Excel allows it.",
        "Option": "One value of a taxonomy.",
        "TextColumn": "A text as it is.",
        "IntegerColumn": "A whole number.",
        "DecimalColumn": "A number, rounded to so many decimals.",
        "DateColumn": "A date.",
        "TimeColumn": "A time of day, written to the minute.",
        "DurationColumn": "A length of time; its value is a whole number of minutes.",
        "YesNoColumn": "A condition, written as yes or no in the report's language.",
        "ChoiceColumn": "A code of a taxonomy, written as its label.",
        "YesNo": "The words for yes and no.",
        "Rule": "A row is faulty where “when” is true.",
        "Reason": "A row does not count where “when” is true; the first reason that applies is the one given.",
        "Counting": "Which rows count, and where those stand that do not.",
        "RowMeasure": "How many rows a group has.",
        "SumMeasure": "What an integer column adds up to in a group.",
        "Summary": "Totals by the values of one column.",
        "Layout": "Where things stand in a workbook; a CSV file has no layout.",
        "Attachments": "What holds for an export that takes the activities' attachments along.",
    }
)

FIELD_DESCRIPTIONS: Mapping[str, str] = MappingProxyType(
    {
        "MappingDocument.title": "What people call this version.",
        "MappingDocument.effective_from": "The first day it holds, such as 2026-01-01.",
        "MappingDocument.lookups": "Tables from a text to a text, for the operation “lookup”.",
        "MappingDocument.taxonomies": "Lists of codes with their labels, for choice columns.",
        "MappingDocument.values": (
            'Values with a name, used like fields: {"var": "minutes"}. They may need one another, in any order.'
        ),
        "MappingDocument.columns": "The report's columns, from left to right.",
        "MappingDocument.rules": "What makes a row faulty, apart from what the columns say themselves.",
        "MappingDocument.counting": "Which rows count.",
        "MappingDocument.summary": "Totals on a sheet of their own.",
        "MappingDocument.layout": "Where things stand in a workbook.",
        "MappingDocument.attachments": "What holds for exports with attachments.",
        "Localized.nb": "Norwegian Bokmål.",
        "Localized.nn": "Norwegian Nynorsk.",
        "Localized.en": "English.",
        "Option.code": "What values hold.",
        "Option.label": "What is written in the report.",
        "Column.id": "The column's name in rules and in what is said of rows; small letters, digits and _.",
        "Column.header": "The text above the column.",
        "Column.type": "What its value is, and how it is written.",
        "Column.value": "What stands in the column.",
        "DecimalColumn.decimals": "How many decimals are written.",
        "YesNoColumn.labels": "Other words than Ja and Nei.",
        "ChoiceColumn.options": "The name of a taxonomy.",
        "ChoiceColumn.unknown": (
            "What becomes of a value that is not in the taxonomy: the row is rejected (fail), it is written as it is"
            " (keep), or the fallback's label is written, with a warning (fallback)."
        ),
        "ChoiceColumn.fallback": "The code that takes an unknown value's place.",
        "YesNo.yes": "Where it is true.",
        "YesNo.no": "Where it is false.",
        "Rule.code": "The rule's name in lists of faults.",
        "Rule.when": "True where a row is faulty.",
        "Rule.severity": "reject: the row is left out of the report. warning: it stays, and the fault is listed.",
        "Rule.message": "What people are told.",
        "Rule.column": "The id of the column to look at.",
        "Reason.code": "The reason's name, as reason_code gives it.",
        "Reason.when": "True where a row does not count.",
        "Reason.label": "What people are told, as reason gives it.",
        "Counting.rows_that_do_not_count": "In the report among the others, or listed apart.",
        "Counting.reasons": "Why a row does not count, the first that applies; without reasons every row counts.",
        "RowMeasure.header": "The text above the figures.",
        "RowMeasure.count": "All rows, those that count, or those that do not.",
        "SumMeasure.header": "The text above the figures.",
        "SumMeasure.sum": "The id of an integer column.",
        "Summary.title": "The text above the totals.",
        "Summary.by": "The id of a yes_no column, or of a choice column that keeps no unknown values.",
        "Summary.measures": "The figures, from left to right; a chart shows the first.",
        "Layout.sheet": "The report's own sheet.",
        "Layout.title_rows": "Texts above the header, from row 1 down.",
        "Layout.frozen_header": "Whether the header stays in sight.",
        "Layout.summary_sheet": "The sheet of totals.",
        "Layout.apart_sheet": "The sheet of rows that do not count, if they are listed apart.",
        "Layout.partial_failures_sheet": "The sheet of faulty rows.",
        "Layout.metadata_sheet": "The sheet about the report itself.",
        "Attachments.unavailable": (
            "What becomes of an export when an attachment is gone, or is not what it was: the export fails (fail), or"
            " the attachment is left out, listed in the manifest and reported (report)."
        ),
    }
)
