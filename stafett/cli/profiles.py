"""Profiles: named sets of ``STAFETT_*`` variables, for people who look after more than one installation."""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path

from stafett.domain.errors import SettingsError


def profiles_path() -> Path:
    """Where the XDG specification puts such things, unless ``STAFETT_PROFILES`` says another place."""
    if named := os.environ.get("STAFETT_PROFILES"):
        return Path(named)
    home = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(home) / "stafett" / "profiles.toml"


def apply_profile(name: str) -> None:
    """Set what the profile says; what the environment says already has the last word."""
    for variable, value in _read_profile(name).items():
        os.environ.setdefault(variable, value)


def _read_profile(name: str) -> Mapping[str, str]:
    path = profiles_path()
    try:
        profiles = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SettingsError(f"There is no {path}; write one with a section [{name}] of STAFETT_* variables.") from None
    except (OSError, ValueError):  # what is wrong with it may be next to a secret
        raise SettingsError(f"{path} cannot be read as TOML.") from None
    profile = profiles.get(name)
    if not isinstance(profile, dict):
        known = ", ".join(sorted(profiles)) or "none"
        raise SettingsError(f"{path} has no profile {name!r}; it has: {known}.")
    strange = sorted(variable for variable in profile if not variable.startswith("STAFETT_"))
    if strange:
        raise SettingsError(f"{path}, [{name}]: {strange[0]} is no STAFETT_* variable.")
    return {variable: str(value) for variable, value in profile.items()}
