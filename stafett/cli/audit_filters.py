"""Filters of ``stafett audit list``: events by their names, and subjects and actors by the start of an id."""

import re
from collections.abc import Iterable, Mapping
from http import HTTPStatus

import typer

from stafett.cli.client import ApiClient, ApiError, Json
from stafett.cli.lookup import is_whole_id, iterate_pages, normalise_short_id
from stafett.cli.tables import MIN_SHORT_ID_LENGTH
from stafett.domain.audit_event_names import AUDIT_EVENT_NAMES, find_nearest_event_names

_ACTOR_KINDS = ("user", "api_key")
_YOU = "you"


def validate_event_name(text: str | None) -> str | None:
    """Return the name of an event, also one that is written with spaces; name the nearest ones in a usage error."""
    name = re.sub(r"[\s-]+", "_", text.strip().lower()) if text is not None else None
    if name is None or name in AUDIT_EVENT_NAMES:
        return name
    nearest = find_nearest_event_names(name)
    hint = f"the nearest are {', '.join(nearest)}" if nearest else "`stafett audit list --help` lists the names"
    raise typer.BadParameter(f"{text!r} is not the name of an event; {hint}")


def build_subject_filter(text: str) -> Mapping[str, str]:
    """Build the filter by a subject's id, or by the start of one."""
    return {"subject_id": text} if is_whole_id(text) else {"subject_id_prefix": normalise_short_id(text, "--subject")}


def build_actor_filter(api: ApiClient, org: str, text: str) -> Mapping[str, str]:
    """Build the filter by an actor: a member's address, a user or an API key, or a part of the system."""
    kind, _, identifier = text.strip().partition(":")
    if "@" in text:
        return {"actor": _find_member(api, org, text.strip().lower())}
    if kind in _ACTOR_KINDS and is_whole_id(identifier):
        return {"actor": f"{kind}:{identifier.lower()}"}
    if kind in _ACTOR_KINDS:
        return {"actor_prefix": f"{kind}:{normalise_short_id(identifier, '--actor')}"}
    if text in (parts := _list_parts_of_the_system()):
        return {"actor": text}
    allowed = f"a member's address, user:ID, api_key:ID, {', '.join(parts)}"
    raise typer.BadParameter(f"{text!r} is not an actor; possible are {allowed}", param_hint="'--actor'")


def name_actors(api: ApiClient, org: str, events: Iterable[Json]) -> dict[str, str]:
    """Name the actors of the events, as far as the caller may know them: members, API keys, and the caller."""
    actors = {event["actor"] for event in events}
    names: dict[str, str] = {}
    if any(actor.startswith("user:") for actor in actors):
        names |= {f"user:{api.get('/me')['user_id']}": _YOU}
        members = _list_if_permitted(api, f"/organisations/{org}/members")
        names |= {f"user:{member['user_id']}": member["address"] for member in members}
    if any(actor.startswith("api_key:") for actor in actors):
        keys = _list_if_permitted(api, f"/organisations/{org}/api-keys")
        names |= {f"api_key:{key['id']}": f"API key {key['name']}" for key in keys}
    return {actor: names[actor] for actor in actors if actor in names}


def shorten_actor(actor: str) -> str:
    """Cut the id of an actor without a name to as many characters as ``--actor`` accepts."""
    kind, _, identifier = actor.partition(":")
    return f"{kind}:{identifier[:MIN_SHORT_ID_LENGTH]}" if kind in _ACTOR_KINDS else actor


def _find_member(api: ApiClient, org: str, address: str) -> str:
    members = _list_if_permitted(api, f"/organisations/{org}/members")
    actor = next((f"user:{member['user_id']}" for member in members if member["address"] == address), None)
    if actor is None:
        message = (
            f"{org} has no member with this address, or you may not read its members' addresses;"
            " specify user:ID as --details has it"
        )
        raise typer.BadParameter(message, param_hint="'--actor'")
    return actor


def _list_if_permitted(api: ApiClient, path: str) -> list[Json]:
    """List what administrators may read; nothing for others."""
    try:
        return list(iterate_pages(api, path, {}))
    except ApiError as error:
        if error.status == HTTPStatus.FORBIDDEN:
            return []
        raise


def _list_parts_of_the_system() -> tuple[str, ...]:
    from stafett.audit.trail import SYSTEM_ACTORS

    return SYSTEM_ACTORS
