"""Command reference and connection profiles."""

import os
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stafett.cli import execute
from stafett.cli.app import build_program, walk_commands
from stafett.cli.examples import EXAMPLES
from stafett.cli.profiles import apply_profile, profiles_path
from stafett.cli.reference import render_reference
from stafett.domain.errors import SettingsError

COMMANDS = dict(walk_commands(build_program(), "stafett"))
LEAVES = {name for name, command in COMMANDS.items() if not hasattr(command, "commands")}


def test_command_reference_is_up_to_date(project: Path) -> None:
    document = (project / "docs" / "commands.md").read_text(encoding="utf-8")
    assert document == render_reference(), "python -m stafett.cli.reference > docs/commands.md"


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_and_option_has_a_help_text(name: str) -> None:
    command = COMMANDS[name]
    assert command.help
    assert [parameter.name for parameter in command.params if not getattr(parameter, "help", None)] == []


def test_every_command_has_an_example() -> None:
    assert {f"stafett {name}" for name in EXAMPLES} == LEAVES
    assert all(f"Example: {name}" in COMMANDS[name].epilog for name in LEAVES)


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_example_is_a_valid_command_line(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    COMMANDS[f"stafett {name}"].make_context(name, shlex.split(EXAMPLES[name]))


@pytest.mark.parametrize("name", sorted(LEAVES))
def test_help_shows_choices_and_no_type_of_flags(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert execute([*name.split()[1:], "--help"]) == 0
    text = capsys.readouterr().out
    assert "<bool>" not in text
    if "--format" in _options(COMMANDS[name]):
        assert "<csv|xlsx>" in text


def test_no_paragraph_of_a_help_text_is_broken_where_its_source_is() -> None:
    paragraphs = [each for command in COMMANDS.values() for each in command.help.split("\n\n")]
    assert [each for each in paragraphs if "\n" in each and "\n- " not in each] == []


def test_overview_groups_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    execute(["--help"])
    text = capsys.readouterr().out
    panels = ("Reports and registrations", "Mentors and members", "Administration", "Operation", "Development")
    assert sorted(panels, key=text.index) == list(panels)


def test_every_client_command_with_output_offers_json() -> None:
    without_json = {
        name for name, command in COMMANDS.items() if _is_client_command(command) and "--json" not in _options(command)
    }
    # One prints nothing, one only the token, and one a file.
    assert {name.rpartition(" ")[2] for name in without_json} <= {"delete", "token", "template"}


def _options(command: Any) -> set[str]:
    return {option for parameter in command.params for option in parameter.opts}


def _is_client_command(command: Any) -> bool:
    return "--user" in _options(command)


@pytest.fixture
def profiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for variable in [name for name in os.environ if name.startswith("STAFETT_")]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    path = tmp_path / "stafett" / "profiles.toml"
    path.parent.mkdir()
    yield path
    for variable in ("STAFETT_API_URL", "STAFETT_API__PORT", "STAFETT_TOKEN_FILE"):
        os.environ.pop(variable, None)


def test_environment_overrides_the_variables_of_a_profile(profiles: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    profiles.write_text('[prod]\nSTAFETT_API_URL = "https://stafett.example"\nSTAFETT_API__PORT = 8080\n')
    monkeypatch.setenv("STAFETT_API__PORT", "9090")
    apply_profile("prod")
    assert os.environ["STAFETT_API_URL"] == "https://stafett.example"
    assert os.environ["STAFETT_API__PORT"] == "9090"


def test_path_of_the_profiles_can_be_configured(profiles: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert profiles_path() == profiles
    monkeypatch.setenv("STAFETT_PROFILES", "/etc/stafett.toml")
    assert profiles_path() == Path("/etc/stafett.toml")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "create it with a section"),
        ("[prod", "cannot be read as TOML"),
        ("[test]\n", "it has: test"),
        ("", "it has: none"),
        ("prod = 1", "no profile 'prod'"),
        ('[prod]\nPATH = "elsewhere"\n', "PATH is not a STAFETT_"),
    ],
)
def test_unusable_profile_is_rejected_with_the_reason(profiles: Path, content: str | None, message: str) -> None:
    if content is not None:
        profiles.write_text(content)
    with pytest.raises(SettingsError, match=message):
        apply_profile("prod")
