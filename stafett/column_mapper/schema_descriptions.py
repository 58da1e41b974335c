"""Descriptions in the published JSON Schema, which editors show for each part of a mapping document."""

from collections.abc import Mapping
from types import MappingProxyType

EXPRESSION_DESCRIPTION = (
    "The definition of a value: a literal (a text, a number, true, false or null), or an object with exactly one"
    ' operation, such as {"var": "place"}.'
)

CLASS_DESCRIPTIONS: Mapping[str, str] = MappingProxyType(
    {
        "MappingDocument": (
            "The complete definition of an organisation's report, valid from a given day: its columns, the checks on"
            " its rows, which rows count, and the layout of the workbook."
        ),
        "Localized": "A text in Norwegian Bokmål, Norwegian Nynorsk and English.",
        "SheetName": "The name of a sheet in each language, within Excel's rules for sheet names.",
        "Option": "One value of a taxonomy.",
        "TextColumn": "A column of texts.",
        "IntegerColumn": "A column of integers.",
        "DecimalColumn": "A column of numbers, rounded to a fixed number of decimal places.",
        "DateColumn": "A column of dates.",
        "TimeColumn": "A column of times of day, written to the minute.",
        "DurationColumn": "A column of durations. Its value is an integer number of minutes.",
        "YesNoColumn": "A column of conditions, written as yes or no in the report's language.",
        "ChoiceColumn": "A column of taxonomy codes, written as their labels.",
        "YesNoLabels": "The labels for true and false.",
        "Rule": "A check. A row fails it where “when” is true.",
        "Reason": "A reason why a row does not count. The first reason whose “when” is true applies.",
        "Counting": "Which rows count, and where the other rows are listed.",
        "CountMeasure": "The number of rows in a group.",
        "SumMeasure": "The sum of an integer column over a group.",
        "Summary": "Totals for each value of one column.",
        "Layout": "The layout of the workbook. A CSV file has no layout.",
        "AttachmentPolicy": "Settings for exports that include the activities' attachments.",
    }
)

FIELD_DESCRIPTIONS: Mapping[str, str] = MappingProxyType(
    {
        "MappingDocument.title": "The name of this version, for its readers.",
        "MappingDocument.effective_from": "The first day on which the document is valid, such as 2026-01-01.",
        "MappingDocument.lookups": "Tables that map texts to texts, for the operation “lookup”.",
        "MappingDocument.taxonomies": "Lists of codes with their labels, for choice columns.",
        "MappingDocument.values": (
            'Named values, used like fields: {"var": "minutes"}. They can use one another in any order, but not in a'
            " circle."
        ),
        "MappingDocument.columns": "The report's columns, from left to right.",
        "MappingDocument.rules": "Checks on rows, in addition to the checks of the columns.",
        "MappingDocument.counting": "Which rows count.",
        "MappingDocument.summary": "Totals on a separate sheet.",
        "MappingDocument.layout": "The layout of the workbook.",
        "MappingDocument.attachments": "Settings for exports with attachments.",
        "Localized.nb": "Norwegian Bokmål.",
        "Localized.nn": "Norwegian Nynorsk.",
        "Localized.en": "English.",
        "Option.code": "The code, as it appears in values.",
        "Option.label": "The text that the report shows for the code.",
        "Column.id": "The name of the column in rules and partial failures: a to z, 0 to 9 and _, first a to z.",
        "Column.header": "The header of the column.",
        "Column.type": "The type of the column, which determines how values are written.",
        "Column.value": "The value of the column.",
        "DecimalColumn.decimals": "The number of decimal places that are written.",
        "YesNoColumn.labels": "Labels other than the default Ja and Nei.",
        "ChoiceColumn.options": "The name of a taxonomy.",
        "ChoiceColumn.unknown": (
            "What happens to a value that is not in the taxonomy: the row is rejected (fail), the value is written"
            " unchanged (keep), or the label of the fallback is written, with a warning (fallback)."
        ),
        "ChoiceColumn.fallback": "The code that replaces an unknown value.",
        "YesNoLabels.yes": "The label for true.",
        "YesNoLabels.no": "The label for false.",
        "Rule.code": "The code of the rule in partial failures.",
        "Rule.when": "A condition that is true for the rows that fail the rule.",
        "Rule.severity": (
            "reject: a failing row is left out of the report. warning: it stays. Both are listed as partial failures."
        ),
        "Rule.message": "The message about the rows that fail.",
        "Rule.repair": "How to repair a row that fails, shown beside the message in the list of deviations.",
        "Rule.column": "The id of the column that the message is about.",
        "Reason.code": "The code of the reason, as returned by “reason_code”.",
        "Reason.when": "A condition that is true for the rows that do not count for this reason.",
        "Reason.label": "The text of the reason, as returned by “reason”.",
        "Reason.repair": "How to make such a row count, shown beside the reason in the list of deviations.",
        "Counting.rows_that_do_not_count": (
            "Where these rows are listed: in the report (in_report), or on a separate sheet (apart)."
        ),
        "Counting.reasons": "Why a row does not count: the first reason that applies. If the list is empty, all count.",
        "CountMeasure.header": "The header of the measure.",
        "CountMeasure.count": "Which rows are counted: all, those that count, or those that do not count.",
        "SumMeasure.header": "The header of the measure.",
        "SumMeasure.sum": "The id of an integer column.",
        "Summary.title": "The title of the summary.",
        "Summary.by": "The id of a yes_no or choice column. Values that the document does not list share one line.",
        "Summary.measures": "The measures, from left to right. A chart shows the first one.",
        "Layout.sheet": "The name of the sheet with the report.",
        "Layout.title_rows": (
            "Texts above the header row, from row 1 down. {organisation} and {period} are replaced by the name of the"
            " organisation and the first and last day of the report."
        ),
        "Layout.frozen_header": "Whether the header row is frozen, so that it stays visible when scrolling.",
        "Layout.summary_sheet": "The name of the sheet with the summary.",
        "Layout.apart_sheet": "The name of the separate sheet for rows that do not count.",
        "Layout.partial_failures_sheet": "The name of the sheet that lists partial failures.",
        "Layout.metadata_sheet": "The name of the sheet with metadata about the report.",
        "AttachmentPolicy.unavailable": (
            "What happens when an attachment is missing or has changed: the export fails (fail), or the attachment is"
            " left out, listed in the manifest and reported as a partial failure (report)."
        ),
    }
)
