"""Whose token a command uses: the environment's, or that of a user of a development stack."""

import os
from contextlib import suppress
from pathlib import Path

from stafett.cli.dev_data import issue_development_token
from stafett.domain.errors import SettingsError

OPERATOR = "operator@stafett.example"


def read_token() -> str | None:
    """Read the token from the environment, or from a file that another program refreshes."""
    if token := os.environ.get("STAFETT_TOKEN"):
        return token
    if not (path := os.environ.get("STAFETT_TOKEN_FILE")):
        return None
    try:
        return Path(path).expanduser().read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        raise SettingsError("STAFETT_TOKEN_FILE does not name a readable file with a token.") from None


def is_operator_token(token: str) -> bool:
    """Return whether the token names no organisation, as those of operators; an API key is no such token."""
    import jwt

    with suppress(jwt.PyJWTError):
        return jwt.decode(token, options={"verify_signature": False}).get("org") is None
    return False


def issue_token(data_dir: Path, user: str, org: str | None) -> str:
    """Issue a token to a user of a development stack."""
    role = user.partition("@")[0]
    return issue_development_token(data_dir, user, org or org_id_from_email(user), role)


def org_id_from_email(email: str) -> str | None:
    """Derive the organisation from a development user's address; the operator belongs to none."""
    org = email.partition("@")[2].removesuffix(".example")
    return None if org == "stafett" else org
