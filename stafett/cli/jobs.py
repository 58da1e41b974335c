"""The commands that ``stafett export``, ``reexport`` and ``bulk`` have in common, and their output."""

import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated
from uuid import uuid4

import typer
from rich.progress import BarColumn, DownloadColumn

from stafett.cli.client import ApiClient, ApiError, Json, connect, find_job
from stafett.cli.options import DataDirOption, JsonOption, OptionalOrgOption, UserOption
from stafett.cli.terminal import (
    make_console,
    make_progress_bar,
    make_table,
    print_json,
    print_lines,
    require_confirmation,
)
from stafett.cli.watch import watch_job
from stafett.domain.errors import StafettError

EXIT_NOT_SUCCESSFUL = 3
_HANDED_IN = {"confirm": "handed_in"}
Columns = Mapping[str, Callable[[Json], object]]
"""The cells of a table by the headings of their columns."""

JobIdArgument = Annotated[str, typer.Argument(metavar="ID", help="Id of the job.")]
LimitOption = Annotated[int, typer.Option("--limit", min=1, max=200, help="Maximum number of entries.")]
StatusOption = Annotated[str | None, typer.Option(help="Only jobs with this status.")]
WatchOption = Annotated[bool, typer.Option("--watch", help="Wait for the job to finish and show its progress.")]


@dataclass(frozen=True)
class JobCommands:
    """A kind of job on the command line: its resource, and how it is shown."""

    command: str
    noun: str
    resource: str
    success_statuses: Collection[str]
    columns: Columns
    describe: Callable[[Json], list[str]]
    """The lines about a job; the second line distinguishes it from others."""

    cancel_request: tuple[str, str]
    """The method, and the path after the job's."""

    def register(self, app: typer.Typer, help_texts: Mapping[str, str]) -> None:
        """Add the commands that have a help text."""
        for name, help_text in help_texts.items():
            app.command(name.removesuffix("_jobs"), help=help_text)(getattr(self, name))

    def list_jobs(
        self,
        org: OptionalOrgOption = None,
        status: StatusOption = None,
        limit: LimitOption = 20,
        data_dir: DataDirOption = None,
        user: UserOption = None,
        as_json: JsonOption = False,
    ) -> None:
        query = build_query(org_id=org, status=status, page_size=limit)
        print_list(connect(data_dir, user, org).get(f"/{self.resource}", query), as_json, self.columns)

    def show(
        self,
        job_id: JobIdArgument,
        org: OptionalOrgOption = None,
        data_dir: DataDirOption = None,
        user: UserOption = None,
        as_json: JsonOption = False,
    ) -> None:
        _, job = self._find(data_dir, user, org, job_id)
        print_result(job, as_json, *self.describe(job))

    def watch(
        self,
        job_id: JobIdArgument,
        org: OptionalOrgOption = None,
        data_dir: DataDirOption = None,
        user: UserOption = None,
        as_json: JsonOption = False,
    ) -> None:
        api, job = self._find(data_dir, user, org, job_id)
        self.wait_and_exit(api, job, as_json)

    def cancel(
        self,
        job_id: JobIdArgument,
        org: OptionalOrgOption = None,
        data_dir: DataDirOption = None,
        user: UserOption = None,
        as_json: JsonOption = False,
    ) -> None:
        api, job = self._find(data_dir, user, org, job_id)
        method, suffix = self.cancel_request
        job = api.send(method, f"{self._path(job)}{suffix}")
        hint = "It has stopped once its status is cancelled."
        print_result(job, as_json, f"{self._title(job)} is {job['status']}. {hint}")

    def retry(
        self,
        job_id: JobIdArgument,
        watch: WatchOption = False,
        org: OptionalOrgOption = None,
        data_dir: DataDirOption = None,
        user: UserOption = None,
        as_json: JsonOption = False,
    ) -> None:
        api, job = self._find(data_dir, user, org, job_id)
        job = api.post(f"{self._path(job)}/retry", {}, idempotency_key=str(uuid4()))
        self.follow(api, job, as_json, watch=watch)

    def delete(
        self,
        job_id: JobIdArgument,
        yes: Annotated[bool, typer.Option("--yes", help="Do not prompt for confirmation.")] = False,
        org: OptionalOrgOption = None,
        data_dir: DataDirOption = None,
        user: UserOption = None,
    ) -> None:
        api, job = self._find(data_dir, user, org, job_id, role="admin")
        self.confirm_and_delete(api, job, yes=yes)

    def download(
        self,
        job_id: JobIdArgument,
        output: Annotated[
            str, typer.Option("--output", "-o", help="Output file or folder. Default: the current folder.")
        ] = "",
        force: Annotated[bool, typer.Option("--force", help="Overwrite an existing file.")] = False,
        org: OptionalOrgOption = None,
        data_dir: DataDirOption = None,
        user: UserOption = None,
        as_json: JsonOption = False,
    ) -> None:
        api, job = self._find(data_dir, user, org, job_id)
        target = download_job_file(api, job, output, force=force, quiet=as_json)
        print_result({"path": str(target), **job["file"]}, as_json, f"{target} ({job['file']['size_bytes']} bytes)")

    def confirm_and_delete(self, api: ApiClient, job: Json, *, yes: bool, confirm_handed_in: bool = False) -> None:
        """Delete a job after a confirmation, and after another one if its file was handed in to Bufdir."""
        if not yes:
            require_confirmation(f"Delete {self.noun} {job['id']} ({self.describe(job)[1].strip()})?")
        try:
            api.delete(self._path(job), _HANDED_IN if confirm_handed_in else None)
        except ApiError as error:
            if error.code != _HANDED_IN["confirm"]:
                raise
            if yes:
                raise StafettError(f"{error} Use --confirm-handed-in to delete it all the same.") from None
            require_confirmation(f"{error} Delete it all the same?")
            api.delete(self._path(job), _HANDED_IN)
        print_lines(f"{self._title(job)} is deleted.")

    def follow(self, api: ApiClient, job: Json, as_json: bool, *, watch: bool) -> None:
        """Report that a job is accepted, or wait for it and exit."""
        if watch:
            self.wait_and_exit(api, job, as_json)
        else:
            hint = f"Follow it with `stafett {self.command} watch {job['id']}`."
            print_result(job, as_json, f"{self._title(job)} accepted. {hint}")

    def wait_and_exit(self, api: ApiClient, job: Json, as_json: bool) -> None:
        """Wait for the job to finish, show it, and exit with a code for its success."""
        job = watch_job(api, self._path(job), quiet=as_json)
        print_result(job, as_json, *self.describe(job))
        if job["status"] not in self.success_statuses:
            raise typer.Exit(EXIT_NOT_SUCCESSFUL)

    def _find(
        self, data_dir: Path | None, user: str | None, org: str | None, job_id: str, *, role: str = "coordinator"
    ) -> tuple[ApiClient, Json]:
        return find_job(data_dir, user, org, self.resource, job_id, role=role)

    def _path(self, job: Json) -> str:
        return f"/{self.resource}/{job['id']}"

    def _title(self, job: Json) -> str:
        return f"{self.noun.capitalize()} {job['id']}"


