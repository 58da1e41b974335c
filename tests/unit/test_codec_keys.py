"""The setting that names the keys: every fault in it is told, none of it repeated."""

import base64

import pytest

from stafett.domain.codec_keys import parse_codec_keys
from stafett.domain.errors import SettingsError
from stafett.settings import Settings

FIRST, SECOND = (base64.b64encode(bytes([number]) * 32).decode() for number in (1, 2))


def test_the_keys_keep_their_order_and_their_names() -> None:
    keys = parse_codec_keys(f"2027:{FIRST}, 2026.b_c-d:{SECOND}")
    assert [(key.id, key.secret) for key in keys] == [("2027", b"\1" * 32), ("2026.b_c-d", b"\2" * 32)]


@pytest.mark.parametrize(
    "written",
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
def test_keys_that_are_not_sound_are_refused_in_a_sentence_that_repeats_nothing(
    monkeypatch: pytest.MonkeyPatch, written: str
) -> None:
    monkeypatch.setenv("STAFETT_TEMPORAL__CODEC_KEYS", written)
    with pytest.raises(SettingsError) as told:
        Settings.load()
    assert "STAFETT_TEMPORAL__CODEC_KEYS" in str(told.value)
    assert "openssl rand -base64 32" in str(told.value)
    assert all(part not in str(told.value) for part in (FIRST, SECOND, "hemmelig", "x" * 65))


def test_keys_do_not_show_when_settings_or_keys_are_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAFETT_TEMPORAL__CODEC_KEYS", f"2027:{FIRST}")
    assert FIRST not in repr(Settings.load())
    assert repr(b"\1" * 32) not in repr(parse_codec_keys(f"2027:{FIRST}"))


def test_no_keys_are_a_setting_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAFETT_TEMPORAL__CODEC_KEYS", "")
    assert Settings.load().temporal.codec_keys is None


@pytest.mark.parametrize(
    "written", ["https://ui.example/path", "https://kari@ui.example", "https://ui.example?a=b", "*"]
)
def test_an_origin_is_an_origin_and_nothing_more(monkeypatch: pytest.MonkeyPatch, written: str) -> None:
    monkeypatch.setenv("STAFETT_API__WEB_UI_ORIGIN", written)
    with pytest.raises(SettingsError, match="STAFETT_API__WEB_UI_ORIGIN"):
        Settings.load()
