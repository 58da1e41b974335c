"""Options and arguments that several commands share: dates in the Norwegian form, files and directories."""

import io
import os
import sys
from pathlib import Path

import pytest
import typer

from stafett.cli.options import choose_data_dir, normalise_instant, normalise_time, read_input
from stafett.domain.errors import StafettError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("31.12.2026", "2026-12-31"),
        ("1.3.2026", "2026-03-01"),
        ("2026-12-31", "2026-12-31"),
        ("2026-12-31T23:00:00Z", "2026-12-31T23:00:00Z"),
    ],
)
def test_date_is_accepted_in_the_norwegian_and_the_iso_form(text: str, value: str) -> None:
    assert normalise_time(text) == value


@pytest.mark.parametrize("text", ["31.11.2026", "1.13.2026", "0.1.2026", "yesterday", ""])
def test_day_outside_the_calendar_is_rejected(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        normalise_time(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("31.12.2026", "2026-12-30T23:00:00+00:00"),
        ("2026-07-01", "2026-06-30T22:00:00+00:00"),
        ("2026-12-31T23:00:00Z", "2026-12-31T23:00:00Z"),
        (None, None),
    ],
)
def test_day_of_an_instant_is_its_start_in_oslo(text: str | None, value: str | None) -> None:
    assert normalise_instant(text) == value


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in [name for name in os.environ if name.startswith("STAFETT_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_data_directory_is_that_of_the_option_the_environment_or_this_folder(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert choose_data_dir(None) is None
    (folder / ".stafett").mkdir()
    assert choose_data_dir(None) is None
    (folder / ".stafett" / "stack.json").touch()
    assert choose_data_dir(None) == Path(".stafett")
    monkeypatch.setenv("STAFETT_DATA_DIR", "elsewhere")
    assert choose_data_dir(None) == Path("elsewhere")
    assert choose_data_dir(Path("here")) == Path("here")


@pytest.mark.parametrize("name", ["STAFETT_API_URL", "STAFETT_DATABASE__OWNER_URL"])
def test_another_installation_in_the_environment_takes_precedence(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (folder / ".stafett").mkdir()
    (folder / ".stafett" / "stack.json").touch()
    monkeypatch.setenv("STAFETT_DATA_DIR", "elsewhere")
    monkeypatch.setenv(name, "https://stafett.example")
    assert choose_data_dir(None) is None


def test_file_is_read_from_its_path_or_from_standard_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mentors.csv").write_bytes(b"Kari")
    assert read_input(tmp_path / "mentors.csv") == b"Kari"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"Ola Nordmann")))
    assert read_input(Path("-"), 3) == b"Ola"
    with pytest.raises(StafettError, match=r"missing\.csv cannot be read: No such file or directory\."):
        read_input(tmp_path / "missing.csv")
