"""Compares the oracle with results computed by hand, from the specification and from JsonLogic's own examples."""

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import pytest

from tests.support.mapping.documents import Document, localize
from tests.support.mapping.oracle import FailedCheck, Report, interpret
from tests.support.mapping.parsing import Row, RowEvaluator

NEW_YEAR = datetime(2020, 12, 31, 23, 0, tzinfo=UTC)
ROW: Row = {
    "oslo_day": date(2021, 1, 1),
    "starts_at": NEW_YEAR,
    "ends_at": NEW_YEAR - timedelta(seconds=90),
    "participants": 4503599627370497,
    "place": "\u00a0Åse\u2003\u001f ",
    "note": None,
    "mentor_id": "a",
}


def evaluate(expression: Any, **document: Any) -> Any:
    return RowEvaluator(document, [ROW], "nn").value(expression, 0)


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ({"round": 2.5}, 3),
        ({"round": [-2.5, 0]}, -3),
        ({"round": [-0.5]}, -1),
        ({"round": [2.675, 2]}, 2.68),
        ({"round": [1.005, 2]}, 1.0),  # in doubles a hundred times that is less than 100.5
        ({"round": [0.125, 2]}, 0.13),
        ({"round": 0.49999999999999994}, 1),  # in doubles that and a half are one
        ({"round": [{"var": "participants"}, 0]}, 4503599627370497),
        ({"round": [{"if": [True, {"var": "participants"}, 0.5]}, 0]}, 4503599627370498),  # as a decimal, to the even
        ({"floor": -0.5}, -1),
        ({"ceil": -0.5}, 0),
        ({"abs": {"-": 7}}, 7),
        ({"%": [-7, 3]}, -1),
        ({"%": [7, -3]}, 1),
        ({"%": [7, 0]}, None),
        ({"/": [1, 0.0]}, None),
        ({"/": [7, 2]}, 3.5),
        ({"+": [9007199254740991, 1, -1]}, None),
        ({"+": [9007199254740991, -1, 1]}, 9007199254740991),
        ({"*": [9007199254740991, 9007199254740991]}, None),
        ({"+": [0.1, 0.2, 0.3]}, 0.6000000000000001),
        ({"-": [1.0, None]}, None),
        ({"min": [None, 2, 1.5]}, 1.5),
        ({"max": [{"var": "note"}]}, None),
    ],
)
def test_numbers_follow_double_arithmetic_and_the_limits(expression: Any, value: Any) -> None:
    result = evaluate(expression)
    assert result == value
    assert type(result) is type(value)


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ({"substr": ["jsonlogic", 4]}, "logic"),
        ({"substr": ["jsonlogic", -5]}, "logic"),
        ({"substr": ["jsonlogic", 1, 3]}, "son"),
        ({"substr": ["jsonlogic", 4, -2]}, "log"),
        ({"substr": ["jsonlogic", -100, -8]}, "j"),
        ({"substr": ["jsonlogic", 3, -9]}, ""),
        ({"trim": {"var": "place"}}, "Åse\u2003\u001f"),  # U+001F is no white space
        ({"upper": "straße ŉ"}, "STRASSE \u02bcN"),
        ({"lower": "ΑΣ"}, "ας"),
        ({"length": "e\u0301😀"}, 3),
        ({"cat": ["a", {"var": "note"}, 1, None]}, "a1"),
        ({"join": [", ", "", "a", {"var": "note"}, " "]}, "a,  "),
        ({"join": [", ", None, ""]}, ""),
        ({"split": ["a.b", ".", 2]}, "b"),
        ({"split": ["", ".", 1]}, ""),
        ({"split": ["a.b", ".", 3]}, None),
        ({"replace": ["aaa", "aa", "$0"]}, "$0a"),
        ({"lookup": ["x", "of"]}, None),
        ({"lookup": [{"var": "note"}, "of", "?"]}, "?"),
        ({"lookup": ["a", "of", "?"]}, "b"),
        ({"label": ["c", "kinds"]}, "C"),
        ({"label": ["C", "kinds"]}, None),
        ({"var": ["note", {"cat": "none"}]}, "none"),
        ({"if": [None, "a", False, "b"]}, None),
    ],
)
def test_texts_are_code_points_and_skip_missing_arguments(expression: Any, value: Any) -> None:
    kinds = [{"code": "c", "label": localize("C")}]
    assert evaluate(expression, lookups={"of": {"a": "b"}}, taxonomies={"kinds": kinds}) == value


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ({"==": [{"var": "note"}, None]}, True),
        ({"!=": [{"var": "note"}, ""]}, True),
        ({"<": [1, 2, 2]}, False),
        ({"<=": [1, 2, 2]}, True),
        ({">": [{"var": ["starts_at"]}, {"var": "ends_at"}]}, True),
        ({"<": [1, {"length": {"var": "note"}}]}, False),
        ({"and": [True, None]}, False),
        ({"or": [None, True]}, True),
        ({"!": None}, True),
        ({"in": [{"var": "note"}, ["a"]]}, False),
        ({"in": ["", "a"]}, True),
        ({"in": [{"var": "note"}, "a"]}, False),
        ({"in": [1, [0.5, 1.0]]}, True),
        ({"empty": " \u3000"}, True),
        ({"empty": "\u200b"}, False),
        ({"empty": 0}, False),
    ],
)
def test_conditions_are_never_missing(expression: Any, value: Any) -> None:
    assert evaluate(expression) is value


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ({"date_of": {"var": "starts_at"}}, date(2021, 1, 1)),
        ({"time_of": {"var": "ends_at"}}, time(23, 58, 30)),
        ({"week": {"var": "oslo_day"}}, 53),
        ({"weekday": {"date": "2021-01-03"}}, 7),
        ({"minutes_between": [{"var": "starts_at"}, {"var": "ends_at"}]}, -1),
        ({"days_between": [{"var": "oslo_day"}, {"date": "2021-02-01"}]}, 31),
        ({"minute": {"time": "09:30"}}, 30),
    ],
)
def test_dates_and_times_follow_oslo_time(expression: Any, value: Any) -> None:
    assert evaluate(expression) == value


