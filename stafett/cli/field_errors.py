"""Errors of the API in fields that options have filled, as usage errors that name the option."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import typer

from stafett.cli.client import ApiError

EXPORT_OPTIONS: Mapping[str, str] = {
    "/org_id": "--org",
    "/reporting_period/start": "--start",
    "/reporting_period/end": "--end",
    "/reporting_period": "--end",
}
"""The options from which an export's request is made, by the pointers of the API's errors."""


@contextmanager
def name_options(option_by_pointer: Mapping[str, str]) -> Iterator[None]:
    """Turn errors of the API in fields that options have filled into a usage error that names the options."""
    try:
        yield
    except ApiError as error:
        if not error.fields or not all(field.pointer in option_by_pointer for field in error.fields):
            raise
        option = option_by_pointer[error.fields[0].pointer]
        details = [(field.detail.removesuffix("."), option_by_pointer[field.pointer]) for field in error.fields]
        message = "; ".join(detail if each == option else f"{detail} ({each})" for detail, each in details)
        raise typer.BadParameter(message, param_hint=f"'{option}'") from None
