"""Every setting of every process, read once from ``STAFETT_*`` and handed down by constructors."""

import os
import re
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    AnyHttpUrl,
    BaseModel,
    ConfigDict,
    Field,
    FilePath,
    PostgresDsn,
    SecretStr,
    TypeAdapter,
    ValidationError,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict
from pydantic_settings import SettingsError as UnreadableSettingError

from stafett.domain.codec_keys import parse_codec_keys
from stafett.domain.errors import SettingsError

WorkerRole = Literal["io", "cpu"]
"""Half of a worker's work: runs and short activities, or the activities that compute."""

_POSTGRES_URL_ADAPTER = TypeAdapter(PostgresDsn)


def _validate_postgres_url(url: SecretStr) -> SecretStr:
    """Checked, and kept as it was written; what is wrong is said without repeating it."""
    try:
        _POSTGRES_URL_ADAPTER.validate_python(url.get_secret_value())
    except ValidationError:
        raise ValueError("a PostgreSQL URL is expected, such as postgresql://role:password@host:5432/stafett") from None
    return url


def _validate_codec_keys(value: SecretStr) -> SecretStr:
    parse_codec_keys(value.get_secret_value())
    return value


def _validate_origin(url: AnyHttpUrl) -> AnyHttpUrl:
    if url.path not in {None, "/"} or url.query or url.fragment or url.username or url.password:
        raise ValueError("an origin is expected, without a path, such as https://temporal.example.org")
    return url


PostgresUrl = Annotated[SecretStr, AfterValidator(_validate_postgres_url)]
CodecKeys = Annotated[SecretStr, AfterValidator(_validate_codec_keys)]
WebOrigin = Annotated[AnyHttpUrl, AfterValidator(_validate_origin)]


def _cpu_count() -> int:
    return os.cpu_count() or 1


