"""Options of a stack, and the addresses of a running one."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

AppName = Literal["api", "worker"]
"""Our own processes."""

BUCKET = "stafett"
DATABASE = "stafett"
NAMESPACE = "default"


@dataclass(frozen=True)
class StackOptions:
    """Options of a stack.

    ``durable=False`` is for tests: the stack stops at once, and loses data on power failure, but not on a kill.
    """

    data_dir: Path
    api_port: int | None = None
    durable: bool = True
    temporal_args: tuple[str, ...] = ()
    codec_path: str | None = None
    """The path of the API at which the Web UI decrypts payloads."""


@dataclass(frozen=True)
class StackAddresses:
    """Addresses and credentials for clients; ``stafett migrate`` creates the roles in the database URLs."""

    postgres_url: str
    api_database_url: str
    worker_database_url: str
    maintenance_database_url: str
    temporal_address: str
    temporal_ui_url: str
    temporal_namespace: str
    s3_endpoint: str
    s3_access_key: str
    s3_secret_key: str
    s3_bucket: str
    api_port: int
    mail_port: int
    issuer_port: int
    api_metrics_port: int
    worker_metrics_port: int

    @property
    def issuer_url(self) -> str:
        return f"http://127.0.0.1:{self.issuer_port}"

    def metrics_url(self, process: AppName) -> str:
        return f"http://127.0.0.1:{self.metrics_port(process)}/metrics"

    def metrics_port(self, process: AppName) -> int:
        return {"api": self.api_metrics_port, "worker": self.worker_metrics_port}[process]

    @property
    def api_url(self) -> str:
        return f"http://127.0.0.1:{self.api_port}"

    @property
    def console_url(self) -> str:
        return f"{self.api_url}/console"

    def environment(self) -> dict[str, str]:
        """Return the ``STAFETT_*`` variables of ``stafett.settings`` that connect to this stack."""
        return {
            "STAFETT_DATABASE__OWNER_URL": self.postgres_url,
            "STAFETT_DATABASE__API_URL": self.api_database_url,
            "STAFETT_DATABASE__WORKER_URL": self.worker_database_url,
            "STAFETT_DATABASE__MAINTENANCE_URL": self.maintenance_database_url,
            "STAFETT_TEMPORAL__ADDRESS": self.temporal_address,
            "STAFETT_TEMPORAL__NAMESPACE": self.temporal_namespace,
            "STAFETT_TEMPORAL__UI_URL": self.temporal_ui_url,
            "STAFETT_S3__ENDPOINT": self.s3_endpoint,
            "STAFETT_S3__ACCESS_KEY": self.s3_access_key,
            "STAFETT_S3__SECRET_KEY": self.s3_secret_key,
            "STAFETT_S3__BUCKET": self.s3_bucket,
            "STAFETT_API__HOST": "127.0.0.1",
            "STAFETT_API__PORT": str(self.api_port),
            "STAFETT_MAIL__HOST": "127.0.0.1",
            "STAFETT_MAIL__PORT": str(self.mail_port),
            "STAFETT_MAIL__TLS": "none",
            "STAFETT_MAIL__SENDER": "stafett@stafett.example",
            "STAFETT_MAIL__PUBLIC_URL": self.api_url,
            "STAFETT_WEBHOOKS__ALLOW_PRIVATE_NETWORKS": "true",
        }
