"""The ``stafett`` program. Exit codes: 0 success, 1 error, 2 usage error, 3 job did not succeed, 4 not verified."""

import os
import sys
from typing import NoReturn

from stafett.cli.escaping import escape_line
from stafett.domain.errors import StafettError


def run() -> NoReturn:
    """Run the command line, and exit without waiting for threads that libraries left running."""
    try:
        from stafett.cli.app import app

        code = app(standalone_mode=False) or 0
    except StafettError as error:
        code = _print_error(str(error), 1)
    except KeyboardInterrupt:
        code = _print_error("Interrupted.", 130)
    except ModuleNotFoundError as error:
        code = _print_error(f"{error.name} is not installed here; run `make setup`.", 1)
    except Exception as error:
        show = getattr(error, "show", None)
        if show is None:
            raise
        show()
        code = getattr(error, "exit_code", 2)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _print_error(message: str, exit_code: int) -> int:
    print(f"stafett: {escape_line(message)}", file=sys.stderr)  # noqa: T201 - the error output of the program
    return exit_code
