"""Ids in the arguments of commands, which may be shortened."""

from typing import cast
from uuid import UUID

import pytest
import typer

from stafett.cli import lookup
from stafett.cli.client import OPERATOR_NAME, ApiClient, ApiError, Json
from stafett.cli.lookup import find_data, report_actor, resolve_id
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


class _Organisation:
    """The API as a coordinator of one organisation uses it, which has one activity at most."""

    actor = "coordinator@nhf.example"

    def __init__(self, org_id: str, activity_id: UUID | None) -> None:
        self._activity: Json | None = {"id": str(activity_id), "org_id": org_id} if activity_id else None

    def get(self, path: str, _query: Json | None = None) -> Json:
        if path == "/activities":
            return {"items": [self._activity] if self._activity else [], "next_page_token": None}
        if self._activity is None or not path.endswith(self._activity["id"]):
            raise ApiError("There is no such activity.", 404)
        return self._activity


def _use_organisations(monkeypatch: pytest.MonkeyPatch, **activities: UUID | None) -> None:
    apis = [_Organisation(org_id, activity_id) for org_id, activity_id in activities.items()]
    monkeypatch.setattr(lookup, "connect_to_organisations", lambda *_args: iter(apis))


def test_short_id_that_several_organisations_have_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    _use_organisations(monkeypatch, nhf=_FIRST, blindeforbundet=_OTHER, hlf=_SECOND)
    with pytest.raises(StafettError, match="nhf, hlf have ids that start with 5e4d7a34; specify --org"):
        find_data(None, None, None, "activities", "5e4d7a34")
    _, activity = find_data(None, None, None, "activities", str(_SECOND))
    assert activity["org_id"] == "hlf"


def test_change_in_an_organisation_that_was_not_named_reports_who_makes_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _use_organisations(monkeypatch, nhf=_FIRST, hlf=None)
    find_data(None, None, None, "activities", "5e4d7a34")
    find_data(None, None, "nhf", "activities", "5e4d7a34", is_change=True)
    assert capsys.readouterr().err == ""
    find_data(None, None, None, "activities", "5e4d7a34", is_change=True)
    assert capsys.readouterr().err == "Acting as coordinator@nhf.example, for nhf.\n"


@pytest.mark.parametrize(("role", "line"), [("operator", "Acting as an operator, for nhf.\n"), ("coordinator", "")])
def test_token_without_an_organisation_is_an_operators_only_by_the_role_of_the_api(
    role: str, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    class Api:
        actor = OPERATOR_NAME

        def get(self, _path: str) -> Json:
            return {"role": role}

    report_actor(cast("ApiClient", Api()), "nhf")
    assert capsys.readouterr().err == line
