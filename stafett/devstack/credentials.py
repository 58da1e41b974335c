"""Passwords and keys of one data folder, made once and kept."""

import secrets

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from stafett.devstack.data_folder import DataFolder, write_whole
from stafett.devstack.errors import DevStackError, folder_faults


class Credentials(BaseModel):
    """Hexadecimal throughout, so that nothing needs quoting in a URL."""

    model_config = ConfigDict(frozen=True)

    postgres: str = Field(default_factory=lambda: secrets.token_hex(16))
    stafett_api: str = Field(default_factory=lambda: secrets.token_hex(16))
    stafett_worker: str = Field(default_factory=lambda: secrets.token_hex(16))
    stafett_maintenance: str = Field(default_factory=lambda: secrets.token_hex(16))
    s3_access_key: str = Field(default_factory=lambda: secrets.token_hex(10).upper())
    s3_secret_key: str = Field(default_factory=lambda: secrets.token_hex(20))


def credentials_of(folder: DataFolder) -> Credentials:
    """Read them, or make them if the folder is new."""
    if not folder.secrets.exists() and not folder.postgres.exists():
        made = Credentials()
        write_whole(folder.secrets, made.model_dump_json(indent=2))
        return made
    try:
        with folder_faults(folder.secrets):
            text = folder.secrets.read_text()
        kept = Credentials.model_validate_json(text)
    except (DevStackError, ValidationError):
        kept = None
    if kept is None or kept.model_fields_set != set(Credentials.model_fields):
        raise DevStackError(
            f"{folder.secrets} is missing or damaged, and without it the data beside it stays closed; "
            f"restore the file or choose another --data-dir."
        )
    return kept
