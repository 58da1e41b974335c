"""``stafett webhook``: an organisation's webhooks, managed by its administrators."""

from typing import Annotated
from uuid import uuid4

import typer

from stafett.cli.client import ApiClient, Json
from stafett.cli.field_errors import name_options
from stafett.cli.formats import format_status, format_time
from stafett.cli.jobs import print_list, print_result
from stafett.cli.lookup import iterate_pages, resolve_id
from stafett.cli.member import AdminOption, connect_as_admin
from stafett.cli.options import ID_HELP, DataDirOption, JsonOption, OrgOption, YesOption
from stafett.cli.tables import Column, Columns, Details, print_details
from stafett.cli.terminal import print_json, require_confirmation

app = typer.Typer(name="webhook", help="Send an organisation's notifications to other programs.", no_args_is_help=True)

WebhookIdArgument = Annotated[str, typer.Argument(metavar="ID", help=f"Id of the webhook, {ID_HELP}.")]
COLUMNS: Columns = {
    "id": Column(lambda webhook: webhook["id"], is_id=True),
    "url": Column(lambda webhook: webhook["url"], min_width=20),
    "status": Column(lambda webhook: format_status(webhook["status"])),
    "description": Column(lambda webhook: webhook["description"], drop_order=2, min_width=12),
    "created": Column(lambda webhook: format_time(webhook["created_at"]), drop_order=1),
}


@app.command()
def add(
    url: Annotated[str, typer.Argument(metavar="URL", help="HTTPS URL of the receiver.")],
    org: OrgOption = "",
    description: Annotated[str | None, typer.Option("--description", help="Text that identifies the receiver.")] = None,
    data_dir: DataDirOption = None,
    user: AdminOption = None,
    as_json: JsonOption = False,
) -> None:
    """Add a webhook and print the secret that signs its messages, which is not shown again."""
    body = {"org_id": org, "url": url, "description": description}
    with name_options({"/url": "URL", "/description": "--description", "/org_id": "--org"}):
        webhook = connect_as_admin(data_dir, user, org).post("/webhooks", body, idempotency_key=str(uuid4()))
    print_result(webhook, as_json, f"{_title(webhook)} is added. Its secret: {webhook['secret']}")


@app.command(name="list")
def list_webhooks(
    org: OrgOption = "", data_dir: DataDirOption = None, user: AdminOption = None, as_json: JsonOption = False
) -> None:
    """List the webhooks, newest first."""
    webhooks = list(iterate_pages(connect_as_admin(data_dir, user, org), "/webhooks", {"org_id": org}))
    print_list({"items": webhooks}, as_json, COLUMNS)


@app.command()
def show(
    webhook_id: WebhookIdArgument,
    org: OrgOption = "",
    data_dir: DataDirOption = None,
    user: AdminOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a webhook with its latest deliveries."""
    webhook = _find(connect_as_admin(data_dir, user, org), webhook_id)
    if as_json:
        print_json(webhook)
    else:
        print_details(f"Webhook {webhook['id']}", _describe(webhook))


@app.command(name="test")
def send_test(
    webhook_id: WebhookIdArgument,
    org: OrgOption = "",
    data_dir: DataDirOption = None,
    user: AdminOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send a test message. `stafett webhook show` has the state of its delivery."""
    api = connect_as_admin(data_dir, user, org)
    webhook = _find(api, webhook_id)
    delivery = api.post(f"/webhooks/{webhook['id']}/test", {}, idempotency_key=str(uuid4()))
    print_result(delivery, as_json, f"{_title(webhook)} is sent a test message (delivery {delivery['id']}).")


@app.command()
def enable(
    webhook_id: WebhookIdArgument,
    org: OrgOption = "",
    data_dir: DataDirOption = None,
    user: AdminOption = None,
    as_json: JsonOption = False,
) -> None:
    """Enable a webhook that was disabled."""
    api = connect_as_admin(data_dir, user, org)
    webhook = api.send("POST", f"/webhooks/{resolve_id(api, '/webhooks', webhook_id)}/enable")
    print_result(webhook, as_json, f"{_title(webhook)} is {webhook['status']}.")


@app.command(name="rotate-secret")
def rotate_secret(
    webhook_id: WebhookIdArgument,
    org: OrgOption = "",
    data_dir: DataDirOption = None,
    user: AdminOption = None,
    as_json: JsonOption = False,
) -> None:
    """Replace the secret and print the new one. For a day, messages are signed with both."""
    api = connect_as_admin(data_dir, user, org)
    webhook = api.send("POST", f"/webhooks/{resolve_id(api, '/webhooks', webhook_id)}/rotate-secret")
    print_result(webhook, as_json, f"{_title(webhook)} has a new secret: {webhook['secret']}")


@app.command()
def remove(
    webhook_id: WebhookIdArgument,
    org: OrgOption = "",
    yes: YesOption = False,
    data_dir: DataDirOption = None,
    user: AdminOption = None,
    as_json: JsonOption = False,
) -> None:
    """Remove a webhook. Its pending deliveries are given up."""
    api = connect_as_admin(data_dir, user, org)
    webhook = _find(api, webhook_id)
    if not yes:
        require_confirmation(f"Remove {_title(webhook)[0].lower()}{_title(webhook)[1:]}?")
    api.delete(f"/webhooks/{webhook['id']}")
    print_result(webhook, as_json, f"{_title(webhook)} is removed.")


def _find(api: ApiClient, webhook_id: str) -> Json:
    return api.get(f"/webhooks/{resolve_id(api, '/webhooks', webhook_id)}")


def _title(webhook: Json) -> str:
    return f"Webhook {webhook['id']} ({webhook['org_id']}, {webhook['url']})"


def _describe(webhook: Json) -> Details:
    details: list[tuple[str, object]] = [("url", webhook["url"]), ("status", format_status(webhook["status"]))]
    if webhook["description"]:
        details.append(("description", webhook["description"]))
    details.append(("created", format_time(webhook["created_at"])))
    for delivery in webhook["deliveries"]:
        subject = f"notification {delivery['notification_id']}" if delivery["notification_id"] else "test"
        error = f", {delivery['last_error']}" if delivery["last_error"] else ""
        state = f"{delivery['state']}{error}"
        details.append(("delivery", f"{format_time(delivery['created_at'])}  {state}  {subject}"))
    return details
