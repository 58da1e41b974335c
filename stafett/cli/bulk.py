"""``stafett bulk``: one activity for many peer mentors, from a terminal."""

import json
from pathlib import Path
from typing import Annotated
from uuid import uuid4

import typer

from stafett.cli.client import ApiClient, Json, connect, find_job
from stafett.cli.jobs import WatchOption, format_created_at, print_result
from stafett.cli.options import DataDirOption, JsonOption, OptionalOrgOption, UserOption
from stafett.cli.terminal import make_console, make_table, require_confirmation
from stafett.cli.watch import watch_job
from stafett.domain.bulk_status import BulkStatus
from stafett.domain.errors import StafettError

app = typer.Typer(name="bulk", help="Register an activity for many peer mentors at once.", no_args_is_help=True)

BULK_RESOURCE = "bulk-registrations"
EXIT_NOT_ALL_REGISTERED = 3

BatchIdArgument = Annotated[str, typer.Argument(metavar="ID", help="The batch's id.")]


@app.command()
def start(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="CSV, one line an item, or JSON as the API takes it.")],
    org: OptionalOrgOption = None,
    label: Annotated[str | None, typer.Option(help="What to call the batch.")] = None,
    validate_only: Annotated[
        bool, typer.Option("--validate-only", help="Say every verdict, and write nothing.")
    ] = False,
    key: Annotated[str | None, typer.Option(help="Idempotency key: the same key is the same batch.")] = None,
    watch: WatchOption = False,
    data_dir: DataDirOption = None,
    user: UserOption = None,
    as_json: JsonOption = False,
) -> None:
    """Submit a batch, and say its id."""
    content, media_type = _read_batch_file(file, org, label)
    api = connect(data_dir, user, org or _org_id_from_body(content, media_type))
    query = {"org_id": org, "label": label} if media_type == "text/csv" else {}
    said = {name: value for name, value in query.items() if value is not None}
    said |= {"validate_only": "true"} if validate_only else {}
    job = api.post_content(f"/{BULK_RESOURCE}", content, media_type, said, idempotency_key=key or str(uuid4()))
    if validate_only:
        print_result(job, as_json, _format_counts(job), *_format_item_errors(job))
    elif watch:
        _exit_with_outcome(watch_job(api, f"/{BULK_RESOURCE}/{job['id']}", quiet=as_json), as_json)
    else:
        print_result(job, as_json, f"Batch {job['id']} is accepted; follow it with `stafett bulk watch {job['id']}`.")


