"""A schemathesis check: a request that conforms to its schema is rejected only for rules that no schema can express."""

from collections.abc import Mapping
from typing import Any

import schemathesis
from schemathesis import Case, CheckContext, Response

DUPLICATE = "not_unique"
"""Two items of a batch with the same client_ref: what is wrong with the other items is reported together with it."""

INEXPRESSIBLE_ERRORS = frozenset(
    {
        "value_error",  # a period that ends before it starts, or is outside the supported years
        "csv_only",  # a parameter that belongs to a CSV body, beside a JSON body
        "page_token",  # a token that the API did not issue
        *("unknown_batch", "not_finished", "no_failed_items"),  # the batch that another one corrects
        "unknown_version",  # a version that the report does not have
        "invalid_mapping",  # docs/mapping.md describes it
        *("not_submitted", "in_future", "before_grant"),  # what a report's submission must agree with
        "no_attachments_in_snapshot",  # the snapshot was exported without attachments
        "idempotency_key_reused",
        *("url_invalid", "url_with_credentials", "url_not_https", "url_port", "host_unknown"),
    }
)


@schemathesis.check
def rejects_only_for_inexpressible_rules(_context: CheckContext, response: Response, case: Case[Any]) -> None:
    """Check that the OpenAPI document expresses every rule that a JSON Schema can express."""
    if response.status_code != 422 or case.meta is None or not case.meta.generation.mode.is_positive:
        return
    if case.media_type == "text/csv":  # JSON Schema cannot describe lines
        return
    problem = response.json()
    if any(error["code"] == DUPLICATE for error in problem.get("errors", ())):
        return
    if problem["code"] not in INEXPRESSIBLE_ERRORS:
        assert all(map(_is_inexpressible, problem["errors"])), problem


def _is_inexpressible(error: Mapping[str, str]) -> bool:
    """Also accept a missing field of the batch's activity, because every item may override it."""
    is_activity_field = error["code"] == "missing" and error["pointer"].startswith("/activity/")
    return error["code"] in INEXPRESSIBLE_ERRORS or is_activity_field
