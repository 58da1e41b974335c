"""``stafett erase-person``: what the law gives a person the right to, and an organisation has to be able to do."""

from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer
from rich.progress import BarColumn, MofNCompleteColumn

from stafett.cli.local_settings import load_settings
from stafett.cli.options import DataDirOption, JsonOption, OrgOption, validate_org_id
from stafett.cli.terminal import make_console, make_progress_bar, make_table, require_confirmation
from stafett.settings import Settings, require_setting

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

    from stafett.domain.erasure import ErasureReport, Person
    from stafett.erasure.export_scan import ErasureProgressCallback
    from stafett.erasure.service import ErasureService

_COUNT_LABELS = {
    "notes_cleared": "notes cleared",
    "attachments_removed": "attachments removed",
    "exports_emptied": "exports whose files and snapshots were removed",
    "memberships_removed": "memberships removed",
    "emails_given_up": "pending emails given up",
    "activities_to_review": "activities in which others wrote the name",
    "exports_to_review": "exports made of activities in which others wrote the name",
    "batches_to_review": "batches in which others wrote the name",
}


def erase_person(
    org: OrgOption,
    mentor: Annotated[UUID | None, typer.Option("--mentor", metavar="ID", help="A peer mentor.")] = None,
    user: Annotated[UUID | None, typer.Option("--user", metavar="ID", help="Somebody with an account.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be touched, and change nothing.")] = False,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Remove a person from activities, snapshots and files, for good, and say what was touched.

    It works as whoever migrates the database. Interrupted, it goes on when it is run again; done, it is done once.
    """
    person = _person_from_options(org, mentor, user)
    settings = load_settings(data_dir)
    if dry_run or not yes:
        with _open_erasure_service(settings) as erasing, _show_progress() as told:
            found = erasing.dry_run(person, told)
        if dry_run:
            _print_report(found, as_json)
            return
        _print_summary(make_console(stderr=True), found)
        require_confirmation(f"Erase {_format_person(person)} for good?")
    with _open_erasure_service(settings) as erasing, _show_progress() as told:
        report = erasing.erase(person, told)
        told("Clearing what PostgreSQL keeps", 0, 1)
        _vacuum_erased_tables(settings)
    _print_report(report, as_json)


def _person_from_options(org: str, mentor: UUID | None, user: UUID | None) -> "Person":
    from stafett.domain.erasure import Person, PersonKind

    validate_org_id(org)
    match mentor, user:
        case UUID() as person_id, None:
            return Person(kind=PersonKind.MENTOR, id=person_id, org_id=org)
        case None, UUID() as person_id:
            return Person(kind=PersonKind.USER, id=person_id, org_id=org)
        case _:
            raise typer.BadParameter("say whom: either --mentor or --user")


@contextmanager
def _open_erasure_service(settings: Settings) -> "Iterator[ErasureService]":
    from stafett.database.migrate import ERASURE_ROLE
    from stafett.database.session import Database
    from stafett.erasure.service import ErasureService
    from stafett.storage.files import FileStorage

    with closing(Database(_require_owner_url(settings), pool_size=1, role=ERASURE_ROLE)) as database:
        yield ErasureService(database, FileStorage(settings.s3))


def _vacuum_erased_tables(settings: Settings) -> None:
    from stafett.erasure.service import vacuum_erased_tables

    if not vacuum_erased_tables(_require_owner_url(settings)):
        typer.echo("stafett: PostgreSQL was not vacuumed; do it by hand (docs/operations.md).", err=True)


def _require_owner_url(settings: Settings) -> str:
    return require_setting(settings.database.owner_url, "STAFETT_DATABASE__OWNER_URL")


@contextmanager
def _show_progress() -> "Iterator[ErasureProgressCallback]":
    with make_progress_bar("{task.description}", BarColumn(), MofNCompleteColumn()) as shown:
        task = shown.add_task("", total=None)
        yield lambda what, done, total: shown.update(task, description=what, completed=done, total=total or None)


def _print_report(report: "ErasureReport", as_json: bool) -> None:
    if as_json:
        typer.echo(report.model_dump_json())
    else:
        _print_summary(make_console(), report)


def _print_summary(console: "Console", report: "ErasureReport") -> None:
    console.print(_format_headline(report))
    shown = make_table("what", "how many")
    for name, count in report.summary.counts.items():
        shown.add_row(_COUNT_LABELS[name], str(count))
    console.print(shown)
    for line in _format_details(report):
        console.print(line)


def _format_details(report: "ErasureReport") -> "Iterator[str]":
    touched = report.summary
    for export in touched.exports_emptied:
        made = f", report {export.report_id}" if export.report_id else ""
        yield f"files removed: export {export.id}{made}"
    yield from (f"to be looked at: activity {one}" for one in touched.activities_to_review)
    yield from (f"to be looked at: export {one}" for one in touched.exports_to_review)
    yield from (f"to be looked at: batch {one}" for one in touched.batches_to_review)
    yield from (f"to be waited for: export {one} has not ended" for one in report.running_export_ids)
    if report.account_retained_for:
        yield f"The account stays, for it is a member of {', '.join(report.account_retained_for)} too."


def _format_headline(report: "ErasureReport") -> str:
    whom = _format_person(report.person)
    if report.dry_run:
        return f"{whom}: nothing is changed. An erasure touches this, earlier ones included:"
    if report.already_erased:
        return f"{whom} was erased already, {report.finished_at:%Y-%m-%dT%H:%M:%SZ}; there was nothing more to do."
    return f"{whom} is erased."


def _format_person(person: "Person") -> str:
    return f"{person.kind.capitalize()} {person.id} of {person.org_id}"
