"""``stafett erase-person``: erasure of a person's data (GDPR)."""

from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer
from rich.progress import BarColumn, MofNCompleteColumn

from stafett.cli.local_settings import load_settings
from stafett.cli.options import ConfirmHandedInOption, DataDirOption, JsonOption, RequiredOrgOption, YesOption
from stafett.cli.terminal import (
    make_console,
    make_progress_bar,
    make_table,
    print_json,
    print_lines,
    require_confirmation,
)
from stafett.domain.errors import HandedInError, StafettError
from stafett.settings import Settings, require_setting

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

    from stafett.domain.erasure import ErasureReport, Person, RemainingCopy
    from stafett.erasure.export_scan import ErasureProgressCallback
    from stafett.erasure.service import ErasureService

_COUNT_LABELS = {
    "notes_cleared": "notes cleared",
    "texts_cleared": "reasons and descriptions cleared, which mention the name",
    "idempotency_keys_removed": "idempotency keys removed",
    "attachments_removed": "attachments removed",
    "exports_emptied": "exports whose files and snapshots were removed",
    "memberships_removed": "memberships removed",
    "emails_given_up": "pending emails discarded",
    "activities_to_review": "activities to review, which mention the name",
    "exports_to_review": "exports to review, whose activities mention the name",
    "batches_to_review": "batches to review, which mention the name or share a note",
    "reexports_to_review": "re-exports to review, whose label mentions the name",
    "reports_to_review": "reports to review, whose reference mentions the name",
    "webhooks_to_review": "webhooks to review, whose URL mentions the name",
    "mappings_to_review": "mapping documents to review, which mention the name",
    "mentors_to_review": "peer mentors to review, whose branch mentions the name",
}