def build_query(**filters: str | int | None) -> dict[str, str | int]:
    """Build a query of the filters that are given."""
    return {name: value for name, value in filters.items() if value is not None}


def print_list(page: Json, as_json: bool, columns: Columns) -> None:
    """Print a page as JSON or as a table."""
    if as_json:
        print_json(page)
        return
    table = make_table(*columns)
    for item in page["items"]:
        table.add_row(*("" if (cell := format_cell(item)) is None else str(cell) for format_cell in columns.values()))
    make_console().print(table)


def print_result(result: Json, as_json: bool, *lines: str) -> None:
    if as_json:
        print_json(result)
    else:
        print_lines(*lines)


def format_created_at(job: Json) -> str:
    """Format the creation time in the local time zone."""
    return f"{datetime.fromisoformat(job['created_at']).astimezone():%Y-%m-%d %H:%M:%S}"


def format_period(resource: Json) -> str:
    return f"{resource['reporting_period']['start']} to {resource['reporting_period']['end']}"


def describe_result(job: Json) -> list[str]:
    """Describe the file and the error of a job, if it has them."""
    lines = []
    if file := job["file"]:
        lines.append(f"  {file['name']}, {file['size_bytes']} bytes, SHA-256 {file['sha256']}")
    if error := job["error"]:
        lines.append(f"  {error['message']} ({error['code']})")
    return lines


def download_job_file(api: ApiClient, job: Json, output: str, *, force: bool, quiet: bool) -> Path:
    """Save a finished job's file, under its own name unless `output` names a file."""
    if not job["download_url"]:
        raise StafettError(f"Job {job['id']} has no file that you can download; its status is {job['status']}.")
    target = Path(output)
    if output.endswith(os.sep):
        target.mkdir(parents=True, exist_ok=True)
    target = target / Path(job["file"]["name"]).name if target.is_dir() else target
    if target.exists() and not force:
        raise StafettError(f"{target} already exists; use --force to overwrite it.")
    with make_progress_bar("{task.description}", BarColumn(), DownloadColumn(), quiet=quiet) as progress:
        task = progress.add_task(target.name, total=job["file"]["size_bytes"])
        api.download(job["download_url"], target, job["file"]["sha256"], lambda size: progress.advance(task, size))
    return target
