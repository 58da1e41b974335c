"""``stafett audit list``: the audit trail of an organisation, as its administrators and auditors read it."""

from http import HTTPStatus
from typing import Annotated

import typer

from stafett.cli.client import ApiClient, ApiError
from stafett.cli.csv_files import save_csv
from stafett.cli.field_errors import name_options
from stafett.cli.formats import format_status, format_time
from stafett.cli.jobs import LimitOption, print_list
from stafett.cli.lookup import iterate_pages
from stafett.cli.member import AdminOption, connect_as_admin
from stafett.cli.options import DataDirOption, JsonOption, OrgOption, normalise_instant
from stafett.cli.tables import Column, Columns
from stafett.cli.terminal import print_lines

AUDIT_TRAIL_COLUMNS: Columns = {
    "seq": Column(lambda event: event["seq"]),
    "at": Column(lambda event: format_time(event["at"])),
    "event": Column(lambda event: event["event"]),
    "actor": Column(lambda event: event["actor"], min_width=16),
    "kind": Column(lambda event: event["subject_kind"], drop_order=1),
    "subject": Column(lambda event: event["subject_id"], drop_order=3, is_id=True),
    "status": Column(lambda event: format_status(event["status"] or ""), drop_order=2),
}
_OPTIONS = {
    "path:org_id": "--org",
    "query:subject_id": "--subject",
    "query:actor": "--actor",
    "query:event": "--event",
    "query:created_after": "--after",
    "query:created_before": "--before",
}


def list_events(
    org: OrgOption = "",
    subject: Annotated[str | None, typer.Option(help="Only events about the job or other object with this id.")] = None,
    actor: Annotated[str | None, typer.Option(help="Only events of this actor, such as user:ID.")] = None,
    event: Annotated[str | None, typer.Option(help="Only events with this name, such as export_requested.")] = None,
    after: Annotated[
        str | None,
        typer.Option(help="Only events of this day or later, or an RFC 3339 time.", callback=normalise_instant),
    ] = None,
    before: Annotated[
        str | None, typer.Option(help="Only events before this day, or an RFC 3339 time.", callback=normalise_instant)
    ] = None,
    limit: LimitOption = 20,
    output: Annotated[
        str, typer.Option("--output", "-o", help="Save all matching events here as CSV instead of printing some.")
    ] = "",
    data_dir: DataDirOption = None,
    user: AdminOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the audit trail of an organisation, newest first (admins and auditors)."""
    api, path = connect_as_admin(data_dir, user, org), f"/organisations/{org}/audit"
    filters = {"subject_id": subject, "actor": actor, "event": event, "created_after": after, "created_before": before}
    query = {name: value for name, value in filters.items() if value is not None}
    with name_options(_OPTIONS):
        if output:
            save_csv(output, api.get_bytes(f"{path}.csv", query))
            print_lines(output)
            return
        page = api.get(path, query | {"page_size": str(limit)})
    if not as_json:
        addresses = _load_addresses(api, org)
        page["items"] = [event | {"actor": addresses.get(event["actor"], event["actor"])} for event in page["items"]]
    print_list(page, as_json, AUDIT_TRAIL_COLUMNS)


def _load_addresses(api: ApiClient, org: str) -> dict[str, str]:
    """Load the address of each member, as the actor of an event names them; auditors may not read members."""
    try:
        members = iterate_pages(api, f"/organisations/{org}/members", {})
        return {f"user:{member['user_id']}": member["address"] for member in members}
    except ApiError as error:
        if error.status == HTTPStatus.FORBIDDEN:
            return {}
        raise