def erase_person(
    org: RequiredOrgOption,
    mentor: Annotated[UUID | None, typer.Option("--mentor", metavar="ID", help="Id of a peer mentor.")] = None,
    user: Annotated[UUID | None, typer.Option("--user", metavar="ID", help="Id of a user account.")] = None,
    yes: YesOption = False,
    confirm_handed_in: ConfirmHandedInOption = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Report what would be erased without changing anything.")
    ] = False,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Erase a person permanently from activities, snapshots and files, and report what was erased.

    Uses the database login that runs migrations. Safe to run again: an interrupted erasure continues.
    """
    from stafett.exports.handed_in import RemovalConfirmation

    person = _person_from_options(org, mentor, user)
    settings = load_settings(data_dir)
    if dry_run or not yes:
        with _open_erasure_service(settings) as service, _show_progress() as report_progress:
            preview, name = service.dry_run(person, report_progress), service.load_name(person)
        if dry_run:
            _print_report(preview, as_json)
            return
        _print_summary(make_console(stderr=True), preview)
        require_confirmation(f"Erase {_format_person(person, name)} permanently?")
        if not confirm_handed_in and any(export.handed_in_version for export in preview.summary.exports_emptied):
            require_confirmation("Remove files that were handed in to Bufdir?")
            confirm_handed_in = True
    confirmation = RemovalConfirmation.HANDED_IN if confirm_handed_in else None
    with _open_erasure_service(settings) as service, _show_progress() as report_progress:
        try:
            report = service.erase(person, report_progress, confirmation)
        except HandedInError as error:
            raise StafettError(f"{error} Use --confirm-handed-in to erase the person all the same.") from None
        report_progress("Vacuuming the erased tables", 0, 1)
        _vacuum_erased_tables(settings)
    _print_report(report.model_copy(update={"remaining_copies": _list_remaining_copies(data_dir)}), as_json)


def _person_from_options(org: str, mentor: UUID | None, user: UUID | None) -> "Person":
    from stafett.domain.erasure import Person, PersonKind

    match mentor, user:
        case UUID() as person_id, None:
            return Person(kind=PersonKind.MENTOR, id=person_id, org_id=org)
        case None, UUID() as person_id:
            return Person(kind=PersonKind.USER, id=person_id, org_id=org)
        case _:
            raise typer.BadParameter("specify either --mentor or --user", param_hint="'--mentor' / '--user'")


@contextmanager
def _open_erasure_service(settings: Settings) -> "Iterator[ErasureService]":
    from stafett.database.migrate import ERASURE_ROLE
    from stafett.database.session import Database, Timeouts
    from stafett.erasure.service import ErasureService
    from stafett.storage.files import FileStorage

    url = _require_owner_url(settings)
    with closing(Database(url, pool_size=1, timeouts=Timeouts.COMMAND_LINE, role=ERASURE_ROLE)) as database:
        yield ErasureService(database, FileStorage(settings.s3))


def _vacuum_erased_tables(settings: Settings) -> None:
    from stafett.erasure.service import vacuum_erased_tables

    if not vacuum_erased_tables(_require_owner_url(settings)):
        print_lines("stafett: PostgreSQL was not vacuumed; run VACUUM by hand (docs/operations.md).", err=True)


def _list_remaining_copies(data_dir: Path | None) -> "tuple[RemainingCopy, ...]":
    """List the copies, with the command for the volumes of this development stack, if it is one."""
    from stafett.erasure.remaining_copies import format_weed_shell, list_remaining_copies

    if data_dir is None:
        return list_remaining_copies()
    from stafett.devstack.s3 import load_shell_address

    folder, weed, master_port, grpc_port = load_shell_address(data_dir)
    return list_remaining_copies(format_weed_shell(folder, weed, master_port, grpc_port))


def _require_owner_url(settings: Settings) -> str:
    return require_setting(settings.database.owner_url, "STAFETT_DATABASE__OWNER_URL")


@contextmanager
def _show_progress() -> "Iterator[ErasureProgressCallback]":
    with make_progress_bar("{task.description}", BarColumn(), MofNCompleteColumn()) as progress:
        task = progress.add_task("", total=None)
        yield lambda step, done, total: progress.update(task, description=step, completed=done, total=total or None)


def _print_report(report: "ErasureReport", as_json: bool) -> None:
    if as_json:
        print_json(report.model_dump(mode="json"))
    else:
        _print_summary(make_console(), report)


def _print_summary(console: "Console", report: "ErasureReport") -> None:
    console.print(_format_headline(report))
    table = make_table("result", "count")
    for name, count in report.summary.counts.items():
        table.add_row(_COUNT_LABELS[name], str(count))
    console.print(table)
    for line in _format_details(report):
        console.print(line, soft_wrap=True, markup=False)


def _format_details(report: "ErasureReport") -> "Iterator[str]":
    summary = report.summary
    for export in summary.exports_emptied:
        report_id = f", report {export.report_id}" if export.report_id else ""
        handed_in = f", version {export.handed_in_version}, handed in to Bufdir" if export.handed_in_version else ""
        yield f"files removed: export {export.id}{report_id}{handed_in}"
    yield from (f"to review: activity {activity_id}" for activity_id in summary.activities_to_review)
    yield from (f"to review: export {export_id}" for export_id in summary.exports_to_review)
    yield from (f"to review: batch {batch_id}" for batch_id in summary.batches_to_review)
    yield from (f"to review: re-export {reexport_id}" for reexport_id in summary.reexports_to_review)
    yield from (f"to review: report {report_id}" for report_id in summary.reports_to_review)
    yield from (f"to review: webhook {webhook_id}" for webhook_id in summary.webhooks_to_review)
    yield from (f"to review: mapping document {mapping_id}" for mapping_id in summary.mappings_to_review)
    yield from (f"to review: peer mentor {mentor_id}" for mentor_id in summary.mentors_to_review)
    yield from (f"still running: export {export_id}" for export_id in report.running_export_ids)
    if report.account_retained_for:
        yield f"The account is retained, because it is also a member of {', '.join(report.account_retained_for)}."
    if report.remaining_copies:
        yield "This command cannot remove:"
    yield from (f"- {copy.place}\n  removed by: {copy.removed_by}" for copy in report.remaining_copies)


def _format_headline(report: "ErasureReport") -> str:
    person = _format_person(report.person)
    if report.dry_run:
        return f"{person}: nothing is changed. Totals of an erasure, including earlier ones:"
    if report.already_erased:
        return f"{person} was already erased at {report.finished_at:%Y-%m-%dT%H:%M:%SZ}; nothing more to erase."
    return f"{person} is erased."


def _format_person(person: "Person", name: str | None = None) -> str:
    return f"{person.kind.capitalize()} {person.id} {f'({name}) ' if name else ''}of {person.org_id}"
