"""Exceptions in log lines: their class and location, and no text that could quote data."""

import json
import logging
from collections.abc import Callable
from typing import Literal

import pytest
from sqlalchemy import create_engine, text
from temporalio.exceptions import ApplicationError

from stafett.database.session import to_sqlalchemy_url
from stafett.monitoring.logs import error_location, make_formatter
from stafett.settings import LogSettings

_NAME = "Kari Nordmann"


def _raise_with_row() -> None:
    raise ValueError(_NAME)


def _raise_with_cause_note_and_members() -> None:
    try:
        _raise_with_row()
    except ValueError as error:
        error.add_note(_NAME)
        raise ExceptionGroup(_NAME, [KeyError(_NAME)]) from error


def _raise_in_database() -> None:
    with create_engine("sqlite://").connect() as connection:
        connection.execute(text("SELECT * FROM nowhere WHERE name = :name"), {"name": _NAME})


def _raise_in_compiler() -> None:
    compile(f"{_NAME} = ", "file", "exec")


def _format_line(log_format: Literal["json", "console"], logger: str, message: str, error: BaseException) -> str:
    record = logging.LogRecord(logger, logging.ERROR, "", 0, message, (), (type(error), error, error.__traceback__))
    return make_formatter(LogSettings(format=log_format)).format(record)


@pytest.mark.parametrize(
    "fail", [_raise_with_row, _raise_with_cause_note_and_members, _raise_in_database, _raise_in_compiler]
)
@pytest.mark.parametrize("log_format", ["json", "console"])
def test_logged_exception_has_class_and_location_but_no_message(
    log_format: Literal["json", "console"], fail: Callable[[], None]
) -> None:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - any exception
        fail()
    line = _format_line(log_format, "stafett.api", "failed", caught.value)
    assert _NAME not in line
    assert caught.type.__name__ in line
    assert f"in {fail.__name__}" in line
    if log_format == "json":
        assert json.loads(line)["event"] == "failed"


def test_cause_is_logged_with_its_own_location() -> None:
    with pytest.raises(ExceptionGroup) as caught:
        _raise_with_cause_note_and_members()
    exception = json.loads(_format_line("json", "stafett.api", "failed", caught.value))["exception"]
    assert "ValueError (the cause)" in exception
    assert f"in {_raise_with_row.__name__}" in exception
    assert "KeyError" in exception


def test_asyncio_logs_the_failure_of_a_task_without_its_message() -> None:
    message = f"Task exception was never retrieved\nfuture: <Task finished exception=ValueError({_NAME!r})>"
    line = _format_line("json", "asyncio", message, ValueError(_NAME))
    assert json.loads(line)["event"] == "Task exception was never retrieved"
    assert _NAME not in line


def test_error_location_names_our_last_frame_and_the_last_of_all() -> None:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - the library's own kind
        to_sqlalchemy_url("nowhere")
    ours, last = error_location(caught.value).split(" > ")
    assert ours.startswith("stafett/database/session.py:")
    assert last.startswith("engine/url.py:")


def test_error_location_of_an_error_never_raised_is_empty() -> None:
    assert not error_location(ValueError(_NAME))


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_failed_activity_is_one_short_line_without_a_traceback(log_format: Literal["json", "console"]) -> None:
    with pytest.raises(ApplicationError) as caught:
        raise ApplicationError("S3 is unavailable.", "S3", type="ServiceUnavailableError")
    extra = {
        "temporal_activity": {"activity_type": "generate_file", "attempt": 3, "workflow_id": "bufdir-export/1"},
        "__temporal_error_identifier": "ActivityFailure",
    }
    record = logging.LogRecord(
        "temporalio.activity", logging.WARNING, "", 0, "Completing", (), (caught.type, caught.value, caught.tb)
    )
    vars(record).update(extra)
    line = make_formatter(LogSettings(format=log_format)).format(record)
    assert "Traceback" not in line
    assert "test_logs.py" not in line
    assert "\n" not in line
    if log_format == "json":
        fields = json.loads(line)
        assert {name: fields[name] for name in ("event", "activity", "attempt", "error", "detail")} == {
            "event": "activity_attempt_failed",
            "activity": "generate_file",
            "attempt": 3,
            "error": "ServiceUnavailableError",
            "detail": "S3 is unavailable.",
        }
