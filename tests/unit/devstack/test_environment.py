"""The environment of a development stack's processes: nothing of another installation but the format of the logs."""

import pytest

from stafett.devstack.stack import environment_without_stafett


def test_settings_of_the_logs_stay_and_those_of_an_installation_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAFETT_LOG__FORMAT", "console")
    monkeypatch.setenv("STAFETT_LOG__LEVEL", "DEBUG")
    monkeypatch.setenv("STAFETT_DATABASE__OWNER_URL", "postgresql://elsewhere/stafett")
    monkeypatch.setenv("SOMETHING_ELSE", "1")
    environment = environment_without_stafett()
    assert {name: value for name, value in environment.items() if name.startswith("STAFETT_")} == {
        "STAFETT_LOG__FORMAT": "console",
        "STAFETT_LOG__LEVEL": "DEBUG",
    }
    assert environment["SOMETHING_ELSE"] == "1"
