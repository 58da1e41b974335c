"""The Typer application with all commands."""

import inspect
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from stafett.cli import (
    activity,
    api_key,
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
    notification,
    operator,
    organisation,
    preview,
    reexport,
    report,
    services,
    verify,
    webhook,
)
from stafett.cli.examples import EXAMPLES
from stafett.cli.profiles import apply_profile
from stafett.cli.terminal import print_lines
from stafett.version import VERSION

_HELP_OPTIONS = ["-h", "--help"]

app = typer.Typer(
    name="stafett",
    help="Export peer-support activities to Bufdir, re-export past reports and register activities in bulk.",
    epilog="Commands with --org take the organisation from STAFETT_ORG, too; a user of one organisation needs neither."
    " What an operator or a development stack's user changes without --org is reported on standard error.\n\n"
    "Exit codes: 0 success, 1 error, 2 usage error, 3 the job did not succeed, 4 verification is incomplete.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": _HELP_OPTIONS},
)
_PANELS = _JOBS, _PEOPLE, _ADMINISTRATION, _INSTALLATION, _DEVELOPMENT = (
    "Reports and registrations",
    "Mentors and members",
    "Administration of an organisation",
    "Operation of an installation",
    "Development",
)
export.app.command()(verify.verify)
export.app.command()(preview.preview)
for command in (preview.preview, mapping_store.show, mapping_store.add):
    mapping.app.command()(command)
for group, panel in (
    (export.app, _JOBS),
    (report.app, _JOBS),
    (reexport.app, _JOBS),
    (bulk.app, _JOBS),
    (activity.app, _JOBS),
    (notification.app, _JOBS),
    (mentor.app, _PEOPLE),
    (member.app, _PEOPLE),
    (mapping.app, _ADMINISTRATION),
    (webhook.app, _ADMINISTRATION),
    (api_key.app, _ADMINISTRATION),
    (audit.app, _ADMINISTRATION),
    (organisation.app, _INSTALLATION),
    (operator.app, _INSTALLATION),
):
    app.add_typer(group, name=group.info.name, rich_help_panel=panel)
app.command(rich_help_panel=_INSTALLATION)(services.api)
app.command(rich_help_panel=_INSTALLATION)(services.worker)
app.command(rich_help_panel=_INSTALLATION)(services.migrate)
app.command(rich_help_panel=_INSTALLATION)(services.doctor)
app.command(rich_help_panel=_INSTALLATION)(erase_person.erase_person)
app.command(rich_help_panel=_DEVELOPMENT)(services.dev)
app.command(rich_help_panel=_DEVELOPMENT)(demo.demo)
app.command(rich_help_panel=_DEVELOPMENT)(dev_data.seed)
app.command(rich_help_panel=_DEVELOPMENT)(dev_data.token)
app.command(rich_help_panel=_DEVELOPMENT)(services.openapi)


def build_program() -> Any:
    """Build the program with an example in the help of each command, flags without a type, and panels in order."""
    program: Any = typer.main.get_command(app)
    program.commands = dict(sorted(program.commands.items(), key=lambda entry: _PANELS.index(entry[1].rich_help_panel)))
    for name, command in walk_commands(program, "stafett"):
        _hide_types_of_flags(command)
        command.help = _join_lines(command.help)
        example = EXAMPLES.get(name.removeprefix("stafett "))
        if example is not None:
            command.epilog = f"Example: {name} {example}".rstrip()
    return program


def walk_commands(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Yield the command and all its subcommands, each with its full name."""
    yield name, command
    for child_name, child in getattr(command, "commands", {}).items():
        yield from walk_commands(child, f"{name} {child_name}")


def _join_lines(help_text: str) -> str:
    """Join the lines of each paragraph, which Typer does for the first one only; items of a list stay apart."""
    return "\n\n".join(
        paragraph if "\n- " in paragraph else " ".join(paragraph.split())
        for paragraph in inspect.cleandoc(help_text).split("\n\n")
    )


def _hide_types_of_flags(command: Any) -> None:
    context = command.context_class(command, help_option_names=_HELP_OPTIONS)
    for parameter in command.get_params(context):
        if getattr(parameter, "is_bool_flag", False):
            parameter.metavar = ""


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
