"""The setting with the codec keys: every fault is reported, and no part of it repeated."""

import base64

import pytest

from stafett.domain.codec_keys import parse_codec_keys
from stafett.domain.errors import SettingsError
from stafett.settings import Settings

FIRST, SECOND = (base64.b64encode(bytes([number]) * 32).decode() for number in (1, 2))


def test_keys_are_parsed_with_their_ids_and_in_order() -> None:
    keys = parse_codec_keys(f"2027:{FIRST}, 2026.b_c-d:{SECOND}")
    assert [(key.id, key.secret) for key in keys] == [("2027", b"\1" * 32), ("2026.b_c-d", b"\2" * 32)]


@pytest.mark.parametrize(
    "value",
    [
        FIRST,
        f":{FIRST}",
        f"2027:{FIRST},",
        f"2027:{FIRST},2027:{SECOND}",
        f"20 27:{FIRST}",
        f"{'x' * 65}:{FIRST}",
        "2027:",
        "2027:hemmelig",
        f"2027:{FIRST[:-1]}",
        f"2027:{base64.b64encode(b'hemmelig' * 2).decode()}",
        f"2027:{FIRST}:{SECOND}",
    ],
)
def test_invalid_keys_are_rejected_without_repeating_them(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("STAFETT_TEMPORAL__CODEC_KEYS", value)
    with pytest.raises(SettingsError) as error:
        Settings.load()
    assert "STAFETT_TEMPORAL__CODEC_KEYS" in str(error.value)
    assert "openssl rand -base64 32" in str(error.value)
    assert all(part not in str(error.value) for part in (FIRST, SECOND, "hemmelig", "x" * 65))


def test_keys_are_hidden_when_settings_or_keys_are_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAFETT_TEMPORAL__CODEC_KEYS", f"2027:{FIRST}")
    assert FIRST not in repr(Settings.load())
    assert repr(b"\1" * 32) not in repr(parse_codec_keys(f"2027:{FIRST}"))


def test_empty_setting_means_no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAFETT_TEMPORAL__CODEC_KEYS", "")
    assert Settings.load().temporal.codec_keys is None


@pytest.mark.parametrize("value", ["https://ui.example/path", "https://kari@ui.example", "https://ui.example?a=b", "*"])
def test_web_ui_origin_with_more_than_an_origin_is_rejected(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("STAFETT_API__WEB_UI_ORIGIN", value)
    with pytest.raises(SettingsError, match="STAFETT_API__WEB_UI_ORIGIN"):
        Settings.load()
