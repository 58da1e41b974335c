"""Planning of a batch's items: the events that they belong to."""

from typing import Any
from uuid import UUID, uuid4

from stafett.domain.bulk import BulkRequest, plan_items
from tests.support.bulk import build_batch, build_item

_EVENT, _OTHER_EVENT = UUID(int=1), UUID(int=2)


def plan_events(*overrides: dict[str, Any]) -> list[UUID | str | None]:
    items = [build_item(uuid4(), overrides=fields) for fields in overrides]
    return [item.event for item in plan_items(BulkRequest.model_validate(build_batch("nhf", items)))]


def test_items_with_the_same_type_start_and_place_are_one_event() -> None:
    first, second, elsewhere = plan_events({}, {"participants": 7}, {"place": "Narvik"})
    assert first == second
    assert isinstance(first, str)
    assert elsewhere not in {first, None}


def test_item_joins_the_event_that_another_with_its_type_start_and_place_names() -> None:
    """Some corrected lines of `failed.csv` name the event of the first batch, and others could not."""
    named, joining, elsewhere, without = plan_events(
        {"event_id": str(_EVENT)}, {}, {"place": "Narvik"}, {"event_id": None}
    )
    assert (named, joining, without) == (_EVENT, _EVENT, None)
    assert isinstance(elsewhere, str)


def test_item_joins_neither_of_two_named_events() -> None:
    first, second, joining = plan_events({"event_id": str(_EVENT)}, {"event_id": str(_OTHER_EVENT)}, {})
    assert (first, second) == (_EVENT, _OTHER_EVENT)
    assert isinstance(joining, str)
