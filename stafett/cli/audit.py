"""``stafett audit``: whether the audit trail is what was written."""

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn

from stafett.cli.local_settings import load_settings
from stafett.cli.options import DataDirOption, JsonOption, validate_org_id
from stafett.cli.terminal import make_progress_bar
from stafett.domain.errors import SettingsError, StafettError
from stafett.settings import Settings, require_setting

if TYPE_CHECKING:
    from stafett.audit.verification import AuditVerifier, ChainVerification
    from stafett.database.session import Database

app = typer.Typer(name="audit", help="Verify and sign the audit trail.", no_args_is_help=True)

EXIT_TAMPERED, EXIT_NOT_CHECKED = 1, 4
_VERDICT_BY_EXIT_CODE = {0: "whole", EXIT_TAMPERED: "tampered", EXIT_NOT_CHECKED: "not_checked"}
OrgFilterOption = Annotated[str | None, typer.Option("--org", help="This organisation alone; else every one.")]


@app.command()
def verify(org: OrgFilterOption = None, data_dir: DataDirOption = None, as_json: JsonOption = False) -> None:
    """Hold the audit trail against itself and against its checkpoints.

    Exit codes: 0 it is whole, 1 it was tampered with, 2 asked wrongly, 4 not everything could be checked.
    """
    validate_org_id(org)
    with _exit_not_checked_on_error():
        from stafett.audit.verification import create_audit_verifier

        settings = load_settings(data_dir)
        with closing(_open_maintenance_database(settings)) as database:
            found = _verify_chains(create_audit_verifier(settings, database), org)
    code = _exit_code_for(found)
    if as_json:
        chains = [chain.model_dump(mode="json") for chain in found]
        typer.echo(json.dumps({"verdict": _VERDICT_BY_EXIT_CODE[code], "organisations": chains}, ensure_ascii=False))
    else:
        typer.echo("\n".join(map(_format_chain, found)))
    if code:
        raise typer.Exit(code)


@app.command()
def checkpoint(org: OrgFilterOption = None, data_dir: DataDirOption = None, as_json: JsonOption = False) -> None:
    """Sign now what has grown since its last checkpoint, such as before a restore; no worker is needed for it.

    Exit codes: 0 done, 1 a chain is broken and was not signed, 2 asked wrongly, 4 it could not be done.
    """
    validate_org_id(org)
    with _exit_not_checked_on_error():
        from stafett.audit.checkpointing import create_checkpointer

        settings = load_settings(data_dir)
        with closing(_open_maintenance_database(settings)) as database:
            sign = create_checkpointer(settings, database)
            if sign is None:
                raise SettingsError("There is no key to sign with: STAFETT_AUDIT__SIGNING_KEY is not set.")
            report = sign(None if org is None else [org])
    said = [f"{record.org_id}: BROKEN. {record.message}" for record in report.broken_records]
    said.append(f"Signed: {report.written}. Not grown since the last time: {report.unchanged}.")
    typer.echo(report.model_dump_json() if as_json else "\n".join(said))
    if report.broken_records:
        raise typer.Exit(EXIT_TAMPERED)


def _verify_chains(verifier: "AuditVerifier", org: str | None) -> "list[ChainVerification]":
    known = verifier.list_organisations()
    found = [_verify_with_progress(verifier, org_id) for org_id in (known if org is None else [org])]
    if org is not None and org not in known and found[0].unchecked is None:
        raise typer.BadParameter(f"there is no organisation {org}, and no checkpoint of one")
    return found


def _verify_with_progress(verifier: "AuditVerifier", org_id: str) -> "ChainVerification":
    with make_progress_bar("{task.description}", BarColumn(), MofNCompleteColumn()) as shown:
        task = shown.add_task(f"Verifying {org_id}")
        return verifier.verify_chain(org_id, lambda done, total: shown.update(task, completed=done, total=total))


def _exit_code_for(chains: "list[ChainVerification]") -> int:
    if any(chain.broken for chain in chains):
        return EXIT_TAMPERED
    return EXIT_NOT_CHECKED if any(chain.unchecked for chain in chains) else 0


def _format_chain(chain: "ChainVerification") -> str:
    how = f"BROKEN. {chain.broken.message}" if chain.broken else "whole in itself." if chain.unchecked else "whole."
    events = f"{chain.events} events, the last is {chain.last_seq}" if chain.events else "no events"
    return f"{chain.org_id}: {how} {events}; {_format_checkpoints(chain)}"


def _format_checkpoints(chain: "ChainVerification") -> str:
    if chain.unchecked:
        return f"not held against checkpoints: {chain.unchecked}"
    if not chain.checkpoints:
        return "no checkpoints yet"
    count = f"{chain.checkpoints} checkpoint{'' if chain.checkpoints == 1 else 's'}"
    newest = chain.newest_checkpoint_at
    return f"{count}, the newest of {newest:%Y-%m-%dT%H:%M:%SZ}" if newest else f"{count}, none of them ours"


def _open_maintenance_database(settings: Settings) -> "Database":
    from stafett.database.session import Database

    return Database(
        require_setting(settings.database.maintenance_url, "STAFETT_DATABASE__MAINTENANCE_URL"), pool_size=1
    )


@contextmanager
def _exit_not_checked_on_error() -> Iterator[None]:
    """Whoever reads the exit code must not take a server that is away for somebody who tampers."""
    import psycopg
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except StafettError as error:
        sentence = str(error)
    except (psycopg.Error, SQLAlchemyError) as error:
        sentence = f"PostgreSQL does not show the audit trail ({type(error).__name__})."
    else:
        return
    typer.echo(f"stafett: {sentence}", err=True)
    raise typer.Exit(EXIT_NOT_CHECKED)
