"""What a log line tells of an error: where it came from, and nothing that anybody said."""

import json
import logging
from collections.abc import Callable
from typing import Literal

import pytest
from sqlalchemy import create_engine, text

from stafett.database.session import to_sqlalchemy_url
from stafett.settings import LogSettings
from stafett.telemetry import error_location, make_formatter

_NAME = "Kari Nordmann"


def _of_a_row() -> None:
    raise ValueError(_NAME)


def _with_a_cause_a_note_and_members() -> None:
    try:
        _of_a_row()
    except ValueError as error:
        error.add_note(_NAME)
        raise ExceptionGroup(_NAME, [KeyError(_NAME)]) from error


def _of_the_database() -> None:
    with create_engine("sqlite://").connect() as connection:
        connection.execute(text("SELECT * FROM nowhere WHERE name = :name"), {"name": _NAME})


def _of_the_compiler() -> None:
    compile(f"{_NAME} = ", "file", "exec")


def _line(form: Literal["json", "console"], logger: str, message: str, error: BaseException) -> str:
    record = logging.LogRecord(logger, logging.ERROR, "", 0, message, (), (type(error), error, error.__traceback__))
    return make_formatter(LogSettings(format=form)).format(record)


@pytest.mark.parametrize("fail", [_of_a_row, _with_a_cause_a_note_and_members, _of_the_database, _of_the_compiler])
@pytest.mark.parametrize("form", ["json", "console"])
def test_a_logged_exception_says_its_kind_and_place_and_nothing_it_was_told(
    form: Literal["json", "console"], fail: Callable[[], None]
) -> None:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - whatever it is
        fail()
    line = _line(form, "stafett.api", "failed", caught.value)
    assert _NAME not in line
    assert caught.type.__name__ in line
    assert f"in {fail.__name__}" in line
    if form == "json":
        assert json.loads(line)["event"] == "failed"


def test_the_cause_is_told_with_its_own_place() -> None:
    with pytest.raises(ExceptionGroup) as caught:
        _with_a_cause_a_note_and_members()
    told = json.loads(_line("json", "stafett.api", "failed", caught.value))["exception"]
    assert "ValueError (the cause)" in told
    assert f"in {_of_a_row.__name__}" in told
    assert "KeyError" in told


def test_asyncio_says_that_a_task_failed_and_not_what_it_said() -> None:
    said = f"Task exception was never retrieved\nfuture: <Task finished exception=ValueError({_NAME!r})>"
    line = _line("json", "asyncio", said, ValueError(_NAME))
    assert json.loads(line)["event"] == "Task exception was never retrieved"
    assert _NAME not in line


def test_whence_names_our_own_steps_and_the_last_one_of_all() -> None:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - the library's own kind
        to_sqlalchemy_url("nowhere")
    ours, last = error_location(caught.value).split(" > ")
    assert ours.startswith("stafett/database/session.py:")
    assert last.startswith("engine/url.py:")


def test_whence_of_an_error_that_was_never_raised_is_empty() -> None:
    assert not error_location(ValueError(_NAME))
