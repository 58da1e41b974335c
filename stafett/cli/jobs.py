"""The commands that ``stafett export``, ``reexport`` and ``bulk`` have in common, and their output."""

import os
import shlex
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Annotated
from uuid import uuid4

import typer
from rich.progress import BarColumn, DownloadColumn

from stafett.cli.client import ApiClient, ApiError, Json, connect
from stafett.cli.field_errors import name_options
from stafett.cli.formats import format_size
from stafett.cli.lookup import find_job
from stafett.cli.options import ID_HELP, DataDirOption, JsonOption, OptionalOrgOption, UserOption, YesOption
from stafett.cli.tables import Columns, Details, print_details, print_table
from stafett.cli.terminal import make_progress_bar, print_json, print_lines, require_confirmation
from stafett.cli.watch import watch_job
from stafett.domain.errors import PermissionDeniedError, StafettError
from stafett.domain.membership import Role

EXIT_NOT_SUCCESSFUL = 3
_MAX_PAGE_SIZE = 200
_HANDED_IN = "handed_in"
_DOWNLOADING_ROLES = (Role.COORDINATOR, Role.ADMIN)
_LIST_OPTIONS = {"query:status": "--status", "query:org_id": "--org"}

JobIdArgument = Annotated[str, typer.Argument(metavar="ID", help=f"Id of the job, {ID_HELP}.")]
LimitOption = Annotated[int, typer.Option("--limit", min=1, max=_MAX_PAGE_SIZE, help="Maximum number of entries.")]
StatusOption = Annotated[str | None, typer.Option(metavar="STATUS", help="Only jobs with this status.")]
WatchOption = Annotated[
    bool, typer.Option("--watch", help="Wait for the job to finish, show its progress, and print it.")
]


@dataclass(frozen=True)
class JobCommands:
    """A kind of job on the command line: its resource, and how it is shown."""

    command: str
    noun: str
    resource: str
    statuses: Collection[str]
    success_statuses: Collection[str]
    columns: Columns
    summarise: Callable[[Json], str]
    """The words beside the job's id that distinguish it from others."""

    describe: Callable[[Json], Details]
    cancel_request: tuple[str, str]
    """The method, and the path after the job's."""

    load_details: Callable[[ApiClient, Json], Details] = lambda _api, _job: ()
    """Further lines, from other resources."""

    complete_items: Callable[[ApiClient, list[Json], Mapping[str, str | int]], list[Json]] = lambda _api, items, _: (
        items
    )
    """Add to the entries of a list what only other entries have."""

    find_export: Callable[[ApiClient, Json], str] = lambda _api, job: str(job["id"])
    """The id of the export whose file the job's is."""

    name_file: Callable[[Json], str] = lambda job: str(job["file"]["name"])
    """The name of the downloaded file."""

    def register(self, app: typer.Typer, help_texts: Mapping[str, str]) -> None:
        """Add the commands that have a help text."""
        for name, help_text in help_texts.items():
            statuses = f"\n\nStatuses: {', '.join(self.statuses)}." if name == "list_jobs" else ""
            app.command(name.removesuffix("_jobs"), help=help_text + statuses)(getattr(self, name))

    def list_jobs(
        self,
        org: OptionalOrgOption = None,
        status: StatusOption = None,
        limit: LimitOption = 20,
        data_dir: DataDirOption = None,
        user: UserOption = None,
        as_json: JsonOption = False,
    ) -> None:
        self.print_jobs(connect(data_dir, user, org), as_json, org_id=org, status=status, page_size=limit)

    def print_jobs(self, api: ApiClient, as_json: bool, **filters: str | int | None) -> None:
        query = build_query(**filters)
        with name_options(_LIST_OPTIONS):
            page = api.get(f"/{self.resource}", query)
        if not as_json:
            page["items"] = self.complete_items(api, page["items"], query)
        print_list(page, as_json, self.columns)

    def show(
        self,
        job_id: JobIdArgument,
        org: OptionalOrgOption = None,
        data_dir: DataDirOption = None,
        user: UserOption = None,
        as_json: JsonOption = False,
    ) -> None:
        api, job = self._find(data_dir, user, org, job_id)
        self._print_job(api, job, as_json)

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
        api, job = self._find(data_dir, user, org, job_id, is_change=True)
        method, suffix = self.cancel_request
        job = api.send(method, f"{self._path(job)}{suffix}")
        hint = "It has stopped once its status is cancelled."
        print_result(job, as_json, f"{self.title(job)} is {job['status']}. {hint}")

    def retry(
        self,
        job_id: JobIdArgument,
        watch: WatchOption = False,
        org: OptionalOrgOption = None,
        data_dir: DataDirOption = None,
        user: UserOption = None,
        as_json: JsonOption = False,
    ) -> None:
        api, job = self._find(data_dir, user, org, job_id, is_change=True)
        job = api.post(f"{self._path(job)}/retry", {}, idempotency_key=str(uuid4()))
        self.follow(api, job, as_json, watch=watch)

    def delete(
        self,
        job_id: JobIdArgument,
        yes: YesOption = False,
        org: OptionalOrgOption = None,
        data_dir: DataDirOption = None,
        user: UserOption = None,
    ) -> None:
        api, job = self._find(data_dir, user, org, job_id, role="admin", is_change=True)
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
        export_id, name = (self.find_export(api, job), self.name_file(job)) if job["file"] else ("", "")
        target = download_job_file(api, job, export_id, output, force=force, quiet=as_json, name=name)
        size = format_size(job["file"]["size_bytes"])
        print_result({"path": str(target), **job["file"]}, as_json, f"{target} ({size})")

    def confirm_and_delete(self, api: ApiClient, job: Json, *, yes: bool, confirm_handed_in: bool = False) -> None:
        """Delete a job after a confirmation, and after another one if its file was handed in to Bufdir."""
        if not yes:
            require_confirmation(f"Delete {self.noun} {job['id']} ({self.summarise(job)})?")
        try:
            api.delete(self._path(job), {"confirm": _HANDED_IN} if confirm_handed_in else None)
        except ApiError as error:
            if error.code != _HANDED_IN:
                raise
            reason = error.detail.partition(" To confirm it")[0]
            if yes:
                raise StafettError(f"{reason} Use --confirm-handed-in to delete it all the same.") from None
            require_confirmation(f"{reason} Delete it all the same?")
            api.delete(self._path(job), {"confirm": _HANDED_IN})
        print_lines(f"{self.title(job)} is deleted.")

    def follow(self, api: ApiClient, job: Json, as_json: bool, *, watch: bool) -> None:
        """Print the id of an accepted job for scripts, and a sentence for people; or wait for the job and exit."""
        if watch:
            self.wait_and_exit(api, job, as_json)
        elif as_json:
            print_json(job)
        else:
            print_lines(f"{self.title(job)} is accepted. Follow it with `{self._watch_command(api, job)}`.", err=True)
            print_lines(str(job["id"]))

    def wait_and_exit(self, api: ApiClient, job: Json, as_json: bool) -> None:
        """Wait for the job to finish, show it, and exit with a code for its success."""
        hint = f"The {self.noun} continues; follow it with `{self._watch_command(api, job)}`."
        job = watch_job(api, self._path(job), quiet=as_json, title=self.title(job), hint=hint)
        self._print_job(api, job, as_json)
        if job["status"] not in self.success_statuses:
            raise typer.Exit(EXIT_NOT_SUCCESSFUL)

    def title(self, job: Json) -> str:
        return f"{self.noun.capitalize()} {job['id']} ({self.summarise(job)})"

    def _print_job(self, api: ApiClient, job: Json, as_json: bool) -> None:
        if as_json:
            print_json(job)
        else:
            details = [*self.describe(job), *self.load_details(api, job)]
            print_details(f"{self.noun.capitalize()} {job['id']}", details)

    def _watch_command(self, api: ApiClient, job: Json) -> str:
        return shlex.join(["stafett", self.command, "watch", str(job["id"]), *api.options])

    def _find(
        self,
        data_dir: Path | None,
        user: str | None,
        org: str | None,
        job_id: str,
        *,
        role: str = "coordinator",
        is_change: bool = False,
    ) -> tuple[ApiClient, Json]:
        return find_job(data_dir, user, org, self.resource, job_id, role=role, is_change=is_change)

    def _path(self, job: Json) -> str:
        return f"/{self.resource}/{job['id']}"


