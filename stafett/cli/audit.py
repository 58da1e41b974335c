"""``stafett audit``: verify the audit trail and sign its checkpoints."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn

from stafett.cli import audit_list
from stafett.cli.jobs import print_result
from stafett.cli.local_settings import load_settings
from stafett.cli.options import AllOrgsOption, DataDirOption, JsonOption
from stafett.cli.terminal import make_progress_bar, print_json, print_lines, require_confirmation
from stafett.domain.errors import SettingsError, StafettError
from stafett.settings import Settings, require_setting

if TYPE_CHECKING:
    from stafett.audit.checkpoint import RestoreDeclaration
    from stafett.audit.restores import RestoreDeclarer
    from stafett.audit.verification import AuditVerifier, ChainVerification
    from stafett.database.session import Database

app = typer.Typer(name="audit", help="Read, verify and sign the audit trail.", no_args_is_help=True)

EXIT_TAMPERED, EXIT_NOT_CHECKED = 1, 4
_NO_SIGNING_KEY = "There is no signing key: STAFETT_AUDIT__SIGNING_KEY is not set."
_VERDICT_BY_EXIT_CODE = {0: "whole", EXIT_TAMPERED: "tampered", EXIT_NOT_CHECKED: "not_checked"}
app.command(name="list", help=audit_list.HELP)(audit_list.list_events)


@app.command()
def verify(org: AllOrgsOption = None, data_dir: DataDirOption = None, as_json: JsonOption = False) -> None:
    """Verify the hash chain of the audit trail and compare it with the signed checkpoints.

    Exit codes: 0 intact, 1 tampered with, 2 usage error, 4 verification is incomplete.
    """
    with _exit_not_checked_on_error():
        settings = load_settings(data_dir)
        with closing(_open_maintenance_database(settings)) as database:
            verifications = _verify_chains(_create_verifier(settings, database), org)
    code = _exit_code_for(verifications)
    if as_json:
        chains = [chain.model_dump(mode="json") for chain in verifications]
        print_json({"verdict": _VERDICT_BY_EXIT_CODE[code], "organisations": chains})
    else:
        print_lines(*(line for chain in verifications for line in _format_chain(chain)))
    if code:
        raise typer.Exit(code)


@app.command()
def checkpoint(org: AllOrgsOption = None, data_dir: DataDirOption = None, as_json: JsonOption = False) -> None:
    """Verify what each chain has gained since its last checkpoint, and sign a checkpoint of it if it is intact.

    Events before the last checkpoint are not verified again; `stafett audit verify` verifies whole chains. Use it, for
    example, before a restore. No worker is needed.

    Exit codes: 0 success, 1 a chain is broken and was not signed, 2 usage error, 4 checkpoints could not be signed.
    """
    with _exit_not_checked_on_error():
        from stafett.audit.checkpointing import create_checkpointer

        settings = load_settings(data_dir)
        with closing(_open_maintenance_database(settings)) as database:
            checkpointer = create_checkpointer(settings, database)
            if checkpointer is None:
                raise SettingsError(_NO_SIGNING_KEY)
            _require_organisation(_create_verifier(settings, database).list_organisations(), org)
            report = checkpointer(None if org is None else [org])
    lines = [f"{record.org_id}: BROKEN. {record.message}" for record in report.broken_records]
    lines.append(f"Checkpoints signed: {report.written}. Unchanged chains: {report.unchanged}.")
    print_result(report.model_dump(mode="json"), as_json, *lines)
    if report.broken_records:
        raise typer.Exit(EXIT_TAMPERED)


@app.command()
def declare_restore(
    org: AllOrgsOption = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not prompt for confirmation.")] = False,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Sign a statement that a restore of PostgreSQL has lost events, so that the chains are signed again.

    Verification then reports the lost events as a declared restore. A chain that was changed otherwise is rejected.

    Exit codes: 0 declared, or no event is lost; 1 not explained by a restore; 2 usage error; 4 not everything was read.
    """
    with _exit_not_checked_on_error():
        from stafett.audit.restores import create_restore_declarer

        settings = load_settings(data_dir)
        with closing(_open_maintenance_database(settings)) as database:
            declarer = create_restore_declarer(settings, database)
            if declarer is None:
                raise SettingsError(_NO_SIGNING_KEY)
            verifier = _create_verifier(settings, database)
            _require_organisation(verifier.list_organisations(), org)
            declarations = _find_declarations(declarer, verifier, org)
            _confirm_declarations(declarations, yes=yes)
            restores = [declarer.declare(declaration) for declaration in declarations]
    lines = [restore.message for restore in restores] or ["No signed event is lost."]
    print_result({"restores": [restore.model_dump(mode="json") for restore in restores]}, as_json, *lines)


