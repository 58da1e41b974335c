"""Validation of activity fields, and the description of its errors."""

import pytest
from pydantic import ValidationError

from stafett.domain.proxy_activity import ActivityDefaults, describe_errors


@pytest.mark.parametrize("value", ["Ola Nordmann", "31.02.2026 10:00", "2026-02-31T10:00:00Z", "2026-02-28T25:00:00Z"])
def test_invalid_time_is_not_repeated_in_the_error(value: str) -> None:
    with pytest.raises(ValidationError) as error:
        ActivityDefaults.model_validate({"starts_at": value})
    assert value.upper() not in describe_errors(error.value).upper()
    assert "RFC 3339" in describe_errors(error.value)


def test_overlong_text_is_described_by_its_field() -> None:
    with pytest.raises(ValidationError) as error:
        ActivityDefaults.model_validate({"place": "x" * 201})
    assert describe_errors(error.value) == "place: String should have at most 200 characters."


def test_schema_has_the_maximum_length_of_a_text() -> None:
    assert ActivityDefaults.model_json_schema()["properties"]["place"]["maxLength"] == 200
