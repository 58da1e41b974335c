"""``stafett bulk``: commands for bulk registrations."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated
from uuid import uuid4

import typer

from stafett.bulk.column_descriptions import column_descriptions
from stafett.cli.batch_file import BatchFile, read_batch_file
from stafett.cli.batch_results import format_item_errors, format_validation, format_warnings
from stafett.cli.client import ApiClient, ApiError, ApiUnavailableError, Json, connect
from stafett.cli.field_errors import name_options
from stafett.cli.formats import format_status, format_time
from stafett.cli.jobs import (
    EXIT_NOT_SUCCESSFUL,
    JobCommands,
    JobIdArgument,
    WatchOption,
    print_result,
)
from stafett.cli.lookup import choose_organisation, find_job, iterate_pages, resolve_id
from stafett.cli.options import (
    ID_HELP,
    DataDirOption,
    JsonOption,
    LocaleOption,
    OptionalOrgOption,
    UserOption,
    build_org_option,
)
from stafett.cli.tables import Column, Details
from stafett.cli.terminal import print_file, print_json, print_lines
from stafett.domain.bulk_status import BulkStatus
from stafett.domain.errors import NotFoundError, SettingsError, StafettError
from stafett.domain.export import Locale

app = typer.Typer(name="bulk", help="Register one activity for many peer mentors.", no_args_is_help=True)

BULK_RESOURCE = "bulk-registrations"
_START_OPTIONS = {
    "query:org_id": "--org",
    "query:label": "--label",
    "query:corrects": "--corrects",
    "/org_id": "--org",
    "/label": "--label",
    "/corrects": "--corrects",
}
_MAX_CORRECTIONS_SHOWN = 20
_MAX_PAGE_SIZE = 200
OutputOption = Annotated[Path | None, typer.Option("--output", "-o", help="Output file. Default: standard output.")]


def _summarise(job: Json) -> str:
    return ", ".join(filter(None, (job["org_id"], job["label"], f"{job['counts']['total']} items")))


def _describe(job: Json) -> Details:
    details: list[tuple[str, object]] = [("organisation", job["org_id"]), ("status", format_status(job["status"]))]
    if job["label"]:
        details.append(("label", job["label"]))
    details += [("items", _format_counts(job["counts"])), ("created", format_time(job["created_at"]))]
    if job["retried"]:
        details.append(("tried again", _format_counts(job["retried"])))
    if job["corrects"]:
        details.append(("corrects", job["corrects"]))
    details += [("corrected by", batch_id) for batch_id in job["corrected_by"]]
    details += [("warning", warning["message"]) for warning in job["warnings"]]
    if job["error"]:
        details.append(("error", f"{job['error']['message']} ({job['error']['code']})"))
    return details


def _load_item_errors(api: ApiClient, job: Json, file: BatchFile | None = None) -> Details:
    """List the errors of the first items that were not registered, with the names of their peer mentors."""
    details: list[tuple[str, object]] = [("failed", line) for line in format_item_errors(api, job["items"], file)]
    if hidden := job["counts"]["failed"] - len(details):
        details.append(("", f"and {hidden} more"))
    if (retried := job.get("retried")) and retried["failed"] == retried["total"]:
        details.append(("", "tried again as they are, none of them was registered"))
    for batch_id in job["corrected_by"]:
        details += _describe_chain(api, batch_id)
    if job["counts"]["failed"] and not job["corrected_by"]:
        details.append(("to correct", f"stafett bulk failed {job['id']} -o failed.csv"))
    return details


def _describe_chain(api: ApiClient, batch_id: str) -> Details:
    """Describe a correction that was corrected too, and so on to the last batches."""
    details: list[tuple[str, object]] = []
    batches = [batch_id]
    while batches and len(details) < _MAX_CORRECTIONS_SHOWN:
        batch = api.get(f"/{BULK_RESOURCE}/{batches.pop(0)}")
        batches += batch["corrected_by"]
        details += [("corrected", f"{batch['id']} was corrected by {each} too") for each in batch["corrected_by"]]
    return details


def _mark_corrected(api: ApiClient, batches: list[Json], query: Mapping[str, str | int]) -> list[Json]:
    """Mark the batches that another one corrects, which is newer and can have another status."""
    if not any(batch["counts"]["failed"] for batch in batches):
        return batches
    others = {name: value for name, value in query.items() if name != "status"} | {"page_size": _MAX_PAGE_SIZE}
    corrected = {batch["corrects"] for batch in api.get(f"/{BULK_RESOURCE}", others)["items"]}
    return [batch | {"is_corrected": batch["id"] in corrected} for batch in batches]


def _format_failed(batch: Json) -> str:
    return f"{batch['counts']['failed']}{', corrected' if batch.get('is_corrected') else ''}"


BATCHES = JobCommands(
    command="bulk",
    noun="batch",
    resource=BULK_RESOURCE,
    statuses=tuple(BulkStatus),
    success_statuses={BulkStatus.COMPLETED},
    columns={
        "id": Column(lambda job: job["id"], is_id=True),
        "organisation": Column(lambda job: job["org_id"], drop_order=2),
        "label": Column(lambda job: job["label"], drop_order=3, min_width=10),
        "status": Column(lambda job: format_status(job["status"])),
        "items": Column(lambda job: job["counts"]["total"], drop_order=1),
        "done": Column(lambda job: job["counts"]["registered"]),
        "failed": Column(_format_failed),
        "created": Column(lambda job: format_time(job["created_at"]), drop_order=4),
    },
    summarise=_summarise,
    describe=_describe,
    load_details=_load_item_errors,
    complete_items=_mark_corrected,
    cancel_request=("POST", "/cancel"),
)


@app.command()
def start(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="CSV file with one line per item, or JSON file as for the API; - reads standard input.",
        ),
    ],
    org: Annotated[str | None, build_org_option("that of a JSON file, or else yours, if you have one only")] = None,
    label: Annotated[str | None, typer.Option(help="Label of the batch.")] = None,
    validate_only: Annotated[
        bool, typer.Option("--validate-only", help="Validate every item without registering any.")
    ] = False,
    corrects: Annotated[
        str | None,
        typer.Option(help=f"Id of the ended batch whose failed items FILE corrects, {ID_HELP}.", metavar="BATCH"),
    ] = None,
    key: Annotated[str | None, typer.Option(help="Idempotency key: the same key returns the same batch.")] = None,
    locale: Annotated[
        Locale, typer.Option("--locale", help="Language of warnings, and of the reasons why items fail.")
    ] = "nb",
    watch: WatchOption = False,
    data_dir: DataDirOption = None,
    user: UserOption = None,
    as_json: JsonOption = False,
) -> None:
    """Start a bulk registration and print its id. `stafett bulk template` prints a file to fill in.

    With --validate-only, the exit code is 3 if an item would fail.

    Items that fail or have a warning are named with their line of the file, and with what it has there.
    """
    batch_file = read_batch_file(file, locale)
    content, body = batch_file.content, batch_file.body
    org = org or (body or {}).get("org_id") or choose_organisation(data_dir, user)
    api = connect(data_dir, user, org)
    api.prefer_language(locale)
    if corrects:
        corrects = str(resolve_id(api, f"/{BULK_RESOURCE}", corrects, {"org_id": org}, argument="--corrects"))
    options = {"org_id": org, "label": label, "corrects": corrects}
    fields = {name: value for name, value in options.items() if value is not None}
    query = {"validate_only": "true"} if validate_only else {}
    if body is None:
        media_type, query = "text/csv", query | fields
    else:
        media_type, content = "application/json", json.dumps(body | fields).encode()
    with name_options(_START_OPTIONS), _quote_rejected_values(batch_file):
        job = api.post_content(f"/{BULK_RESOURCE}", content, media_type, query, idempotency_key=key or str(uuid4()))
    if not validate_only:
        if job["warnings"] and not as_json:
            print_lines(*format_warnings(api, job, batch_file), err=True)
        load_details = partial(_load_item_errors, file=batch_file)
        replace(BATCHES, load_details=load_details).follow(api, job, as_json, watch=watch)
        return
    print_result(job, as_json, *([] if as_json else format_validation(api, job, batch_file)))
    if job["counts"]["failed"]:
        raise typer.Exit(EXIT_NOT_SUCCESSFUL)


@contextmanager
def _quote_rejected_values(file: BatchFile) -> Iterator[None]:
    """Add what the file has to an error of the API in its lines."""
    try:
        yield
    except ApiUnavailableError:
        raise
    except ApiError as error:
        raise file.quote_rejected_values(error) from None


def _describe_columns(locale: Locale) -> list[str]:
    """Describe each column of a batch's file in one line."""
    descriptions = column_descriptions(locale)
    width = max(len(each.column) for each in descriptions)
    return [f"{each.column:{width}}  {each.text}" for each in descriptions]


