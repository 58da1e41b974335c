"""Generator of the command reference: ``python -m stafett.cli.reference > docs/commands.md``."""

from collections.abc import Iterator
from typing import Any

from stafett.cli.app import build_program, walk_commands

_HEADER = """# Commands

All commands and options of `stafett`, generated from the program itself:
`python -m stafett.cli.reference > docs/commands.md`.
"""


def render_reference() -> str:
    """Render every command with its arguments and options in Markdown."""
    return "\n".join([_HEADER, *_render_commands(build_program(), "stafett")])


def _render_commands(root_command: Any, name: str) -> Iterator[str]:
    for full_name, command in walk_commands(root_command, name):
        is_group = hasattr(command, "commands")
        yield f"{'##' if is_group else '###'} `{' '.join([full_name, *_usage_arguments(command)])}`\n"
        yield f"{_to_paragraph(command.help)}\n"
        if rows := [
            _render_parameter_row(parameter) for parameter in command.params if not _is_global_option(parameter)
        ]:
            yield "| | |\n| --- | --- |"
            yield "\n".join(rows) + "\n"
        if command.epilog:
            yield f"{_to_single_line(command.epilog)}\n"


def _usage_arguments(command: Any) -> Iterator[str]:
    for parameter in command.params:
        if parameter.param_type_name == "argument":
            name = parameter.make_metavar(None) if parameter.metavar is None else parameter.metavar
            yield name if parameter.required else f"[{name}]"
    if hasattr(command, "commands"):
        yield "COMMAND"


def _render_parameter_row(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        name = parameter.metavar or parameter.name.upper()
    else:
        name = ", ".join([*parameter.opts, *parameter.secondary_opts])
    notes = [_to_single_line(getattr(parameter, "help", None))]
    if parameter.required and parameter.param_type_name == "option":
        notes.append("Required.")
    if parameter.default not in {None, False, ""} and not callable(parameter.default):
        notes.append(f"Default: `{parameter.default}`.")
    if parameter.envvar:
        notes.append(f"Also `{parameter.envvar}`.")
    return f"| `{name}` | {' '.join(note for note in notes if note)} |"


def _is_global_option(parameter: Any) -> bool:
    return {"--help", "--install-completion", "--show-completion"} & set(parameter.opts) != set()


def _to_paragraph(text: str | None) -> str:
    """Render the text on one line, and the items of a list on theirs."""
    paragraph, *items = (text or "").split("\n- ")
    return "\n".join(
        [_to_single_line(paragraph), *([""] if items else ()), *(f"- {_to_single_line(i)}" for i in items)]
    )


def _to_single_line(text: str | None) -> str:
    return " ".join((text or "").replace("|", "\\|").split())


if __name__ == "__main__":
    print(render_reference(), end="")  # noqa: T201 - the output is redirected to a file
