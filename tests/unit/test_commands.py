"""The commands in writing are the commands in the program; profiles are taken up as they are written."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from stafett.cli.app import app
from stafett.cli.profiles import apply_profile, profiles_path
from stafett.cli.reference import render_reference, walk_commands
from stafett.domain.errors import SettingsError

ALL = dict(walk_commands(typer.main.get_command(app), "stafett"))


def test_the_page_of_commands_is_what_the_program_says(project: Path) -> None:
    written = (project / "docs" / "commands.md").read_text(encoding="utf-8")
    assert written == render_reference(), "python -m stafett.cli.reference > docs/commands.md"


@pytest.mark.parametrize("name", sorted(ALL))
def test_every_command_and_each_of_its_options_says_what_it_is(name: str) -> None:
    command = ALL[name]
    assert command.help
    assert [parameter.name for parameter in command.params if not getattr(parameter, "help", None)] == []


def test_every_command_that_answers_does_so_to_programs_too() -> None:
    without = {name for name, command in ALL.items() if _is_a_client(command) and "--json" not in _options(command)}
    assert {name.rpartition(" ")[2] for name in without} <= {"delete", "token"}  # nothing to say, and nothing but it


def _options(command: Any) -> set[str]:
    return {option for parameter in command.params for option in parameter.opts}


def _is_a_client(command: Any) -> bool:
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


def test_a_profile_is_a_set_of_variables_and_the_environment_has_the_last_word(
    profiles: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    profiles.write_text('[prod]\nSTAFETT_API_URL = "https://stafett.example"\nSTAFETT_API__PORT = 8080\n')
    monkeypatch.setenv("STAFETT_API__PORT", "9090")
    apply_profile("prod")
    assert os.environ["STAFETT_API_URL"] == "https://stafett.example"
    assert os.environ["STAFETT_API__PORT"] == "9090"


def test_profiles_can_be_kept_elsewhere(profiles: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert profiles_path() == profiles
    monkeypatch.setenv("STAFETT_PROFILES", "/etc/stafett.toml")
    assert profiles_path() == Path("/etc/stafett.toml")


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (None, "write one with a section"),
        ("[prod", "cannot be read as TOML"),
        ("[test]\n", "it has: test"),
        ("", "it has: none"),
        ("prod = 1", "no profile 'prod'"),
        ('[prod]\nPATH = "elsewhere"\n', "PATH is no STAFETT_"),
    ],
)
def test_a_profile_that_cannot_be_taken_up_is_said_to_be_so(profiles: Path, written: str | None, said: str) -> None:
    if written is not None:
        profiles.write_text(written)
    with pytest.raises(SettingsError, match=said):
        apply_profile("prod")