def build_query(**filters: str | int | None) -> dict[str, str | int]:
    """Build a query of the filters that are given."""
    return {name: value for name, value in filters.items() if value is not None}


def print_list(page: Json, as_json: bool, columns: Columns, *, option_for_all: str = "--json") -> None:
    """Print a page as JSON or as a table."""
    if as_json:
        print_json(page)
        return
    print_table(page["items"], columns, option_for_all=option_for_all)
    if page.get("next_page_token"):
        print_lines("There are more entries: --limit is how many are printed.", err=True)


def print_result(result: Json, as_json: bool, *lines: str) -> None:
    if as_json:
        print_json(result)
    else:
        print_lines(*lines)


def describe_result(job: Json) -> Details:
    """Describe the file and the error of a job, if it has them."""
    details: list[tuple[str, object]] = []
    if file := job["file"]:
        details += [("file", f"{file['name']}, {format_size(file['size_bytes'])}"), ("SHA-256", file["sha256"])]
    if error := job["error"]:
        details.append(("error", f"{error['message']} ({error['code']})"))
    return details


def download_job_file(
    api: ApiClient, job: Json, export_id: str, output: str, *, force: bool, quiet: bool, name: str = ""
) -> Path:
    """Save a finished job's file, which is that of an export, and have the download recorded in the audit trail.

    The file gets its own name or `name`, unless `output` names a file.
    """
    if not job["download_url"]:
        role = api.get("/me")["role"] if job["file"] else None
        if role and role not in _DOWNLOADING_ROLES:
            raise PermissionDeniedError(f"You are {role}, a role that downloads no files; coordinators and admins do.")
        raise StafettError(f"Job {job['id']} has no file that you can download; its status is {job['status']}.")
    target = Path(output)
    try:
        if output.endswith(os.sep):
            target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StafettError(f"{output} cannot be created: {error.strerror}.") from None
    target = target / Path(name or job["file"]["name"]).name if target.is_dir() else target
    if target.exists() and not force:
        raise StafettError(f"{target} already exists; use --force to overwrite it.")
    with make_progress_bar("{task.description}", BarColumn(), DownloadColumn(), quiet=quiet) as progress:
        task = progress.add_task(target.name, total=job["file"]["size_bytes"])
        url = _request_file_url(api, job, export_id)
        api.download(url, target, job["file"]["sha256"], lambda size: progress.advance(task, size))
    return target


def _request_file_url(api: ApiClient, job: Json, export_id: str) -> str:
    """Request the address of the export's file, or the job's own if an administrator has replaced a missing file."""
    try:
        return api.request_file_url(export_id)
    except ApiError as error:
        if error.status != HTTPStatus.GONE:
            raise
        return str(job["download_url"])
