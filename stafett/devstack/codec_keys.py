"""Payload encryption keys of a development stack, created on first use and reused from then on."""

import base64
import secrets
from pathlib import Path

from stafett.devstack.data_folder import DataFolder, write_atomically


class DevCodecKeys:
    """The keys of one data folder. Encryption stays enabled, because running workflows need the keys to continue."""

    def __init__(self, data_dir: Path, *, enable: bool) -> None:
        self._file = DataFolder.from_path(data_dir).codec_keys_file
        self._enable = enable

    @property
    def is_enabled(self) -> bool:
        return self._enable or self._file.exists()

    def environment(self, web_ui_origin: str) -> dict[str, str]:
        """Return the variables for the API and the worker, creating the keys if there are none."""
        if not self.is_enabled:
            return {}
        if not self._file.exists():
            write_atomically(self._file, f"development:{base64.b64encode(secrets.token_bytes(32)).decode()}\n")
        return {
            "STAFETT_TEMPORAL__CODEC_KEYS": self._file.read_text().strip(),
            "STAFETT_API__WEB_UI_ORIGIN": web_ui_origin,
        }
