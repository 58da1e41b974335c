"""Passwords and keys of one data folder, created once and stored in it."""

import secrets

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from stafett.devstack.data_folder import DataFolder, write_atomically
from stafett.devstack.errors import DevStackError, translate_folder_errors


class Credentials(BaseModel):
    """Credentials of the servers, all hexadecimal, so that none needs quoting in a URL."""

    model_config = ConfigDict(frozen=True)

    postgres: str = Field(default_factory=lambda: secrets.token_hex(16))
    stafett_api: str = Field(default_factory=lambda: secrets.token_hex(16))
    stafett_worker: str = Field(default_factory=lambda: secrets.token_hex(16))
    stafett_maintenance: str = Field(default_factory=lambda: secrets.token_hex(16))
    s3_access_key: str = Field(default_factory=lambda: secrets.token_hex(10).upper())
    s3_secret_key: str = Field(default_factory=lambda: secrets.token_hex(20))


def load_or_create_credentials(folder: DataFolder) -> Credentials:
    """Load the credentials, or create them if the folder is new."""
    if not folder.secrets_file.exists() and not folder.postgres.exists():
        created = Credentials()
        write_atomically(folder.secrets_file, created.model_dump_json(indent=2))
        return created
    try:
        with translate_folder_errors(folder.secrets_file):
            text = folder.secrets_file.read_text()
        credentials = Credentials.model_validate_json(text)
    except (DevStackError, ValidationError):
        credentials = None
    if credentials is None or credentials.model_fields_set != set(Credentials.model_fields):
        raise DevStackError(
            f"{folder.secrets_file} is missing or damaged, and the data beside it cannot be opened without it; "
            f"restore the file or choose another --data-dir."
        )
    return credentials
