"""The ``stafett`` program. Exit codes: 0 success, 1 error, 2 usage error, 3 job did not succeed, 4 not verified."""

import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from stafett.cli.escaping import escape_line
from stafett.domain.errors import StafettError

EXIT_ERROR, EXIT_USAGE, EXIT_INTERRUPTED = 1, 2, 130
_REPLACED_TEXTS = {
    "Value error, ": "",
    "Input should be a valid integer, unable to parse string as an integer": "must be a whole number",
    "Input should ": "must ",
    "?.": "?",
}
"""Texts of Pydantic and Typer in usage errors, and what the program's own errors have in their place."""

_SERVICE_BY_PACKAGE = {
    "psycopg": "PostgreSQL",
    "sqlalchemy": "PostgreSQL",
    "minio": "S3",
    "urllib3": "S3",
    "temporalio": "Temporal",
}


def run() -> NoReturn:
    """Run the command line, and exit without waiting for threads that libraries left running."""
    code = execute(sys.argv[1:])
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except BrokenPipeError:
        pass  # the reader of a pipe has ended, such as `head`
    os._exit(code)


def execute(arguments: Sequence[str]) -> int:
    """Run a command in this process, print its error if it has one, and return the exit code."""
    if any("\ud800" <= character <= "\udfff" for argument in arguments for character in argument):
        return _print_error("An argument is not text in UTF-8.", exit_code=EXIT_USAGE)
    try:
        from stafett.cli.app import build_program

        code: int = build_program().main(list(arguments), prog_name="stafett", standalone_mode=False) or 0
    except StafettError as error:
        return _print_error(
            str(error), *getattr(error, "details", ()), exit_code=getattr(error, "exit_code", EXIT_ERROR)
        )
    except ModuleNotFoundError as error:
        return _print_error(f"{error.name} is not installed here; run `make setup`.", exit_code=EXIT_ERROR)
    except (KeyboardInterrupt, SystemExit, Exception) as error:  # noqa: BLE001 - no error reaches a user as a traceback
        return _handle_error(error)
    return code


def _handle_error(error: BaseException) -> int:
    """Print an error that is not one of the domain, in one sentence and without a traceback."""
    match error:
        case KeyboardInterrupt():
            return _print_error("Interrupted.", exit_code=EXIT_INTERRUPTED)
        case SystemExit():
            return EXIT_ERROR  # Typer's, after the reader of a pipe has ended
        case Exception() if hasattr(error, "format_message"):
            return _print_usage_error(error)
        case _:
            return _print_error(_describe_unexpected(error), exit_code=EXIT_ERROR)


def _print_usage_error(error: Any) -> int:
    """Print an error of Typer's, which has no public base class with these attributes."""
    context = getattr(error, "ctx", None)
    message = error.format_message()
    for text, replacement in _REPLACED_TEXTS.items():
        message = message.replace(text, replacement)
    message = " ".join(message.split())
    if message:
        _print_error(message if message.endswith((".", "?")) else f"{message}.", exit_code=EXIT_USAGE)
        if context is not None:
            _print_line(f"Try '{context.command_path} --help'.")
    return int(getattr(error, "exit_code", EXIT_USAGE))


def _describe_unexpected(error: BaseException) -> str:
    package = type(error).__module__.partition(".")[0]
    if service := _SERVICE_BY_PACKAGE.get(package):
        return f"{service} did not answer as expected ({type(error).__name__}); is it running?"
    from stafett.monitoring.logs import error_location

    return f"Unexpected {type(error).__name__} at {error_location(error)}; report it to the operator."


def _print_error(message: str, *details: str, exit_code: int) -> int:
    _print_line(f"stafett: {message}")
    for detail in details:
        _print_line(f"  {detail}")
    return exit_code


def _print_line(line: str) -> None:
    print(escape_line(line), file=sys.stderr)  # noqa: T201 - the error output of the program