@app.command(name="list")
def list_batches(
    org: OptionalOrgOption = None,
    status: Annotated[str | None, typer.Option(help="Only those in this state.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=200, help="How many at most.")] = 20,
    data_dir: DataDirOption = None,
    user: UserOption = None,
    as_json: JsonOption = False,
) -> None:
    """List batches, newest first."""
    wanted: dict[str, str | int] = {"page_size": limit}
    wanted |= {name: value for name, value in (("org_id", org), ("status", status)) if value is not None}
    page = connect(data_dir, user, org).get(f"/{BULK_RESOURCE}", wanted)
    if as_json:
        typer.echo(json.dumps(page, ensure_ascii=False))
        return
    shown = make_table("id", "organisation", "label", "status", "items", "registered", "failed", "created")
    for job in page["items"]:
        counts = (str(job["counts"][name]) for name in ("total", "registered", "failed"))
        shown.add_row(job["id"], job["org_id"], job["label"] or "", job["status"], *counts, format_created_at(job))
    make_console().print(shown)


@app.command()
def show(
    batch_id: BatchIdArgument,
    org: OptionalOrgOption = None,
    data_dir: DataDirOption = None,
    user: UserOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one batch, and which of its first items failed."""
    _, job = find_job(data_dir, user, org, BULK_RESOURCE, batch_id)
    print_result(job, as_json, *_format_batch(job))


@app.command()
def watch(
    batch_id: BatchIdArgument,
    org: OptionalOrgOption = None,
    data_dir: DataDirOption = None,
    user: UserOption = None,
    as_json: JsonOption = False,
) -> None:
    """Wait for a batch's end, with a progress bar; exit code 3 if not every item was registered."""
    api, job = find_job(data_dir, user, org, BULK_RESOURCE, batch_id)
    _exit_with_outcome(watch_job(api, f"/{BULK_RESOURCE}/{job['id']}", quiet=as_json), as_json)


@app.command()
def retry(
    batch_id: BatchIdArgument,
    watch: WatchOption = False,
    org: OptionalOrgOption = None,
    data_dir: DataDirOption = None,
    user: UserOption = None,
    as_json: JsonOption = False,
) -> None:
    """Try the failed and cancelled items again; what is registered stays as it is."""
    api, job = find_job(data_dir, user, org, BULK_RESOURCE, batch_id)
    job = api.post(f"/{BULK_RESOURCE}/{job['id']}/retry", {}, idempotency_key=str(uuid4()))
    if watch:
        _exit_with_outcome(watch_job(api, f"/{BULK_RESOURCE}/{job['id']}", quiet=as_json), as_json)
    else:
        print_result(job, as_json, f"Batch {job['id']} is tried again: {job['counts']['pending']} items.")


@app.command()
def cancel(
    batch_id: BatchIdArgument,
    org: OptionalOrgOption = None,
    data_dir: DataDirOption = None,
    user: UserOption = None,
    as_json: JsonOption = False,
) -> None:
    """Begin no further items; what is registered stays."""
    api, job = find_job(data_dir, user, org, BULK_RESOURCE, batch_id)
    job = api.post(f"/{BULK_RESOURCE}/{job['id']}/cancel", {})
    print_result(job, as_json, f"Batch {job['id']} is {job['status']}; it has stopped when it is cancelled.")


@app.command()
def failed(
    batch_id: BatchIdArgument,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="A file; else the terminal.")] = None,
    org: OptionalOrgOption = None,
    data_dir: DataDirOption = None,
    user: UserOption = None,
    as_json: JsonOption = False,
) -> None:
    """Fetch the failed items as CSV, to be corrected and started again."""
    api, job = find_job(data_dir, user, org, BULK_RESOURCE, batch_id)
    if as_json:
        typer.echo(json.dumps({"items": _fetch_failed_items(api, job)}, ensure_ascii=False))
        return
    content = api.get_bytes(f"/{BULK_RESOURCE}/{job['id']}/failed.csv")
    if output is None:
        typer.echo(content.decode("utf-8-sig"), nl=False)
        return
    try:
        output.write_bytes(content)
    except OSError as error:
        raise StafettError(f"{output} cannot be written: {error.strerror}.") from None
    typer.echo(f"{output} ({job['counts']['failed']} items)")


@app.command()
def delete(
    batch_id: BatchIdArgument,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    org: OptionalOrgOption = None,
    data_dir: DataDirOption = None,
    user: UserOption = None,
) -> None:
    """Delete an ended batch and its items, as an administrator; the registered activities stay."""
    api, job = find_job(data_dir, user, org, BULK_RESOURCE, batch_id, role="admin")
    if not yes:
        require_confirmation(f"Delete the batch {job['label'] or job['id']} of {job['org_id']} and its items?")
    api.delete(f"/{BULK_RESOURCE}/{job['id']}")
    typer.echo(f"Batch {job['id']} is deleted; what it registered stays.")


def _fetch_failed_items(api: ApiClient, job: Json) -> list[Json]:
    items, asked = list[Json](), dict[str, str | int](status="failed", page_size=200)
    while True:
        page = api.get(f"/{BULK_RESOURCE}/{job['id']}/items", asked)
        items += page["items"]
        if page["next_page_token"] is None:
            return items
        asked["page_token"] = page["next_page_token"]


def _read_batch_file(file: Path, org: str | None, label: str | None) -> tuple[bytes, str]:
    """What the file says, and of JSON also what the options say."""
    try:
        content = file.read_bytes()
    except OSError as error:
        raise StafettError(f"{file} cannot be read: {error.strerror}.") from None
    if file.suffix.lower() != ".json":
        return content, "text/csv"
    try:
        body = json.loads(content)
    except ValueError:
        raise StafettError(f"{file} is no JSON.") from None
    if not isinstance(body, dict):
        raise StafettError(f"{file} holds no batch.")
    body |= {name: value for name, value in (("org_id", org), ("label", label)) if value is not None}
    return json.dumps(body).encode(), "application/json"


def _org_id_from_body(content: bytes, media_type: str) -> str | None:
    return json.loads(content).get("org_id") if media_type == "application/json" else None


def _exit_with_outcome(job: Json, as_json: bool) -> None:
    print_result(job, as_json, *_format_batch(job))
    if job["status"] != BulkStatus.COMPLETED:
        raise typer.Exit(EXIT_NOT_ALL_REGISTERED)


def _format_batch(job: Json) -> list[str]:
    name = f", {job['label']}" if job["label"] else ""
    lines = [f"Batch {job['id']}", f"  {job['org_id']}{name}", f"  {job['status']}", f"  {_format_counts(job)}"]
    if job["error"]:
        lines.append(f"  {job['error']['message']} ({job['error']['code']})")
    return lines + _format_item_errors(job)


def _format_counts(job: Json) -> str:
    return ", ".join(f"{name} {count}" for name, count in job["counts"].items())


def _format_item_errors(job: Json) -> list[str]:
    """Of the items that are shown."""
    return [
        f"  {one['client_ref']}: {one['error']['message']} ({one['error']['code']})"
        for one in job["items"]
        if one["error"]
    ]


def list_active_mentor_ids(api: ApiClient, org_id: str, limit: int) -> list[str]:
    """So many active ones."""
    page = api.get("/peer-mentors", {"org_id": org_id, "active": "true", "page_size": limit})
    return [mentor["id"] for mentor in page["items"]]
