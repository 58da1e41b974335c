"""``stafett bulk``: commands for bulk registrations."""

import json
from pathlib import Path
from typing import Annotated
from uuid import uuid4

import typer

from stafett.cli.client import ApiClient, Json, connect, find_job
from stafett.cli.jobs import JobCommands, JobIdArgument, WatchOption, format_created_at, print_result
from stafett.cli.options import DataDirOption, JsonOption, OptionalOrgOption, UserOption
from stafett.cli.terminal import print_file, print_json, print_lines
from stafett.domain.bulk_status import BulkStatus
from stafett.domain.errors import StafettError

app = typer.Typer(name="bulk", help="Register one activity for many peer mentors.", no_args_is_help=True)

BULK_RESOURCE = "bulk-registrations"


def _describe(job: Json) -> list[str]:
    name = f", {job['label']}" if job["label"] else ""
    lines = [f"Batch {job['id']}", f"  {job['org_id']}{name}", f"  {job['status']}", f"  {_format_counts(job)}"]
    if job["error"]:
        lines.append(f"  {job['error']['message']} ({job['error']['code']})")
    return lines + _format_item_errors(job)


_BATCHES = JobCommands(
    command="bulk",
    noun="batch",
    resource=BULK_RESOURCE,
    success_statuses={BulkStatus.COMPLETED},
    columns={
        "id": lambda job: job["id"],
        "organisation": lambda job: job["org_id"],
        "label": lambda job: job["label"],
        "status": lambda job: job["status"],
        "items": lambda job: job["counts"]["total"],
        "registered": lambda job: job["counts"]["registered"],
        "failed": lambda job: job["counts"]["failed"],
        "created": format_created_at,
    },
    describe=_describe,
    cancel_request=("POST", "/cancel"),
)


@app.command()
def start(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="CSV file with one line per item, or JSON file as for the API.")
    ],
    org: OptionalOrgOption = None,
    label: Annotated[str | None, typer.Option(help="Label of the batch.")] = None,
    validate_only: Annotated[
        bool, typer.Option("--validate-only", help="Validate every item without registering any.")
    ] = False,
    key: Annotated[str | None, typer.Option(help="Idempotency key: the same key returns the same batch.")] = None,
    watch: WatchOption = False,
    data_dir: DataDirOption = None,
    user: UserOption = None,
    as_json: JsonOption = False,
) -> None:
    """Start a bulk registration and print its id."""
    content, media_type = _read_batch_file(file, org, label)
    api = connect(data_dir, user, org or _org_id_from_body(content, media_type))
    params = {"org_id": org, "label": label} if media_type == "text/csv" else {}
    query = {name: value for name, value in params.items() if value is not None}
    query |= {"validate_only": "true"} if validate_only else {}
    job = api.post_content(f"/{BULK_RESOURCE}", content, media_type, query, idempotency_key=key or str(uuid4()))
    if validate_only:
        print_result(job, as_json, _format_counts(job), *_format_item_errors(job))
    else:
        _BATCHES.follow(api, job, as_json, watch=watch)


_BATCHES.register(
    app,
    {
        "list_jobs": "List batches, newest first.",
        "show": "Show one batch and the errors of its first 200 items.",
        "watch": "Wait for a batch to finish and show its progress. Exit code 3 unless every item was registered.",
        "cancel": "Cancel a batch. Activities that are already registered stay.",
        "retry": "Retry the failed and cancelled items of a batch. Registered activities are not changed.",
        "delete": "Delete a finished batch and its items (admins only). Registered activities stay.",
    },
)


@app.command(name="failed")
def export_failed_items(
    job_id: JobIdArgument,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Output file. Default: standard output.")
    ] = None,
    org: OptionalOrgOption = None,
    data_dir: DataDirOption = None,
    user: UserOption = None,
    as_json: JsonOption = False,
) -> None:
    """Download the failed items as CSV, to be corrected and submitted as a new batch."""
    api, job = find_job(data_dir, user, org, BULK_RESOURCE, job_id)
    if as_json:
        print_json({"items": _fetch_failed_items(api, job)})
        return
    content = api.get_bytes(f"/{BULK_RESOURCE}/{job['id']}/failed.csv")
    if output is None:
        print_file(content.decode("utf-8-sig"))
        return
    try:
        output.write_bytes(content)
    except OSError as error:
        raise StafettError(f"{output} cannot be written: {error.strerror}.") from None
    print_lines(f"{output} ({job['counts']['failed']} items)")


def _fetch_failed_items(api: ApiClient, job: Json) -> list[Json]:
    items, query = list[Json](), dict[str, str | int](status="failed", page_size=200)
    while True:
        page = api.get(f"/{BULK_RESOURCE}/{job['id']}/items", query)
        items += page["items"]
        if page["next_page_token"] is None:
            return items
        query["page_token"] = page["next_page_token"]


def _read_batch_file(file: Path, org: str | None, label: str | None) -> tuple[bytes, str]:
    """Read the file and its media type. The options override the fields of a JSON file."""
    try:
        content = file.read_bytes()
    except OSError as error:
        raise StafettError(f"{file} cannot be read: {error.strerror}.") from None
    if file.suffix.lower() != ".json":
        return content, "text/csv"
    try:
        body = json.loads(content)
    except ValueError:
        raise StafettError(f"{file} is not valid JSON.") from None
    if not isinstance(body, dict):
        raise StafettError(f"{file} does not contain a JSON object.")
    body |= {name: value for name, value in (("org_id", org), ("label", label)) if value is not None}
    return json.dumps(body).encode(), "application/json"


def _org_id_from_body(content: bytes, media_type: str) -> str | None:
    return json.loads(content).get("org_id") if media_type == "application/json" else None


def _format_counts(job: Json) -> str:
    return ", ".join(f"{name} {count}" for name, count in job["counts"].items())


def _format_item_errors(job: Json) -> list[str]:
    return [
        f"  {item['client_ref']}: {item['error']['message']} ({item['error']['code']})"
        for item in job["items"]
        if item["error"]
    ]


def list_active_mentor_ids(api: ApiClient, org_id: str, limit: int) -> list[str]:
    page = api.get("/peer-mentors", {"org_id": org_id, "active": "true", "page_size": limit})
    return [mentor["id"] for mentor in page["items"]]
