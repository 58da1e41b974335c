"""``stack.json``, with which other programs find a running stack."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from stafett.devstack.data_folder import DataFolder, write_atomically
from stafett.devstack.errors import DevStackError
from stafett.devstack.options import StackAddresses


class StackPids(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    postgres: int
    temporal: int
    s3: int
    api: int
    worker: list[int]


class MetricsUrls(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    api: str
    worker: list[str]


class StackFile(BaseModel):
    """Addresses, credentials and pids of a running stack."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    api_url: str
    console_url: str
    temporal_address: str
    temporal_ui_url: str
    temporal_namespace: str
    database_url: str
    s3_endpoint: str
    s3_access_key: str
    s3_secret_key: str
    s3_bucket: str
    metrics_urls: MetricsUrls
    pids: StackPids

    @classmethod
    def from_addresses(cls, addresses: StackAddresses, pids: StackPids) -> "StackFile":
        return cls(
            api_url=addresses.api_url,
            console_url=addresses.console_url,
            temporal_address=addresses.temporal_address,
            temporal_ui_url=addresses.temporal_ui_url,
            temporal_namespace=addresses.temporal_namespace,
            database_url=addresses.postgres_url,
            s3_endpoint=addresses.s3_endpoint,
            s3_access_key=addresses.s3_access_key,
            s3_secret_key=addresses.s3_secret_key,
            s3_bucket=addresses.s3_bucket,
            metrics_urls=MetricsUrls(api=addresses.metrics_url("api"), worker=[addresses.metrics_url("worker")]),
            pids=pids,
        )

    def write(self, folder: DataFolder) -> None:
        write_atomically(folder.stack_file, self.model_dump_json(indent=2) + "\n")


def load_stack_file(data_dir: Path) -> StackFile:
    """Load the file of the stack that is running on this folder now."""
    folder = DataFolder.from_path(data_dir)
    start = f"start one with `stafett dev --data-dir {data_dir}`"
    try:
        text = folder.stack_file.read_text()
    except PermissionError:
        raise DevStackError(f"You may not read {folder.stack_file}; run this as the user who runs the stack.") from None
    except OSError:
        raise DevStackError(f"No stack is running on {folder.path}; {start}.") from None
    if folder.find_running_pid() is None:
        raise DevStackError(f"The stack on {folder.path} is no longer running; {start}.")
    try:
        return StackFile.model_validate_json(text)
    except ValidationError:
        raise DevStackError(f"{folder.stack_file} is damaged; stop the stack and {start}.") from None
