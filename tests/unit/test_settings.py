import subprocess
import sys
from pathlib import Path

import pytest

from stafett.domain.errors import SettingsError
from stafett.settings import Settings, require_setting


def test_settings_are_loaded_from_their_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAFETT_S3__BUCKET", "rapporter")
    monkeypatch.setenv("STAFETT_DATABASE__API_URL", "postgresql://stafett_api:hemmelig@db/stafett")
    settings = Settings.load()
    assert settings.s3.bucket == "rapporter"
    assert require_setting(settings.database.api_url, "X") == "postgresql://stafett_api:hemmelig@db/stafett"


def test_secrets_are_hidden_when_settings_are_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAFETT_S3__SECRET_KEY", "hemmelig")
    monkeypatch.setenv("STAFETT_DATABASE__OWNER_URL", "postgresql://o:hemmelig@db/stafett")
    assert "hemmelig" not in repr(Settings.load())


def test_invalid_settings_are_named_without_their_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAFETT_API__PORT", "hemmelig")
    monkeypatch.setenv("STAFETT_LOG__LEVEL", "LOUD")
    with pytest.raises(SettingsError) as error:
        Settings.load()
    assert "STAFETT_API__PORT" in str(error.value)
    assert "STAFETT_LOG__LEVEL" in str(error.value)
    assert "hemmelig" not in str(error.value)


def test_missing_url_is_reported_by_its_variable() -> None:
    with pytest.raises(SettingsError, match="STAFETT_DATABASE__API_URL is not set"):
        require_setting(None, "STAFETT_DATABASE__API_URL")


@pytest.mark.parametrize(
    ("variables", "missing"),
    [
        ({"HOST": "mail.example"}, "SENDER"),
        ({"HOST": "mail.example", "SENDER": "stafett", "PUBLIC_URL": "https://s.example"}, "SENDER"),
        ({"HOST": "mail.example", "SENDER": "s@s.example"}, "PUBLIC_URL"),
        ({"USER": "stafett"}, "PASSWORD"),
    ],
    ids=str,
)
def test_incomplete_mail_settings_are_rejected(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], missing: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(f"STAFETT_MAIL__{name}", value)
    with pytest.raises(SettingsError, match=missing):
        Settings.load()


def test_mail_and_private_webhook_networks_are_disabled_by_default() -> None:
    assert Settings().mail.host is None
    assert Settings().webhooks.allow_private_networks is False


def test_checkout_without_setup_names_the_setup_command(project: Path, tmp_path: Path) -> None:
    """A bare interpreter that finds no packages, as in a fresh clone without `make setup`."""
    command = [
        sys.executable,
        "-I",
        "-S",
        "-c",
        "import sys; sys.path.insert(0, sys.argv[1]); from stafett.cli import run; run()",
    ]
    result = subprocess.run([*command, str(project)], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert result.returncode == 1
    assert result.stderr.strip().endswith("is not installed here; run `make setup`.")
    assert len(result.stderr.splitlines()) == 1