def _find_only_organisation(data_dir: Path | None, user: str | None) -> str | None:
    """Find the caller's only organisation; none if there are several, or no API."""
    try:
        return choose_organisation(data_dir, user)
    except (typer.BadParameter, NotFoundError, SettingsError):
        return None


_TEMPLATE_HELP = "\n".join(
    (
        "Print a CSV file to fill in and register, with a line for each active peer mentor of the organisation.\n",
        "Standard error describes the columns in the language of --locale:\n",
        *(f"- {each.column}: {each.text}" for each in column_descriptions("en")),
    )
)


@app.command(help=_TEMPLATE_HELP)
def template(
    org: Annotated[str | None, build_org_option("yours, if you have one only, or else none")] = None,
    output: OutputOption = None,
    locale: LocaleOption = "nb",
    data_dir: DataDirOption = None,
    user: UserOption = None,
) -> None:
    from stafett.bulk.csv_format import render_template

    mentors: Sequence[Json] = ()
    org = org or _find_only_organisation(data_dir, user)
    if org is not None:
        query = {"org_id": org, "active": "true"}
        mentors = list(iterate_pages(connect(data_dir, user, org), "/peer-mentors", query))
    content = render_template([(mentor["id"], mentor["display_name"]) for mentor in mentors])
    _write_csv(content.encode(), output, f"{len(mentors)} peer mentors")
    print_lines(*_describe_columns(locale), err=True)


