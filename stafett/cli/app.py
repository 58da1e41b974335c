"""The Typer application with all commands."""

from typing import Annotated

import typer

from stafett.cli import (
    audit,
    bulk,
    demo,
    dev_data,
    erase_person,
    export,
    mapping,
    mapping_store,
    member,
    mentor,
    operator,
    organisation,
    reexport,
    report,
    services,
    verify,
)
from stafett.cli.profiles import apply_profile
from stafett.cli.terminal import print_lines
from stafett.version import VERSION

app = typer.Typer(
    name="stafett",
    help="Export peer-support activities to Bufdir, re-export past reports and register activities in bulk.",
    epilog="Exit codes: 0 success, 1 error, 2 usage error, 3 the job did not succeed, 4 verification is incomplete.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(services.dev)
app.command()(services.api)
app.command()(services.worker)
app.command()(services.migrate)
app.command()(dev_data.seed)
app.command()(dev_data.token)
app.command()(erase_person.erase_person)
app.command()(services.openapi)
app.command()(services.doctor)
app.command()(demo.demo)
export.app.command()(verify.verify)
app.add_typer(export.app, name="export")
app.add_typer(reexport.app, name="reexport")
app.add_typer(bulk.app, name="bulk")
app.add_typer(report.app, name="report")
app.add_typer(organisation.app, name="organisation")
app.add_typer(operator.app, name="operator")
app.add_typer(member.app, name="member")
app.add_typer(mentor.app, name="mentor")
app.add_typer(audit.app, name="audit")
for command in (mapping_store.preview, mapping_store.show, mapping_store.add):
    mapping.app.command()(command)
app.add_typer(mapping.app, name="mapping")


def _print_version(requested: bool) -> None:
    if requested:
        print_lines(f"stafett {VERSION}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[  # noqa: ARG001 - handled by its callback
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
    profile: Annotated[
        str | None,
        typer.Option(
            "--profile", envvar="STAFETT_PROFILE", help="Section of profiles.toml whose STAFETT_* variables are used."
        ),
    ] = None,
) -> None:
    if profile is not None:
        apply_profile(profile)
