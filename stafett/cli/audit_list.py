"""``stafett audit list``: the audit trail of an organisation, as its administrators and auditors read it."""

from typing import Annotated

import typer

from stafett.cli.audit_details import format_details, list_details
from stafett.cli.audit_filters import (
    build_actor_filter,
    build_subject_filter,
    name_actors,
    shorten_actor,
    validate_event_name,
)
from stafett.cli.client import ApiClient, Json
from stafett.cli.csv_files import save_csv
from stafett.cli.field_errors import name_options
from stafett.cli.formats import format_status, format_time, format_words
from stafett.cli.jobs import LimitOption, print_list
from stafett.cli.member import AdminOption, connect_as_admin
from stafett.cli.options import ID_HELP, DataDirOption, JsonOption, OrgOption, normalise_instant
from stafett.cli.tables import Column, Columns, Details, print_details
from stafett.cli.terminal import print_lines
from stafett.domain.audit_event_names import AUDIT_EVENT_NAMES

AUDIT_TRAIL_COLUMNS: Columns = {
    "seq": Column(lambda event: event["seq"]),
    "at": Column(lambda event: format_time(event["at"])),
    "event": Column(lambda event: event["event"]),
    "actor": Column(lambda event: event.get("actor_name") or shorten_actor(event["actor"]), min_width=16, wraps=True),
    "kind": Column(lambda event: format_words(event["subject_kind"]), drop_order=1),
    "subject": Column(lambda event: event["subject_id"], drop_order=4, is_id=True),
    "status": Column(lambda event: format_status(event["status"] or ""), drop_order=3),
    "details": Column(format_details, drop_order=2, min_width=16),
}
DetailsOption = Annotated[
    bool, typer.Option("--details", help="Print all that is recorded about each event, one value per line.")
]
_OPTIONS = {
    "path:org_id": "--org",
    "query:subject_id": "--subject",
    "query:actor": "--actor",
    "query:event": "--event",
    "query:created_after": "--after",
    "query:created_before": "--before",
}
HELP = (
    "List the audit trail of an organisation, newest first (admins and auditors).\n\n"
    "`link_issued`: an answer had a link to the file, once per user, file and day, also if it was not used. "
    "`file_downloaded`: the file was requested, each time, by the console or by a download command.\n\n"
    f"Names of events: {', '.join(AUDIT_EVENT_NAMES)}."
)


def list_events(
    org: OrgOption = "",
    subject: Annotated[
        str | None,
        typer.Option(metavar="ID", help=f"Only events about the job or other object with this id, {ID_HELP}."),
    ] = None,
    actor: Annotated[
        str | None,
        typer.Option(
            help="Only events of this actor: a member's address, user:ID, api_key:ID or a part such as system:worker."
        ),
    ] = None,
    event: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Only events with this name, such as export_requested; the names are above.",
            callback=validate_event_name,
        ),
    ] = None,
    after: Annotated[
        str | None,
        typer.Option(
            help="Only events of this day (2026-12-31 or 31.12.2026) or later, or an RFC 3339 time.",
            callback=normalise_instant,
        ),
    ] = None,
    before: Annotated[
        str | None, typer.Option(help="Only events before this day, or an RFC 3339 time.", callback=normalise_instant)
    ] = None,
    limit: LimitOption = 20,
    details: DetailsOption = False,
    output: Annotated[
        str, typer.Option("--output", "-o", help="Save all matching events here as CSV instead of printing some.")
    ] = "",
    data_dir: DataDirOption = None,
    user: AdminOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the audit trail; users read ``HELP``."""
    api, path = connect_as_admin(data_dir, user, org), f"/organisations/{org}/audit"
    filters = {"event": event, "created_after": after, "created_before": before}
    query = {name: value for name, value in filters.items() if value is not None}
    query |= build_subject_filter(subject) if subject is not None else {}
    query |= build_actor_filter(api, org, actor) if actor is not None else {}
    with name_options(_OPTIONS):
        if output:
            save_csv(output, api.get_bytes(f"{path}.csv", query))
            print_lines(output)
            return
        page = api.get(path, query | {"page_size": str(limit)})
    print_events(api, org, page, as_json, AUDIT_TRAIL_COLUMNS, with_details=details)


def print_events(
    api: ApiClient, org: str, page: Json, as_json: bool, columns: Columns, *, with_details: bool = False
) -> None:
    """Print events as JSON, as a table, or one by one with their details; actors have names except in JSON."""
    if not as_json:
        names = name_actors(api, org, page["items"])
        page["items"] = [
            event | {"actor_name": names.get(event["actor"]) or event.get("actor_name")} for event in page["items"]
        ]
    if with_details and not as_json:
        for event in page["items"]:
            print_details(f"Event {event['seq']} {event['event']}", _describe_event(event))
    if as_json or not with_details or not page["items"]:
        print_list(page, as_json, columns, option_for_all="--details")


def _describe_event(event: Json) -> Details:
    name = event["actor_name"]
    details: list[tuple[str, object]] = [
        ("at", format_time(event["at"])),
        ("actor", f"{name} ({event['actor']})" if name else event["actor"]),
    ]
    if "subject_id" in event:
        details.append((format_words(event["subject_kind"]), event["subject_id"]))
    if event["status"]:
        details.append(("status", format_status(event["status"])))
    return [*details, *list_details(event), ("hash", event["hash"])]
