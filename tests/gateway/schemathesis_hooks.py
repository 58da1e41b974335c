"""What schemathesis cannot read in a description: sound requests that are refused for what no schema says."""

from collections.abc import Mapping
from typing import Any

import schemathesis
from schemathesis import Case, CheckContext, Response

BEYOND_A_SCHEMA = frozenset(
    {
        "value_error",  # a period that ends before it starts, or lies where there are no reports
        "page_token",  # one that no list gave
        "not_unique",  # two items of a batch with the same reference
        "invalid_mapping",  # docs/mapping.md is its schema
        "no_attachments_in_snapshot",  # to be had of `current_data` alone
        "idempotency_key_reused",
        *("url_invalid", "url_with_credentials", "url_not_https", "url_port", "host_unknown"),
    }
)


@schemathesis.check
def is_refused_for_what_no_schema_says(_context: CheckContext, response: Response, case: Case[Any]) -> None:
    """Whatever a schema can say is said in the description."""
    if response.status_code != 422 or case.meta is None or not case.meta.generation.mode.is_positive:
        return
    if case.media_type == "text/csv":  # JSON Schema describes no lines
        return
    problem = response.json()
    if problem["code"] not in BEYOND_A_SCHEMA:
        assert all(map(_is_beyond_a_schema, problem["errors"])), problem


def _is_beyond_a_schema(fault: Mapping[str, str]) -> bool:
    """A field of a batch's activity may be missing if every item says it."""
    of_an_activity = fault["code"] == "missing" and fault["pointer"].startswith("/activity/")
    return fault["code"] in BEYOND_A_SCHEMA or of_an_activity
