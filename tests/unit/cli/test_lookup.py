"""Ids in the arguments of commands, which may be shortened."""

from typing import cast
from uuid import UUID

import pytest
import typer

from stafett.cli.client import ApiClient, Json
from stafett.cli.lookup import resolve_id
from stafett.domain.errors import StafettError

_FIRST, _SECOND, _OTHER = (
    UUID("5e4d7a34-95a4-4a3c-9f55-6f4a4b8f3a10"),
    UUID("5e4d7a34-95b4-4a3c-9f55-6f4a4b8f3a10"),
    UUID("00000000-0000-4000-8000-000000000001"),
)


class _Pages:
    """An API with three ids on two pages, which counts its requests."""

    def __init__(self) -> None:
        self.requests = 0

    def get(self, _path: str, query: Json) -> Json:
        self.requests += 1
        is_first = "page_token" not in query
        ids = [_FIRST, _OTHER] if is_first else [_SECOND]
        return {"items": [{"id": str(each)} for each in ids], "next_page_token": "next" if is_first else None}


def _resolve(text: str, pages: _Pages | None = None) -> UUID:
    return resolve_id(cast("ApiClient", pages or _Pages()), "/mentors", text)


@pytest.mark.parametrize("text", ["5e4d7a34-95b", "5E4D7A34-95B4", "5e4d7a3495b", str(_SECOND)[:-1]])
def test_unique_start_of_an_id_is_resolved_over_all_pages(text: str) -> None:
    assert _resolve(text) == _SECOND


def test_whole_id_needs_no_request() -> None:
    pages = _Pages()
    assert _resolve(str(_FIRST).upper(), pages) == _FIRST
    assert pages.requests == 0


def test_ambiguous_start_is_rejected_with_the_number_of_matches() -> None:
    with pytest.raises(StafettError, match="2 ids start with 5e4d7a34; type more"):
        _resolve("5e4d7a34")


def test_start_of_no_id_is_completed_to_one_that_belongs_to_nothing() -> None:
    assert _resolve("5e4d7a35") == UUID("5e4d7a35-0000-0000-0000-000000000000")


def test_filter_by_the_start_of_no_id_is_a_usage_error() -> None:
    with pytest.raises(typer.BadParameter, match="no id starts with 5e4d7a35"):
        resolve_id(cast("ApiClient", _Pages()), "/mentors", "5e4d7a35", argument="--mentor", must_exist=True)


@pytest.mark.parametrize("text", ["", "5e4d7a3", "nonsense", "5e4d7a34/../x", f"{_FIRST}0"])
def test_text_that_starts_no_id_is_a_usage_error(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="is not an id, nor the first 8 or more characters of one"):
        _resolve(text)


def test_long_list_is_searched_by_the_api() -> None:
    queries = list[Json]()

    class LongList:
        def get(self, _path: str, query: Json) -> Json:
            queries.append(query)
            return {"items": [{"id": str(_FIRST)}], "next_page_token": None}

    api = cast("ApiClient", LongList())
    assert resolve_id(api, "/activities", "5E4D7A34-95", {"org_id": "nhf"}) == _FIRST
    assert queries == [{"org_id": "nhf", "id_prefix": "5e4d7a3495", "page_size": 200}]