def report_of(participants: list[int], **counting: Any) -> Report:
    """Report these rows of one day with their ranks: negative numbers are rejected, and 0 does not count."""
    hours = [NEW_YEAR + timedelta(hours=hour) for hour in range(len(participants))]
    rows = [ROW | {"starts_at": at, "participants": count} for at, count in zip(hours, participants, strict=True)]
    rank = {"day_rank": {"!=": [{"var": "participants"}, 1]}}
    negative = {"<": [{"var": "participants"}, 0]}
    document: Document = {
        "columns": [{"id": "rank", "header": localize("rank"), "type": "decimal", "value": rank, "required": True}],
        "rules": [{"code": "negative", "when": negative, "severity": "reject", "message": localize("<0")}],
        "counting": {
            "reasons": [
                {"code": "none", "when": {"==": [{"var": "participants"}, 0]}, "label": localize("none")},
                {"code": "few", "when": {"<": [{"var": "participants"}, 3]}, "label": localize("few")},
            ]
        },
    }
    document["columns"][0] |= {"if_missing": "warning"}
    document["counting"] |= counting
    return interpret(document, rows, "nn")


def test_rejected_rows_do_not_affect_the_written_rows() -> None:
    report = report_of([-1, 1, 5, 0, -2])
    assert report == Report(
        report_rows=[(None,), (Decimal(1),), (Decimal(2),)],
        excluded_rows=[],
        failed_checks=[
            FailedCheck("required", "rank", False, None, [1]),
            FailedCheck("negative", None, True, "<0", [0, 4]),
        ],
        rejected=2,
        countable=1,
        not_countable={"none": 1, "few": 1},
    )


def test_rows_that_do_not_count_can_be_excluded() -> None:
    report = report_of([5, 0, 7], rows_that_do_not_count="apart")
    assert (report.report_rows, report.excluded_rows) == ([(Decimal(1),), (Decimal(3),)], [(Decimal(2),)])
    assert report.countable + sum(report.not_countable.values()) == 3
