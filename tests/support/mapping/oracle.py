"""A slow and plain interpreter of mapping documents, written from the specification without Polars or the compiler."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from decimal import Context, Decimal
from typing import Any

from tests.support.mapping.operations import round_number
from tests.support.mapping.parsing import Document, Row, RowEvaluator, is_empty

_YES_NO = {
    "yes": {"nb": "Ja", "nn": "Ja", "en": "Yes"},
    "no": {"nb": "Nei", "nn": "Nei", "en": "No"},
}
Cells = tuple[Any, ...]


@dataclass(frozen=True)
class FailedCheck:
    code: str
    column: str | None
    rejects: bool
    message: str | None
    """None for checks of a column, whose texts are not specified."""
    rows: list[int]


@dataclass(frozen=True)
class Report:
    report_rows: list[Cells]
    excluded_rows: list[Cells]
    failed_checks: list[FailedCheck]
    rejected: int
    countable: int
    not_countable: dict[str, int]


def interpret(document: Document, rows: list[Row], locale: str) -> Report:
    failed_checks = [
        check for check in _run_checks(document, RowEvaluator(document, rows, locale), locale) if check.rows
    ]
    rejected = {index for check in failed_checks if check.rejects for index in check.rows}
    remaining = [row for index, row in enumerate(rows) if index not in rejected]
    return _build_report(document, RowEvaluator(document, remaining, locale), locale, failed_checks)


def _run_checks(document: Document, evaluator: RowEvaluator, locale: str) -> Iterator[FailedCheck]:
    """Run pass 1, over all rows of the source."""
    indices = range(len(evaluator.rows))
    for column in document["columns"]:
        missing = [index for index in indices if _is_missing(column, evaluator, index)]
        yield FailedCheck("required", column["id"], column.get("if_missing", "reject") == "reject", None, missing)
        unknown = [index for index in indices if _is_unknown(column, evaluator, index)]
        policy = column.get("unknown", "fail")
        if policy == "fail":
            yield FailedCheck("unknown_choice", column["id"], True, None, unknown)
        elif policy == "fallback":
            yield FailedCheck("choice_replaced", column["id"], False, None, unknown)
    for rule in document.get("rules", []):
        matching = [index for index in indices if evaluator.is_true(rule["when"], index)]
        rejects = rule["severity"] == "reject"
        yield FailedCheck(rule["code"], rule.get("column"), rejects, rule["message"][locale], matching)


def _is_missing(column: Any, evaluator: RowEvaluator, index: int) -> bool:
    return evaluator.is_true(column.get("required", False), index) and is_empty(evaluator.value(column["value"], index))


def _is_unknown(column: Any, evaluator: RowEvaluator, index: int) -> bool:
    if column["type"] != "choice":
        return False
    code = evaluator.value(column["value"], index)
    return code is not None and evaluator.label(column["options"], code) is None


def _build_report(document: Document, evaluator: RowEvaluator, locale: str, failed_checks: list[FailedCheck]) -> Report:
    """Run pass 2, which evaluates the remaining rows again."""
    reasons = [evaluator.reason(index) for index in range(len(evaluator.rows))]
    cells = [
        tuple(_cell(column, evaluator, index, locale) for column in document["columns"])
        for index in range(len(evaluator.rows))
    ]
    counting = document["counting"]
    excludes = counting.get("rows_that_do_not_count", "in_report") == "apart"
    is_excluded = [excludes and reason is not None for reason in reasons]
    return Report(
        report_rows=[row for row, excluded in zip(cells, is_excluded, strict=True) if not excluded],
        excluded_rows=[row for row, excluded in zip(cells, is_excluded, strict=True) if excluded],
        failed_checks=failed_checks,
        rejected=len({index for check in failed_checks if check.rejects for index in check.rows}),
        countable=reasons.count(None),
        not_countable={reason["code"]: reasons.count(reason) for reason in counting["reasons"]},
    )


def _cell(column: Any, evaluator: RowEvaluator, index: int, locale: str) -> Any:
    value = evaluator.value(column["value"], index)
    return None if value is None else _present_cell(column, evaluator, value, locale)


def _present_cell(column: Any, evaluator: RowEvaluator, value: Any, locale: str) -> Any:
    match column["type"]:
        case "decimal":
            return _decimal_cell(value, column.get("decimals", 2))
        case "time":
            return value.replace(second=0, microsecond=0)
        case "duration":
            return timedelta(minutes=value)
        case "yes_no":
            return column.get("labels", _YES_NO)["yes" if value else "no"][locale]
        case "choice":
            return _choice_cell(column, evaluator, value)
        case _:
            return value


def _decimal_cell(value: float, decimals: int) -> Decimal | None:
    number = round_number(value, decimals)
    return None if number is None else Decimal(number).quantize(Decimal(1).scaleb(-decimals), context=Context(prec=38))


def _choice_cell(column: Any, evaluator: RowEvaluator, code: str) -> str | None:
    """Return the label. Under "fail" a code may be unknown only in pass 2, with fewer rows a day: the cell is empty."""
    instead = {"keep": code, "fallback": evaluator.label(column["options"], column.get("fallback"))}
    label = evaluator.label(column["options"], code)
    return instead.get(column.get("unknown", "fail")) if label is None else label