def _find_declarations(
    declarer: "RestoreDeclarer", verifier: "AuditVerifier", org: str | None
) -> "list[RestoreDeclaration]":
    """Find what there is to declare, for all organisations before the first one is signed."""
    from stafett.domain.errors import InvalidStateError

    try:
        found = [
            declarer.find_lost_events(org_id) for org_id in (verifier.list_organisations() if org is None else [org])
        ]
    except InvalidStateError as error:
        print_lines(f"stafett: {error}", err=True)
        raise typer.Exit(EXIT_TAMPERED) from None
    return [declaration for declaration in found if declaration is not None]


def _confirm_declarations(declarations: "list[RestoreDeclaration]", *, yes: bool) -> None:
    if not declarations or yes:
        return
    for declaration in declarations:
        lost = f"{declaration.seq + 1} to {declaration.lost_to}"
        print_lines(
            f"{declaration.org_id}: signed events {lost} are lost; the chain continues after event {declaration.seq}.",
            err=True,
        )
    require_confirmation("Sign that a restore has lost these events?")


def _verify_chains(verifier: "AuditVerifier", org: str | None) -> "list[ChainVerification]":
    org_ids = verifier.list_organisations()
    verifications = [_verify_with_progress(verifier, org_id) for org_id in (org_ids if org is None else [org])]
    if verifications and verifications[0].unchecked is None:
        _require_organisation(org_ids, org)
    return verifications


def _require_organisation(org_ids: list[str], org: str | None) -> None:
    if org is not None and org not in org_ids:
        raise typer.BadParameter(f"there is no organisation {org} and no checkpoint of it", param_hint="'--org'")


def _verify_with_progress(verifier: "AuditVerifier", org_id: str) -> "ChainVerification":
    with make_progress_bar("{task.description}", BarColumn(), MofNCompleteColumn()) as progress:
        task = progress.add_task(f"Verifying {org_id}")
        return verifier.verify_chain(org_id, lambda done, total: progress.update(task, completed=done, total=total))


def _exit_code_for(chains: "list[ChainVerification]") -> int:
    if any(chain.broken for chain in chains):
        return EXIT_TAMPERED
    return EXIT_NOT_CHECKED if any(chain.unchecked for chain in chains) else 0


def _format_chain(chain: "ChainVerification") -> list[str]:
    verdict = (
        f"BROKEN. {chain.broken.message}" if chain.broken else "hash chain intact." if chain.unchecked else "intact."
    )
    events = f"{chain.events} events, last seq {chain.last_seq}" if chain.events else "no events"
    line = f"{chain.org_id}: {verdict} {events}; {_format_checkpoints(chain)}"
    return [line, *(restore.message for restore in chain.restores)]


def _format_checkpoints(chain: "ChainVerification") -> str:
    if chain.unchecked:
        return f"checkpoints not verified: {chain.unchecked}"
    if not chain.checkpoints:
        return "no checkpoints yet"
    count = f"{chain.checkpoints} checkpoint{'' if chain.checkpoints == 1 else 's'}"
    newest = chain.newest_checkpoint_at
    return f"{count}, newest {newest:%Y-%m-%dT%H:%M:%SZ}" if newest else f"{count}, none of them valid"


def _create_verifier(settings: Settings, database: "Database") -> "AuditVerifier":
    from stafett.audit.verification import create_audit_verifier

    return create_audit_verifier(settings, database)


def _open_maintenance_database(settings: Settings) -> "Database":
    from stafett.database.maintenance import MaintenanceDatabase
    from stafett.database.session import Timeouts

    url = require_setting(settings.database.maintenance_url, "STAFETT_DATABASE__MAINTENANCE_URL")
    pooling = settings.database.transaction_pooling
    return MaintenanceDatabase(url, pool_size=1, timeouts=Timeouts.COMMAND_LINE, transaction_pooling=pooling)


@contextmanager
def _exit_not_checked_on_error() -> Iterator[None]:
    """Exit with code 4 on an error, so that an unavailable server is not mistaken for tampering."""
    import psycopg
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except StafettError as error:
        message = str(error)
    except (psycopg.Error, SQLAlchemyError) as error:
        message = f"The audit trail cannot be read from PostgreSQL ({type(error).__name__})."
    else:
        return
    print_lines(f"stafett: {message}", err=True)
    raise typer.Exit(EXIT_NOT_CHECKED)
