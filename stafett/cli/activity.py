"""``stafett activity``: commands for registered activities."""

import json
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID, uuid4

import typer

from stafett.cli.client import ApiClient, Json, connect
from stafett.cli.field_errors import name_options
from stafett.cli.formats import format_time, format_words
from stafett.cli.jobs import LimitOption, build_query, print_list, print_result
from stafett.cli.lookup import find_data, is_whole_id, iterate_pages, normalise_short_id, resolve_id
from stafett.cli.options import (
    ID_HELP,
    DataDirOption,
    JsonOption,
    OptionalOrgOption,
    OrgOption,
    UserOption,
    YesOption,
    normalise_start,
    normalise_time,
)
from stafett.cli.tables import Column, Columns, Details, print_details
from stafett.cli.terminal import print_json, print_lines, require_confirmation
from stafett.domain.activity import ACTIVITY_TYPES, ActivityType
from stafett.domain.reporting_period import OSLO

app = typer.Typer(name="activity", help="List, correct and delete registered activities.", no_args_is_help=True)

ActivityIdArgument = Annotated[str, typer.Argument(metavar="ID", help=f"Id of the activity, {ID_HELP}.")]
_NEXT_STEP = "Reports made before do not change: `stafett reexport start REPORT` makes a version with today's data."
NEW_EVENT, NO_EVENT = "new", "none"
_CORRECTION_OPTIONS = {
    "/activity_type": "--type",
    "/starts_at": "--start",
    "/duration_minutes": "--duration",
    "/participants": "--participants",
    "/new_participants": "--new-participants",
    "/place": "--place",
    "/note": "--note",
    "/event_id": "--event",
}
COLUMNS: Columns = {
    "id": Column(lambda activity: activity["id"], is_id=True),
    "start": Column(lambda activity: format_time(activity["starts_at"])),
    "type": Column(lambda activity: activity["activity_type"], min_width=10),
    "mentor": Column(lambda activity: activity["mentor_name"], min_width=12),
    "minutes": Column(lambda activity: activity["duration_minutes"], drop_order=3),
    "participants": Column(lambda activity: activity["participants"], drop_order=2),
    "place": Column(lambda activity: activity["place"], drop_order=1, min_width=12),
}


def _name_type(activity_type: str) -> str:
    """Name a type in English, beside its code."""
    names = (info.names["en"] for info in ACTIVITY_TYPES if info.id == activity_type)
    return " ".join((activity_type, *(f"({name})" for name in names)))


@app.command(name="list")
def list_activities(
    org: OrgOption = "",
    start: Annotated[
        str | None,
        typer.Option(
            "--start",
            "--from",
            help="Only from this day (2026-12-31 or 31.12.2026) or RFC 3339 time on.",
            callback=normalise_time,
        ),
    ] = None,
    end: Annotated[
        str | None,
        typer.Option(
            "--end",
            "--to",
            help="Only until this day (inclusive; 2026-12-31 or 31.12.2026) or RFC 3339 time.",
            callback=normalise_time,
        ),
    ] = None,
    mentor_id: Annotated[
        str | None, typer.Option("--mentor", metavar="ID", help="Only activities of this peer mentor.")
    ] = None,
    batch_id: Annotated[
        str | None, typer.Option("--batch", metavar="ID", help="Only activities that this batch registered.")
    ] = None,
    event: Annotated[
        str | None, typer.Option("--event", metavar="ID", help=f"Only activities at the event with this id, {ID_HELP}.")
    ] = None,
    limit: LimitOption = 50,
    data_dir: DataDirOption = None,
    user: UserOption = None,
    as_json: JsonOption = False,
) -> None:
    """List activities, latest start first."""
    api, named = connect(data_dir, user, org), dict[str, str]()
    for option, path, text in (("--mentor", "/peer-mentors", mentor_id), ("--batch", "/bulk-registrations", batch_id)):
        if text:
            named[f"{option[2:]}_id"] = str(
                resolve_id(api, path, text, {"org_id": org}, argument=option, must_exist=True)
            )
    if event:
        named["event_id_prefix"] = normalise_short_id(event, "--event")
    query = build_query(org_id=org, period_start=start, period_end=end, page_size=limit, **named)
    with name_options({"query:period_start": "--start", "query:period_end": "--end"}):
        page = api.get("/activities", query)
    print_list(page, as_json, COLUMNS)


