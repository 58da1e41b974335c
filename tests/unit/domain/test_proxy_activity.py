"""Validation of activity fields, and the description of its errors."""

from uuid import UUID

import pytest
from pydantic import ValidationError

from stafett.bulk.item_messages import describe_item_error
from stafett.domain.activity_faults import encode_faults
from stafett.domain.bulk import BulkRequest, plan_items
from stafett.domain.bulk_status import ItemErrorCode
from stafett.domain.export import Locale
from stafett.domain.proxy_activity import ActivityDefaults
from tests.support.bulk import build_batch, build_item


def describe_errors(error: ValidationError, locale: Locale = "en") -> str:
    return describe_item_error(ItemErrorCode.INVALID_ACTIVITY, encode_faults(error), locale)


@pytest.mark.parametrize("value", ["Ola Nordmann", "31.02.2026 10:00", "2026-02-31T10:00:00Z", "2026-02-28T25:00:00Z"])
def test_invalid_time_is_not_repeated_in_the_error(value: str) -> None:
    with pytest.raises(ValidationError) as error:
        ActivityDefaults.model_validate({"starts_at": value})
    assert value.upper() not in describe_errors(error.value).upper()
    assert "2026-01-31T10:00:00+01:00" in describe_errors(error.value)


def test_overlong_text_is_described_by_its_field() -> None:
    with pytest.raises(ValidationError) as error:
        ActivityDefaults.model_validate({"place": "x" * 201})
    assert describe_errors(error.value) == "place must have at most 200 characters."
    assert describe_errors(error.value, "nn") == "place kan ha høgst 200 teikn."


def test_schema_has_the_maximum_length_of_a_text() -> None:
    assert ActivityDefaults.model_json_schema()["properties"]["place"]["maxLength"] == 200


@pytest.mark.parametrize(
    "name",
    ["oppsokende_samtale", "OPPSOKENDE_SAMTALE", "Oppsøkende samtale", " oppsøkjande SAMTALE", "Outreach Conversation"],
)
def test_activity_type_is_read_from_its_id_or_a_name_in_any_case(name: str) -> None:
    """It is read so from the shared fields and from those of an item, in a JSON body and in a CSV file."""
    expected = "oppsokende_samtale"
    assert ActivityDefaults.model_validate({"activity_type": name}).provided == {"activity_type": expected}
    item = build_item(UUID(int=1), overrides={"activity_type": name})
    (planned,) = plan_items(BulkRequest.model_validate(build_batch("nhf", [item])))
    assert (planned.overrides, planned.validation_error) == ({"activity_type": expected}, None)


@pytest.mark.parametrize("name", ["Kaffe", "", 1, None])
def test_unknown_activity_type_is_rejected(name: object) -> None:
    with pytest.raises(ValidationError) as error:
        ActivityDefaults.model_validate({"activity_type": name})
    assert describe_errors(error.value).startswith("activity_type is ")
    assert "Kaffe" not in describe_errors(error.value)
