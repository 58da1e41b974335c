"""``stafett notification``: the caller's own notifications of finished jobs."""

from typing import Annotated

import typer

from stafett.cli.client import Json, connect
from stafett.cli.formats import format_status, format_time, format_words
from stafett.cli.jobs import LimitOption, build_query, print_list, print_result
from stafett.cli.lookup import resolve_id
from stafett.cli.options import ID_HELP, DataDirOption, JsonOption, OptionalOrgOption, UserOption
from stafett.cli.tables import Column, Columns

app = typer.Typer(name="notification", help="List your notifications and mark them as read.", no_args_is_help=True)


def _format_deliveries(notification: Json) -> str:
    return ", ".join(f"{format_words(each['channel'])} {each['state']}" for each in notification["deliveries"])


COLUMNS: Columns = {
    "id": Column(lambda notification: notification["id"], is_id=True),
    "job": Column(lambda notification: format_words(notification["subject"]["kind"])),
    "status": Column(lambda notification: format_status(notification["status"])),
    "created": Column(lambda notification: format_time(notification["created_at"]), drop_order=4),
    "read": Column(lambda notification: "yes" if notification["read_at"] else "no", drop_order=2),
    "delivered": Column(_format_deliveries, drop_order=1, min_width=12),
    "job id": Column(lambda notification: notification["subject"]["id"], drop_order=3, is_id=True),
}


@app.command(name="list")
def list_notifications(
    unread: Annotated[
        bool | None, typer.Option("--unread/--read", help="Only unread, or only read, notifications.")
    ] = None,
    limit: LimitOption = 20,
    org: OptionalOrgOption = None,
    data_dir: DataDirOption = None,
    user: UserOption = None,
    as_json: JsonOption = False,
) -> None:
    """List your notifications, newest first."""
    query = build_query(unread=None if unread is None else str(unread).lower(), page_size=limit)
    print_list(connect(data_dir, user, org).get("/notifications", query), as_json, COLUMNS)


@app.command()
def read(
    notification_id: Annotated[str, typer.Argument(metavar="ID", help=f"Id of the notification, {ID_HELP}.")],
    org: OptionalOrgOption = None,
    data_dir: DataDirOption = None,
    user: UserOption = None,
    as_json: JsonOption = False,
) -> None:
    """Mark a notification as read."""
    api = connect(data_dir, user, org)
    notification = api.post(f"/notifications/{resolve_id(api, '/notifications', notification_id)}/read", {})
    subject = f"{format_words(notification['subject']['kind'])} {notification['subject']['id']}"
    print_result(notification, as_json, f"Notification {notification['id']} ({subject}) is marked as read.")
