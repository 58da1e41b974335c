"""Keys that seal payloads on a development stack: made when they are first asked for, and then kept in use."""

import base64
import secrets
from pathlib import Path

from stafett.devstack.data_folder import DataFolder, write_atomically


class DevCodecKeys:
    """A folder that was sealed once stays so: without its keys nobody could go on with what runs there."""

    def __init__(self, data_dir: Path, *, enable: bool) -> None:
        self._file = DataFolder.from_path(data_dir).codec_keys_file
        self._enable = enable

    @property
    def is_enabled(self) -> bool:
        return self._enable or self._file.exists()

    def environment(self, web_ui_origin: str) -> dict[str, str]:
        """For the API and the worker; the keys are made if there are none."""
        if not self.is_enabled:
            return {}
        if not self._file.exists():
            write_atomically(self._file, f"development:{base64.b64encode(secrets.token_bytes(32)).decode()}\n")
        return {
            "STAFETT_TEMPORAL__CODEC_KEYS": self._file.read_text().strip(),
            "STAFETT_API__WEB_UI_ORIGIN": web_ui_origin,
        }
