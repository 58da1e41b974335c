"""The one program, ``stafett``: 0 done, 1 could not, 2 asked wrongly, 3 ended without a file, 4 not checked."""

import os
import sys
from typing import NoReturn

from stafett.domain.errors import StafettError


def run() -> NoReturn:
    """Run the command line, and leave without waiting for threads that libraries left behind."""
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
    print(f"stafett: {message}", file=sys.stderr)  # noqa: T201 - this is where people are spoken to
    return exit_code
