"""What schemathesis cannot read in a description: sound requests that are refused for what no schema says."""

from typing import Any

import schemathesis
from schemathesis import Case, CheckContext, Response

BEYOND_A_SCHEMA = frozenset(
    {
        "value_error",  # a period that ends before it starts, or lies where there are no reports
        "page_token",  # one that no list gave
        "invalid_mapping",  # docs/mapping.md is its schema
        "idempotency_key_reused",
        *("url_invalid", "url_with_credentials", "url_not_https", "url_port", "host_unknown"),
    }
)


@schemathesis.check
def is_refused_for_what_no_schema_says(_context: CheckContext, response: Response, case: Case[Any]) -> None:
    """Whatever a schema can say is said in the description."""
    if response.status_code != 422 or case.meta is None or not case.meta.generation.mode.is_positive:
        return
    problem = response.json()
    if problem["code"] not in BEYOND_A_SCHEMA:
        assert {fault["code"] for fault in problem["errors"]} <= BEYOND_A_SCHEMA, problem
