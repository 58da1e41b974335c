"""``stafett erase-person``: what the law gives a person the right to, and an organisation has to be able to do."""

from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer
from rich.progress import BarColumn, MofNCompleteColumn

from stafett.cli.local_settings import settings_for
from stafett.cli.options import AsJson, DataDir, Org, require_org_id
from stafett.cli.terminal import bar, console_for, require_yes, table
from stafett.settings import Settings, require

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

    from stafett.domain.erasure import ErasureReport, Person
    from stafett.erasure.export_scan import ErasureProgressCallback
    from stafett.erasure.service import ErasureService

_COUNTS = {
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
    org: Org,
    mentor: Annotated[UUID | None, typer.Option("--mentor", metavar="ID", help="A peer mentor.")] = None,
    user: Annotated[UUID | None, typer.Option("--user", metavar="ID", help="Somebody with an account.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be touched, and change nothing.")] = False,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Remove a person from activities, snapshots and files, for good, and say what was touched.

    It works as whoever migrates the database. Interrupted, it goes on when it is run again; done, it is done once.
    """
    person = _person(org, mentor, user)
    settings = settings_for(data_dir)
    if dry_run or not yes:
        with _erasing(settings) as erasing, _progress() as told:
            found = erasing.dry_run(person, told)
        if dry_run:
            _show(found, as_json)
            return
        _tell(console_for(errors=True), found)
        require_yes(f"Erase {_whom(person)} for good?")
    with _erasing(settings) as erasing, _progress() as told:
        report = erasing.erase(person, told)
        told("Clearing what PostgreSQL keeps", 0, 1)
        _clear_leftovers(settings)
    _show(report, as_json)


def _person(org: str, mentor: UUID | None, user: UUID | None) -> "Person":
    from stafett.domain.erasure import Person, PersonKind

    require_org_id(org)
    match mentor, user:
        case UUID() as person_id, None:
            return Person(kind=PersonKind.MENTOR, id=person_id, org_id=org)
        case None, UUID() as person_id:
            return Person(kind=PersonKind.USER, id=person_id, org_id=org)
        case _:
            raise typer.BadParameter("say whom: either --mentor or --user")


@contextmanager
def _erasing(settings: Settings) -> "Iterator[ErasureService]":
    from stafett.database.migrate import ERASURE_ROLE
    from stafett.database.session import Database
    from stafett.erasure.service import ErasureService
    from stafett.storage.files import FileStorage

    with closing(Database(_owner_url(settings), pool_size=1, role=ERASURE_ROLE)) as database:
        yield ErasureService(database, FileStorage(settings.s3))


def _clear_leftovers(settings: Settings) -> None:
    from stafett.erasure.service import vacuum_erased_tables

    if not vacuum_erased_tables(_owner_url(settings)):
        typer.echo("stafett: PostgreSQL was not vacuumed; do it by hand (docs/operations.md).", err=True)


def _owner_url(settings: Settings) -> str:
    return require(settings.database.owner_url, "STAFETT_DATABASE__OWNER_URL")


@contextmanager
def _progress() -> "Iterator[ErasureProgressCallback]":
    with bar("{task.description}", BarColumn(), MofNCompleteColumn()) as shown:
        task = shown.add_task("", total=None)
        yield lambda what, done, total: shown.update(task, description=what, completed=done, total=total or None)


def _show(report: "ErasureReport", as_json: bool) -> None:
    if as_json:
        typer.echo(report.model_dump_json())
    else:
        _tell(console_for(), report)


def _tell(console: "Console", report: "ErasureReport") -> None:
    console.print(_headline(report))
    shown = table("what", "how many")
    for name, count in report.summary.counts.items():
        shown.add_row(_COUNTS[name], str(count))
    console.print(shown)
    for line in _lines(report):
        console.print(line)


def _lines(report: "ErasureReport") -> "Iterator[str]":
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


def _headline(report: "ErasureReport") -> str:
    whom = _whom(report.person)
    if report.dry_run:
        return f"{whom}: nothing is changed. An erasure touches this, earlier ones included:"
    if report.already_erased:
        return f"{whom} was erased already, {report.finished_at:%Y-%m-%dT%H:%M:%SZ}; there was nothing more to do."
    return f"{whom} is erased."


def _whom(person: "Person") -> str:
    return f"{person.kind.capitalize()} {person.id} of {person.org_id}"