class _SettingsSection(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DatabaseSettings(_SettingsSection):
    """One URL a role: a process is given those it needs and no others."""

    owner_url: PostgresUrl | None = Field(
        None, description="migrates, seeds, erases people; bypasses row-level security"
    )
    api_url: PostgresUrl | None = None
    worker_url: PostgresUrl | None = None
    maintenance_url: PostgresUrl | None = Field(None, description="the sweeper and retention")
    pool_size: int = Field(10, ge=1, le=100)


class TemporalSettings(_SettingsSection):
    address: str = "127.0.0.1:7233"
    namespace: str = "default"
    task_queue: str = "stafett"
    tls: bool = False
    api_key: SecretStr | None = None
    codec_keys: CodecKeys | None = Field(None, description="ID:KEY,ID:KEY: the first seals payloads, all open them")


class S3Settings(_SettingsSection):
    endpoint: AnyHttpUrl = AnyHttpUrl("http://127.0.0.1:9000")
    public_endpoint: AnyHttpUrl | None = Field(None, description="the host browsers reach; part of what is signed")
    access_key: str = ""
    secret_key: SecretStr = SecretStr("")
    bucket: str = "stafett"
    region: str = "us-east-1"


class AuditSettings(_SettingsSection):
    """Checkpoints of the audit trail lie at the same S3 server, in a bucket of their own that has object lock."""

    bucket: str = "stafett-audit"
    signing_key: SecretStr | None = Field(None, description="Ed25519, in PEM or its base64; for workers alone")
    signing_key_file: FilePath | None = Field(None, description="the same in a file, instead")
    verification_keys: str | None = Field(None, description="public keys, old ones too; the signing key's is known")
    verification_keys_file: FilePath | None = Field(None, description="the same in a file, instead")
    checkpoint_minutes: int = Field(60, ge=1, le=1440, description="how often a chain that has grown is signed")
    retention_days: int = Field(3653, ge=1, le=36525, description="how long nobody at all can remove a checkpoint")


class AuthSettings(_SettingsSection):
    issuer: str = "https://issuer.stafett.example"
    audience: str = "stafett"
    jwks_url: AnyHttpUrl | None = Field(None, description="where the issuer publishes its keys")
    jwks_file: FilePath | None = Field(None, description="the issuer's keys in a file, instead")
    algorithms: tuple[Literal["RS256", "ES256"], ...] = ("RS256", "ES256")
    leeway_seconds: int = Field(30, ge=0, le=300)


class RateLimitSettings(_SettingsSection):
    """Of one user at one gateway process."""

    per_second: float = Field(100, gt=0, le=100_000, description="requests that a user may make, in the long run")
    burst: int = Field(1000, ge=1, le=1_000_000, description="and at once, after a while of silence")


class ApiSettings(_SettingsSection):
    host: str = "127.0.0.1"
    port: int = Field(8000, ge=0, le=65535)
    rate_limit: RateLimitSettings = RateLimitSettings()
    web_ui_origin: WebOrigin | None = Field(None, description="the Temporal Web UI's, which may ask for payloads")


class WorkerSettings(_SettingsSection):
    threads: int = Field(8, ge=1, le=256, description="activities at once, but for those that compute")
    cpu_threads: int = Field(default_factory=_cpu_count, ge=1, le=256, description="activities that compute, at once")


class RetentionSettings(_SettingsSection):
    files_days: int = Field(1826, ge=1, le=36_500, description="how long finished files and their snapshots are kept")
    staging_days: int = Field(14, ge=1, le=3_650, description="how long what was staged for a failed export is kept")


class MailSettings(_SettingsSection):
    """Without a host no letters are written, and people find their notifications at the API alone."""

    host: str | None = None
    port: int = Field(587, ge=1, le=65535)
    tls: Literal["starttls", "implicit", "none"] = "starttls"
    user: str | None = None
    password: SecretStr | None = None
    sender: str = Field("", description="the address that letters come from")
    public_url: AnyHttpUrl | None = Field(None, description="where people reach the service; letters link there")

    @model_validator(mode="after")
    def _validate_completeness(self) -> Self:
        if self.host is not None and (not re.fullmatch(r"[^@\s]+@[^@\s]+", self.sender) or self.public_url is None):
            raise ValueError("with HOST, SENDER (an address) and PUBLIC_URL are needed")
        if (self.user is None) != (self.password is None):
            raise ValueError("USER and PASSWORD go together")
        return self


class WebhookSettings(_SettingsSection):
    allow_private_networks: bool = Field(
        default=False, description="http, and private addresses: for development alone"
    )


class LogSettings(_SettingsSection):
    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    format: Literal["json", "console"] = "json"


class Settings(BaseSettings):
    """Frozen, nested with ``__`` in the environment: ``STAFETT_S3__BUCKET`` is ``settings.s3.bucket``."""

    model_config = SettingsConfigDict(
        env_prefix="STAFETT_", env_nested_delimiter="__", frozen=True, extra="ignore", env_ignore_empty=True
    )

    database: DatabaseSettings = DatabaseSettings()
    temporal: TemporalSettings = TemporalSettings()
    s3: S3Settings = S3Settings()
    audit: AuditSettings = AuditSettings()
    auth: AuthSettings = AuthSettings()
    api: ApiSettings = ApiSettings()
    worker: WorkerSettings = WorkerSettings()
    retention: RetentionSettings = RetentionSettings()
    mail: MailSettings = MailSettings()
    webhooks: WebhookSettings = WebhookSettings()
    log: LogSettings = LogSettings()

    @classmethod
    def load(cls) -> "Settings":
        """Read the environment, or say in one sentence which variables are wrong; values are never repeated."""
        try:
            return cls()
        except ValidationError as error:
            faults = "; ".join(
                f"STAFETT_{'__'.join(str(part) for part in fault['loc']).upper()}: {fault['msg']}"
                for fault in error.errors(include_url=False, include_input=False)
            )
            raise SettingsError(f"The settings are not valid. {faults}") from None
        except UnreadableSettingError as error:
            section = re.sub(r'.*field "(\w+)".*', r"\1", str(error)).upper()
            raise SettingsError(
                f"STAFETT_{section} is not a setting but a group of them: STAFETT_{section}__… is one."
            ) from None


def require_setting(value: SecretStr | None, variable: str) -> str:
    """The secret itself, or the sentence that names the variable that is missing."""
    if value is None:
        raise SettingsError(f"{variable} is not set.")
    return value.get_secret_value()
