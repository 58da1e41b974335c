"""Filters of the audit trail as users write them, and the names of its events."""

import re
from pathlib import Path
from typing import cast

import pytest
import typer

from stafett.cli.audit_details import format_details
from stafett.cli.audit_filters import (
    build_actor_filter,
    build_subject_filter,
    name_actors,
    shorten_actor,
    validate_event_name,
)
from stafett.cli.client import ApiClient, ApiError, Json
from stafett.domain.audit_event_names import AUDIT_EVENT_NAMES

_ID = "5e4d7a34-95a4-4a3c-9f55-6f4a4b8f3a10"


class _Organisation:
    """An API with a member and an API key, which only administrators may list."""

    def __init__(self, *, is_admin: bool = True) -> None:
        self._is_admin = is_admin

    def get(self, path: str, _query: Json | None = None) -> Json:
        if path == "/me":
            return {"user_id": "00000000-0000-4000-8000-000000000001"}
        if not self._is_admin:
            raise ApiError("You may not.", status=403)
        member = {"user_id": _ID, "address": "kari@nhf.example"}
        items = [{"id": _ID, "name": "Nightly export"}] if path.endswith("/api-keys") else [member]
        return {"items": items, "next_page_token": None}


def _filter_by_actor(text: str, *, is_admin: bool = True) -> dict[str, str]:
    return dict(build_actor_filter(cast("ApiClient", _Organisation(is_admin=is_admin)), "nhf", text))


def test_names_of_events_are_those_that_the_console_translates(project: Path) -> None:
    macros = (project / "api/console/templates/macros.html").read_text(encoding="utf-8")
    (macro,) = re.findall(r"macro audit_event_name\(event\).*?endmacro", macros, re.DOTALL)
    assert sorted(re.findall(r'^  "([a-z_]+)": ', macro, re.MULTILINE)) == list(AUDIT_EVENT_NAMES)


def test_every_event_that_the_code_names_is_known(project: Path) -> None:
    pattern = re.compile(r'JobEvent\(\s*f?"([a-z_]+)"|AuditEntry\([^)]*?event="([a-z_]+)"')
    sources = "".join(path.read_text(encoding="utf-8") for path in (project / "stafett").rglob("*.py"))
    named = {name for match in pattern.findall(sources) for name in match if name}
    assert len(named) > 10
    assert named <= set(AUDIT_EVENT_NAMES)


@pytest.mark.parametrize("text", ["export_requested", "Export requested", "export-requested"])
def test_name_of_an_event_is_accepted_in_the_form_of_words(text: str) -> None:
    assert validate_event_name(text) == "export_requested"


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("export_request", "the nearest are export_requested"),
        ("webhook", "webhook_"),
        ("x'; --", "`stafett audit list --help` lists the names"),
    ],
)
def test_unknown_event_is_a_usage_error_with_the_nearest_names(text: str, hint: str) -> None:
    with pytest.raises(typer.BadParameter, match=re.escape(hint)):
        validate_event_name(text)


def test_subject_is_a_whole_id_or_the_start_of_one() -> None:
    assert build_subject_filter(_ID) == {"subject_id": _ID}
    assert build_subject_filter("5E4D7A34-95") == {"subject_id_prefix": "5e4d7a3495"}
    with pytest.raises(typer.BadParameter, match="'x' is not an id"):
        build_subject_filter("x")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Kari@nhf.example", {"actor": f"user:{_ID}"}),
        (f"user:{_ID.upper()}", {"actor": f"user:{_ID}"}),
        ("api_key:5e4d7a3495a4", {"actor_prefix": "api_key:5e4d7a3495a4"}),
        ("user:5e4d7a34", {"actor_prefix": "user:5e4d7a34"}),
        ("system:worker", {"actor": "system:worker"}),
    ],
)
def test_actor_is_an_address_an_id_or_a_part_of_the_system(text: str, expected: dict[str, str]) -> None:
    assert _filter_by_actor(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kari", "possible are a member's address, user:ID, api_key:ID, system:worker"),
        ("system:nothing", "is not an actor"),
        ("user:x", "'x' is not an id"),
        ("ola@nhf.example", "specify user:ID"),
    ],
)
def test_wrong_actor_is_a_usage_error_with_what_is_possible(text: str, message: str) -> None:
    with pytest.raises(typer.BadParameter, match=message):
        _filter_by_actor(text)


def test_address_needs_an_administrator() -> None:
    with pytest.raises(typer.BadParameter, match="nhf has no member with this address, or you may not read"):
        _filter_by_actor("kari@nhf.example", is_admin=False)


def test_actors_have_names_as_far_as_the_caller_may_know_them() -> None:
    you = "user:00000000-0000-4000-8000-000000000001"
    events = [{"actor": actor} for actor in (you, f"user:{_ID}", f"api_key:{_ID}", "system:worker")]
    named = name_actors(cast("ApiClient", _Organisation()), "nhf", events)
    assert named == {you: "you", f"user:{_ID}": "kari@nhf.example", f"api_key:{_ID}": "API key Nightly export"}
    assert name_actors(cast("ApiClient", _Organisation(is_admin=False)), "nhf", events) == {you: "you"}
    assert [shorten_actor(each["actor"]) for each in events[1:]] == [
        "user:5e4d7a34",
        "api_key:5e4d7a34",
        "system:worker",
    ]


def test_details_are_words_with_short_ids_and_hashes() -> None:
    detail = {"report_id": _ID, "sha256": "ab" * 32, "place": True, "handed_in": False, "attempt": 2, "version": None}
    detail["at"] = "2026-09-14T22:00:00+00:00"
    assert format_details({"event": "export_deleted", "detail": detail}) == (
        "at 15.09.2026 00:00, attempt 2, handed in no, place yes, report id 5e4d7a34, sha256 abababababab, version none"
    )


def test_details_of_a_correction_are_the_names_of_the_fields() -> None:
    event = {"event": "activity_corrected", "detail": {"place": True, "in_norway": True}}
    assert format_details(event) == "corrected in norway, place"
