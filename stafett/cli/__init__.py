"""The ``stafett`` program. Exit codes: 0 success, 1 error, 2 usage error, 3 job did not succeed, 4 not verified."""

import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from stafett.cli.escaping import escape_line
from stafett.domain.errors import StafettError


def run() -> NoReturn:
    """Run the command line, and exit without waiting for threads that libraries left running."""
    code = execute(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def execute(arguments: Sequence[str]) -> int:
    """Run a command in this process, print its error if it has one, and return the exit code."""
    try:
        from stafett.cli.app import app

        return app(list(arguments), prog_name="stafett", standalone_mode=False) or 0
    except StafettError as error:
        return _print_error(str(error), 1)
    except KeyboardInterrupt:
        return _print_error("Interrupted.", 130)
    except ModuleNotFoundError as error:
        return _print_error(f"{error.name} is not installed here; run `make setup`.", 1)
    except Exception as error:
        show = getattr(error, "show", None)
        if show is None:
            raise
        show()
        return int(getattr(error, "exit_code", 2))


def _print_error(message: str, exit_code: int) -> int:
    print(f"stafett: {escape_line(message)}", file=sys.stderr)  # noqa: T201 - the error output of the program
    return exit_code
