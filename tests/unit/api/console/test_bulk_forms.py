"""Corrections of failed items, as the console's form sends them."""

from collections.abc import Mapping
from uuid import UUID

import pytest

from api.console.bulk_forms import correct_items
from api.console.forms import InvalidFormError
from stafett.database.tables import BulkBatch, BulkItem
from stafett.domain.bulk_status import ItemErrorCode
from stafett.testing import Json
from tests.support.bulk import ACTIVITY

_EVENT = UUID(int=1)
_BATCH: Json = {"org_id": "nhf", "activity": ACTIVITY | {"starts_at": "2026-01-05T09:00:00Z"}}
_FAILED_ITEM: Json = {"position": 0, "mentor_ref": "unknown", "client_ref": "first", "overrides": {}}


def correct_item(error_code: ItemErrorCode, event_id: UUID | None, **fields: str) -> Mapping[str, object]:
    """Correct a failed item that has the start of the test's activity, and return its fields."""
    batch = BulkBatch(**_BATCH)
    item = BulkItem(**_FAILED_ITEM, event_id=event_id, error_code=error_code)
    form = {f"{name}-0": value for name, value in fields.items()}
    (corrected,) = correct_items(batch, [item], form, {}).items
    return {str(name): value for name, value in corrected.overrides.items()}


def test_corrected_item_with_the_same_start_stays_in_its_event() -> None:
    corrected = correct_item(ItemErrorCode.MENTOR_NOT_FOUND, _EVENT, mentor=str(UUID(int=2)))
    assert corrected["event_id"] == str(_EVENT)


def test_corrected_item_with_another_start_leaves_its_event() -> None:
    assert "event_id" not in correct_item(ItemErrorCode.OVERLAPPING_ACTIVITY, _EVENT, starts_at="2026-01-05T11:00")


def test_corrected_item_without_an_event_gets_none() -> None:
    assert "event_id" not in correct_item(ItemErrorCode.MENTOR_NOT_FOUND, None, mentor=str(UUID(int=2)))


@pytest.mark.parametrize("start", ["2026-01-05T10:00", "05.01.2026 10:00"])
def test_form_without_a_change_registers_nothing(start: str) -> None:
    with pytest.raises(InvalidFormError) as refused:
        correct_item(ItemErrorCode.OVERLAPPING_ACTIVITY, _EVENT, starts_at=start)
    assert refused.value.errors == {"corrections": "nothing_corrected"}
