import json
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


ISSUER: dict[str, object] = {
    "url": "https://id.nhf.example/realms/a",
    "client_id": "stafett",
    "client_secret": "hemmelig",
    "label": "NHF",
    "organisations": ["nhf"],
}
ORIGIN = "https://stafett.example"


def set_sign_in(monkeypatch: pytest.MonkeyPatch, public_url: str, issuer: dict[str, object]) -> None:
    monkeypatch.setenv("STAFETT_SIGN_IN__PUBLIC_URL", public_url)
    monkeypatch.setenv("STAFETT_SIGN_IN__ISSUERS", json.dumps({"nhf": issuer}))


def test_issuers_are_loaded_from_json(monkeypatch: pytest.MonkeyPatch) -> None:
    set_sign_in(monkeypatch, ORIGIN, ISSUER)
    settings = Settings.load().sign_in
    assert settings.issuers["nhf"].url == ISSUER["url"]
    assert settings.issuers["nhf"].organisations == frozenset({"nhf"})
    assert "hemmelig" not in repr(settings)


@pytest.mark.parametrize(
    ("public_url", "changes"),
    [
        ("", {}),
        ("http://stafett.example", {}),
        (f"{ORIGIN}/console", {}),
        (ORIGIN, {"url": "http://id.nhf.example"}),
        (ORIGIN, {"url": "https://id.nhf.example?x=y"}),
        (ORIGIN, {"url": "id.nhf.example"}),
        (ORIGIN, {"organisations": ...}),
        (ORIGIN, {"organisations": "nhf"}),
        (ORIGIN, {"client_secret": ""}),
        (ORIGIN, {"client_secret": ...}),
    ],
    ids=str,
)
def test_incomplete_or_insecure_sign_in_is_rejected(
    monkeypatch: pytest.MonkeyPatch, public_url: str, changes: dict[str, object]
) -> None:
    issuer = {name: value for name, value in (ISSUER | changes).items() if value is not ...}
    set_sign_in(monkeypatch, public_url, issuer)
    with pytest.raises(SettingsError, match="STAFETT_SIGN_IN") as error:
        Settings.load()
    assert "hemmelig" not in str(error.value)


@pytest.mark.parametrize("issuers", ["", "{}"])
def test_public_url_without_issuers_is_rejected(monkeypatch: pytest.MonkeyPatch, issuers: str) -> None:
    monkeypatch.setenv("STAFETT_SIGN_IN__PUBLIC_URL", ORIGIN)
    monkeypatch.setenv("STAFETT_SIGN_IN__ISSUERS", issuers)
    with pytest.raises(SettingsError, match="PUBLIC_URL and ISSUERS must be set together"):
        Settings.load()


def test_setting_that_is_no_json_is_rejected_without_its_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAFETT_SIGN_IN__ISSUERS", '{"client_secret": "hemmelig"')
    with pytest.raises(SettingsError, match="JSON") as error:
        Settings.load()
    assert "hemmelig" not in str(error.value)


def test_api_behind_a_pooler_needs_a_url_to_listen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAFETT_DATABASE__TRANSACTION_POOLING", "true")
    assert Settings.load().database.transaction_pooling  # a worker does not listen
    monkeypatch.setenv("STAFETT_DATABASE__API_URL", "postgresql://stafett_api:hemmelig@pgbouncer:6432/stafett")
    with pytest.raises(SettingsError, match="requires LISTEN_URL") as error:
        Settings.load()
    assert "hemmelig" not in str(error.value)
    monkeypatch.setenv("STAFETT_DATABASE__LISTEN_URL", "postgresql://stafett_api:hemmelig@db/stafett")
    assert require_setting(Settings.load().database.listen_url, "X").endswith("@db/stafett")


def test_loopback_needs_no_https(monkeypatch: pytest.MonkeyPatch) -> None:
    set_sign_in(monkeypatch, "http://127.0.0.1:8000", ISSUER | {"url": "http://localhost:9000"})
    assert str(Settings.load().sign_in.public_url) == "http://127.0.0.1:8000/"


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