@app.command()
def show(
    activity_id: ActivityIdArgument,
    org: OptionalOrgOption = None,
    data_dir: DataDirOption = None,
    user: UserOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show an activity. Its note is not shown."""
    _, activity = find_data(data_dir, user, org, "activities", activity_id)
    if as_json:
        print_json(activity)
    else:
        print_details(f"Activity {activity['id']}", describe_activity(activity))


@app.command()
def correct(
    activity_id: ActivityIdArgument,
    activity_type: Annotated[
        str | None,
        typer.Option(
            "--type",
            metavar="TYPE",
            help=f"One of {', '.join(map(_name_type, ActivityType))}, or its name in any language.",
        ),
    ] = None,
    starts_at: Annotated[
        str | None,
        typer.Option(
            "--start",
            help="Start: a time in Oslo ('31.01.2026 10:00'), or an RFC 3339 time. The duration stays, and so does the"
            " event unless --event is given.",
            callback=normalise_start,
        ),
    ] = None,
    duration: Annotated[int | None, typer.Option("--duration", help="Duration in minutes.")] = None,
    participants: Annotated[
        int | None, typer.Option("--participants", help="Number of participants, new ones included.")
    ] = None,
    new_participants: Annotated[
        int | None, typer.Option("--new-participants", help="Number of those who took part for the first time.")
    ] = None,
    place: Annotated[str | None, typer.Option("--place", help="Place of the activity.")] = None,
    in_person: Annotated[
        bool | None, typer.Option("--in-person/--not-in-person", help="Whether the participants met in person.")
    ] = None,
    in_norway: Annotated[
        bool | None, typer.Option("--in-norway/--abroad", help="Whether the activity took place in Norway.")
    ] = None,
    note: Annotated[str | None, typer.Option("--note", help="Note, which replaces the stored one.")] = None,
    no_note: Annotated[bool, typer.Option("--no-note", help="Remove the note.")] = False,
    event: Annotated[
        str | None,
        typer.Option(
            "--event",
            metavar="EVENT",
            help=f"Event that the activity was part of, together with those of other mentors: its id, {ID_HELP};"
            f" {NEW_EVENT} for one of its own, or {NO_EVENT}.",
        ),
    ] = None,
    org: OptionalOrgOption = None,
    data_dir: DataDirOption = None,
    user: UserOption = None,
    as_json: JsonOption = False,
) -> None:
    """Correct fields of an activity. The peer mentor stays: delete the activity to register it for another one."""
    correction: Json = build_query(
        activity_type=activity_type,
        starts_at=starts_at,
        duration_minutes=duration,
        participants=participants,
        new_participants=new_participants,
        place=place,
        in_person=in_person,
        in_norway=in_norway,
        note=note,
    )
    if no_note and note is not None:
        raise typer.BadParameter("is not possible together with --note", param_hint="'--no-note'")
    correction |= {"note": None} if no_note else {}
    if not correction and event is None:
        raise typer.BadParameter("specify at least one field to correct, such as --duration 60", param_hint="'OPTIONS'")
    api, activity = find_data(data_dir, user, org, "activities", activity_id, is_change=True)
    path = _path(activity)
    if event is not None:
        correction["event_id"] = _resolve_event(api, activity, event)
    with name_options(_CORRECTION_OPTIONS):
        tag = api.etag_of(path, {})
        before = api.get(path)
        corrected = api.put(path, json.dumps(correction).encode(), if_match=tag)
    if api.etag_of(path, {}) == tag:
        print_result(corrected, as_json, f"{_title(corrected)} has these values already.")
    else:
        for warning in _list_warnings(before, corrected):
            print_lines(f"Warning: {warning}", err=True)
        changes = _describe_corrections(before, corrected, correction)
        lines = (f"{_title(corrected)} is corrected.", *changes, *_describe_event(corrected, correction), _NEXT_STEP)
        print_result(corrected, as_json, *lines)


def _describe_corrections(before: Json, after: Json, correction: Json) -> list[str]:
    """Describe the corrected fields with their values before and after; a note is not shown."""
    lines = [
        f"  {format_words(name)}: {_format_value(name, before[name])} → {_format_value(name, after[name])}"
        for name in correction
        if name != "event_id" and name in before and before[name] != after[name]
    ]
    if "note" in correction:
        lines.append("  note: none now" if correction["note"] is None else "  note: as given; it is not shown")
    return lines


def _format_value(name: str, value: Any) -> str:
    if name == "starts_at":
        return format_time(value)
    if name == "activity_type":
        return _name_type(value)
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)


def _list_warnings(before: Json, after: Json) -> list[str]:
    """List what is unlikely about the corrected start: it is in another base year, or in the future."""
    if before["starts_at"] == after["starts_at"]:
        return []
    old, new = (datetime.fromisoformat(each["starts_at"]).astimezone(OSLO) for each in (before, after))
    warnings = []
    if old.year != new.year:
        warnings.append(f"the activity leaves the base year {old.year} and is in {new.year} now.")
    if new > datetime.now(UTC):
        warnings.append("the activity starts in the future now.")
    return warnings


@app.command()
def delete(
    activity_id: ActivityIdArgument,
    yes: YesOption = False,
    org: OptionalOrgOption = None,
    data_dir: DataDirOption = None,
    user: UserOption = None,
    as_json: JsonOption = False,
) -> None:
    """Delete an activity that was registered by mistake. Another one can then be registered for its time."""
    api, activity = find_data(data_dir, user, org, "activities", activity_id, is_change=True)
    path = _path(activity)
    tag, activity = api.etag_of(path, {}), api.get(path)  # a correction after the question is not deleted
    if not yes:
        title = _title(activity)
        require_confirmation(f"Delete {title[0].lower()}{title[1:]}?")
    api.delete(path, if_match=tag)
    print_result(activity, as_json, f"{_title(activity)} is deleted.", _NEXT_STEP)


def describe_activity(activity: Json) -> Details:
    """Describe an activity in the order of a registration's fields."""
    details: list[tuple[str, object]] = [
        ("organisation", activity["org_id"]),
        ("mentor", f"{activity['mentor_name']} ({activity['mentor_id']})"),
        ("type", _name_type(activity["activity_type"])),
        ("start", format_time(activity["starts_at"])),
        ("duration", f"{activity['duration_minutes']} minutes"),
        ("participants", f"{activity['participants']}, of whom {activity['new_participants']} for the first time"),
        ("place", activity["place"]),
        ("in person", "yes" if activity["in_person"] else "no"),
        ("in Norway", "yes" if activity["in_norway"] else "no"),
        ("registered by", f"user {activity['registered_by']}" if activity["is_proxy"] else "the mentor"),
    ]
    for label, name in (("batch", "batch_id"), ("event", "event_id")):
        if activity[name]:
            details.append((label, activity[name]))
    return details


def _resolve_event(api: ApiClient, activity: Json, text: str) -> str | None:
    """Return the id of an event: a whole one, a new one, or the one that starts with the text; None for no event."""
    word = text.strip().lower()
    if word == NO_EVENT:
        return None
    if word == NEW_EVENT:
        return str(uuid4())
    if is_whole_id(word):
        return str(UUID(word))
    try:
        digits = normalise_short_id(text, "--event")
    except typer.BadParameter:
        message = f"{text!r} is not the id of an event, nor the start of one; {NEW_EVENT} and {NO_EVENT} are possible"
        raise typer.BadParameter(message, param_hint="'--event'") from None
    query = {"org_id": activity["org_id"], "event_id_prefix": digits}
    event_ids = {each["event_id"] for each in iterate_pages(api, "/activities", query)}
    if len(event_ids) != 1:
        found = (
            f"{len(event_ids)} events of {activity['org_id']} start"
            if event_ids
            else "no activity has an event that starts"
        )
        raise typer.BadParameter(f"{found} with {text}", param_hint="'--event'")
    return str(event_ids.pop())


def _describe_event(activity: Json, correction: Json) -> list[str]:
    """Describe the event of an activity whose event is corrected, or whose start or place is and whose event stays."""
    event_id = activity["event_id"]
    if "event_id" in correction:
        return [f"It is part of event {event_id}." if event_id else "It is part of no event."]
    if event_id is None or not {"starts_at", "place", "activity_type"} & correction.keys():
        return []
    return [f"It stays a part of event {event_id}: --event {NEW_EVENT} or --event {NO_EVENT} takes it out."]


def _path(activity: Json) -> str:
    return f"/activities/{activity['id']}"


def _title(activity: Json) -> str:
    """Name the activity by what a person knows of it."""
    start, mentor = format_time(activity["starts_at"]), activity["mentor_name"]
    facts = (activity["org_id"], start, activity["activity_type"], mentor)
    return f"Activity {activity['id']} ({', '.join(facts)})"
