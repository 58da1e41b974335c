"""Corrections of failed items, as the console's form sends them."""

from collections.abc import Mapping
from uuid import UUID

from api.console.bulk_forms import correct_items
from stafett.database.tables import BulkBatch, BulkItem
from stafett.testing import Json
from tests.support.bulk import ACTIVITY

_EVENT = UUID(int=1)
_BATCH: Json = {"org_id": "nhf", "activity": ACTIVITY | {"starts_at": "2026-01-05T09:00:00Z"}}
_FAILED_ITEM: Json = {"position": 0, "mentor_ref": "unknown", "client_ref": "first", "overrides": {}}


def correct_start(start: str, event_id: UUID | None) -> Mapping[str, object]:
    """Correct an item that failed with the start of the test's activity, and return its fields."""
    batch = BulkBatch(**_BATCH)
    item = BulkItem(**_FAILED_ITEM, event_id=event_id)
    (corrected,) = correct_items(batch, [item], {"starts_at-0": start}, {}).items
    return {str(name): value for name, value in corrected.overrides.items()}


def test_corrected_item_with_the_same_start_stays_in_its_event() -> None:
    assert correct_start("2026-01-05T10:00", _EVENT)["event_id"] == str(_EVENT)


def test_corrected_item_with_another_start_leaves_its_event() -> None:
    assert "event_id" not in correct_start("2026-01-05T11:00", _EVENT)


def test_corrected_item_without_an_event_gets_none() -> None:
    assert "event_id" not in correct_start("2026-01-05T10:00", None)
