"""Column types and defaults that the tables share."""

from enum import StrEnum
from typing import Any

import structlog
from sqlalchemy import Dialect, ForeignKeyConstraint, TypeDecorator, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import AutoString

from stafett.domain.job import REQUEST_ID

JsonObject = dict[str, Any]


class StrEnumType(TypeDecorator[StrEnum]):
    """Column type that stores a StrEnum as text and returns its members."""

    impl = AutoString
    cache_ok = True

    def __init__(self, enum_class: type[StrEnum]) -> None:
        super().__init__()
        self.enum_class = enum_class

    def process_result_value(self, value: str | None, dialect: Dialect) -> StrEnum | None:  # noqa: ARG002 - SQLAlchemy's signature
        return None if value is None else self.enum_class(value)


JSONB_OR_NULL = JSONB(none_as_null=True)


def get_request_id() -> str | None:
    """Return the id of the API request that is being handled, from the log context."""
    return structlog.contextvars.get_contextvars().get(REQUEST_ID)


DEFAULT_NOW = {"server_default": text("now()")}
DEFAULT_ZERO: dict[str, Any] = {"server_default": text("0")}
DEFAULT_REQUEST_ID: dict[str, Any] = {"default": get_request_id}
"""A run that reconciliation starts gets the id of the request that created or retried the job."""


def export_foreign_key() -> ForeignKeyConstraint:
    return ForeignKeyConstraint(["org_id", "export_id"], ["exports.org_id", "exports.id"])
