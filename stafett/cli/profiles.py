"""Profiles: named sets of ``STAFETT_*`` variables, for operators of more than one installation."""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path

from stafett.domain.errors import SettingsError


def profiles_path() -> Path:
    """Return the path in ``STAFETT_PROFILES``, or else a file in the XDG configuration directory."""
    if path := os.environ.get("STAFETT_PROFILES"):
        return Path(path)
    config_home = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(config_home) / "stafett" / "profiles.toml"


def apply_profile(name: str) -> None:
    """Set the profile's variables; those that the environment already sets take precedence."""
    for variable, value in _read_profile(name).items():
        os.environ.setdefault(variable, value)


def _read_profile(name: str) -> Mapping[str, str]:
    path = profiles_path()
    try:
        profiles = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SettingsError(
            f"{path} does not exist; create it with a section [{name}] of STAFETT_* variables."
        ) from None
    except (OSError, ValueError):  # the parser's message may quote a secret
        raise SettingsError(f"{path} cannot be read as TOML.") from None
    profile = profiles.get(name)
    if not isinstance(profile, dict):
        known = ", ".join(sorted(profiles)) or "none"
        raise SettingsError(f"{path} has no profile {name!r}; it has: {known}.")
    foreign = sorted(variable for variable in profile if not variable.startswith("STAFETT_"))
    if foreign:
        raise SettingsError(f"{path}, [{name}]: {foreign[0]} is not a STAFETT_* variable.")
    return {variable: str(value) for variable, value in profile.items()}
