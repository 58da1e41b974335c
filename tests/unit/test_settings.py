import subprocess
import sys
from pathlib import Path

import pytest

from stafett.domain.errors import SettingsError
from stafett.settings import Settings, require_setting


def test_every_setting_is_found_under_its_own_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAFETT_S3__BUCKET", "rapporter")
    monkeypatch.setenv("STAFETT_DATABASE__API_URL", "postgresql://stafett_api:hemmelig@db/stafett")
    settings = Settings.load()
    assert settings.s3.bucket == "rapporter"
    assert require_setting(settings.database.api_url, "X") == "postgresql://stafett_api:hemmelig@db/stafett"


def test_secrets_do_not_show_when_settings_are_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAFETT_S3__SECRET_KEY", "hemmelig")
    monkeypatch.setenv("STAFETT_DATABASE__OWNER_URL", "postgresql://o:hemmelig@db/stafett")
    assert "hemmelig" not in repr(Settings.load())


def test_bad_settings_are_named_without_their_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAFETT_API__PORT", "hemmelig")
    monkeypatch.setenv("STAFETT_LOG__LEVEL", "LOUD")
    with pytest.raises(SettingsError) as told:
        Settings.load()
    assert "STAFETT_API__PORT" in str(told.value)
    assert "STAFETT_LOG__LEVEL" in str(told.value)
    assert "hemmelig" not in str(told.value)


def test_a_url_that_is_missing_is_asked_for_by_its_name() -> None:
    with pytest.raises(SettingsError, match="STAFETT_DATABASE__API_URL is not set"):
        require_setting(None, "STAFETT_DATABASE__API_URL")


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ({"HOST": "mail.example"}, "SENDER"),
        ({"HOST": "mail.example", "SENDER": "nobody", "PUBLIC_URL": "https://s.example"}, "SENDER"),
        ({"HOST": "mail.example", "SENDER": "s@s.example"}, "PUBLIC_URL"),
        ({"USER": "stafett"}, "PASSWORD"),
    ],
    ids=str,
)
def test_mail_is_configured_whole_or_not_at_all(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], missing: str
) -> None:
    for name, value in given.items():
        monkeypatch.setenv(f"STAFETT_MAIL__{name}", value)
    with pytest.raises(SettingsError, match=missing):
        Settings.load()


def test_nobody_is_written_to_unless_a_mail_server_is_named() -> None:
    assert Settings().mail.host is None
    assert Settings().webhooks.allow_private_networks is False


def test_a_checkout_that_was_never_set_up_says_so(project: Path, tmp_path: Path) -> None:
    """A bare interpreter, with none of our packages to be found: as in a fresh clone without `make setup`."""
    bare = [
        sys.executable,
        "-I",
        "-S",
        "-c",
        "import sys; sys.path.insert(0, sys.argv[1]); from stafett.cli import run; run()",
    ]
    told = subprocess.run([*bare, str(project)], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert told.returncode == 1
    assert told.stderr.strip().endswith("is not installed here; run `make setup`.")
    assert len(told.stderr.splitlines()) == 1