BATCHES.register(
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
    output: OutputOption = None,
    locale: LocaleOption = "nb",
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
    content = api.get_bytes(f"/{BULK_RESOURCE}/{job['id']}/failed.csv", {"locale": locale})
    _write_csv(content, output, f"{job['counts']['failed']} items")
    if job["counts"]["failed"]:
        command = f"stafett bulk start {output or 'FILE'} --org {job['org_id']} --corrects {job['id']}"
        print_lines(f"When it is corrected: {command}", err=True)


def _write_csv(content: bytes, output: Path | None, summary: str) -> None:
    if output is None:
        print_file(content.decode("utf-8-sig"))
        return
    try:
        output.write_bytes(content)
    except OSError as error:
        raise StafettError(f"{output} cannot be written: {error.strerror}.") from None
    print_lines(f"{output} ({summary})")


def _fetch_failed_items(api: ApiClient, job: Json) -> list[Json]:
    return list(iterate_pages(api, f"/{BULK_RESOURCE}/{job['id']}/items", {"status": "failed"}))


def _format_counts(counts: Json) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items())


def list_active_mentor_ids(api: ApiClient, org_id: str, limit: int) -> list[str]:
    page = api.get("/peer-mentors", {"org_id": org_id, "active": "true", "page_size": limit})
    return [mentor["id"] for mentor in page["items"]]
