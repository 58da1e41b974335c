"""What is said of an activity, and what is answered if it makes no sense."""

import pytest
from pydantic import ValidationError

from stafett.domain.proxy_activity import ActivityDefaults, describe_errors


@pytest.mark.parametrize("said", ["Ola Nordmann", "31.02.2026 10:00", "2026-02-31T10:00:00Z", "2026-02-28T25:00:00Z"])
def test_what_is_no_time_is_never_repeated(said: str) -> None:
    with pytest.raises(ValidationError) as refused:
        ActivityDefaults.model_validate({"starts_at": said})
    assert said.upper() not in describe_errors(refused.value).upper()
    assert "RFC 3339" in describe_errors(refused.value)


def test_a_text_that_is_too_long_is_told_as_a_text() -> None:
    with pytest.raises(ValidationError) as refused:
        ActivityDefaults.model_validate({"place": "x" * 201})
    assert describe_errors(refused.value) == "place: String should have at most 200 characters."


def test_the_schema_says_how_long_a_text_may_be() -> None:
    assert ActivityDefaults.model_json_schema()["properties"]["place"]["maxLength"] == 200
