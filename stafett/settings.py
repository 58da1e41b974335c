"""Settings of all processes, read once from ``STAFETT_*`` variables and passed on through constructors."""

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
from pydantic_settings import SettingsError as PydanticSettingsError

from stafett.domain.codec_keys import parse_codec_keys
from stafett.domain.errors import SettingsError
from stafett.domain.export import OrgId

WorkerRole = Literal["io", "cpu"]
"""Part of a worker's work: ``io`` is workflows and I/O-bound activities, ``cpu`` is CPU-bound activities."""

_POSTGRES_URL_ADAPTER = TypeAdapter(PostgresDsn)
_HTTP_URL_ADAPTER = TypeAdapter(AnyHttpUrl)


def _validate_postgres_url(url: SecretStr) -> SecretStr:
    """Validate the URL and return it unchanged. The error does not repeat the value, which contains a password."""
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


def is_loopback(host: str | None) -> bool:
    """Return whether a URL's host is the machine itself, so that plain HTTP exposes nothing to a network."""
    return host in {"127.0.0.1", "localhost", "[::1]"}


def require_https(url: AnyHttpUrl) -> AnyHttpUrl:
    """Return the URL; raise ``ValueError`` if a network could read or change what is sent to it."""
    if url.scheme != "https" and not is_loopback(url.host):
        raise ValueError("https is required, except for loopback addresses in development")
    return url


def _validate_issuer(issuer: str) -> str:
    """Validate the identifier as a URL and return it unchanged, because it is compared with a claim."""
    url = require_https(_HTTP_URL_ADAPTER.validate_python(issuer))
    if url.query or url.fragment:
        raise ValueError("an issuer has neither a query nor a fragment")
    return issuer


PostgresUrl = Annotated[SecretStr, AfterValidator(_validate_postgres_url)]
DeploymentName = Annotated[str, Field(pattern=r"\A[A-Za-z0-9_-]{1,100}$")]
BuildId = Annotated[str, Field(pattern=r"\A[A-Za-z0-9._-]{1,100}$")]
CodecKeys = Annotated[SecretStr, AfterValidator(_validate_codec_keys)]
WebOrigin = Annotated[AnyHttpUrl, AfterValidator(_validate_origin)]
SecureOrigin = Annotated[WebOrigin, AfterValidator(require_https)]
IssuerUrl = Annotated[str, AfterValidator(_validate_issuer)]


def _cpu_count() -> int:
    return os.cpu_count() or 1


class _SettingsSection(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DatabaseSettings(_SettingsSection):
    """One URL per database role; a process gets only those that it needs."""

    owner_url: PostgresUrl | None = Field(
        None, description="for migrations, seeding and erasure; bypasses row-level security"
    )
    api_url: PostgresUrl | None = None
    worker_url: PostgresUrl | None = None
    maintenance_url: PostgresUrl | None = Field(None, description="for the sweeper, retention and checkpoints")
    listen_url: PostgresUrl | None = Field(
        None, description="the API's role at PostgreSQL itself, for LISTEN; by default api_url"
    )
    transaction_pooling: bool = Field(
        default=False, description="whether the URLs of API, workers and sweeper lead to a pooler in transaction mode"
    )
    pool_size: int = Field(10, ge=1, le=100)

    @model_validator(mode="after")
    def _validate_listen_url(self) -> Self:
        if self.transaction_pooling and self.api_url is not None and self.listen_url is None:
            raise ValueError("API_URL with TRANSACTION_POOLING requires LISTEN_URL")
        return self


class TemporalSettings(_SettingsSection):
    address: str = "127.0.0.1:7233"
    namespace: str = "default"
    task_queue: str = "stafett"
    tls: bool = False
    ui_url: AnyHttpUrl | None = Field(None, description="URL of the Web UI, to which the operator's pages link")
    api_key: SecretStr | None = None
    deployment: DeploymentName | None = Field(
        None, description="name of the Worker Deployment; without it, the workers have no versions"
    )
    build_id: BuildId | None = Field(
        None, description="version of the workers in their deployment; by default that of the installed code"
    )
    codec_keys: CodecKeys | None = Field(
        None, description="ID:KEY,ID:KEY: the first key encrypts payloads, all keys decrypt"
    )


class S3Settings(_SettingsSection):
    endpoint: AnyHttpUrl = AnyHttpUrl("http://127.0.0.1:9000")
    public_endpoint: AnyHttpUrl | None = Field(None, description="host that browsers reach; part of signed URLs")
    access_key: str = ""
    secret_key: SecretStr = SecretStr("")
    bucket: str = "stafett"
    region: str = "us-east-1"


class AuditSettings(_SettingsSection):
    """Checkpoints of the audit trail, which are stored in a separate bucket with object lock on the same S3 server."""

    bucket: str = "stafett-audit"
    signing_key: SecretStr | None = Field(
        None, description="Ed25519 private key, in PEM or its base64; for workers only"
    )
    signing_key_file: FilePath | None = Field(None, description="file with the signing key, instead of signing_key")
    verification_keys: str | None = Field(
        None, description="public keys, including old ones; the signing key's own is implied"
    )
    verification_keys_file: FilePath | None = Field(
        None, description="file with public keys, instead of verification_keys"
    )
    checkpoint_minutes: int = Field(60, ge=1, le=1440, description="interval at which a chain that has grown is signed")
    verification_hours: int = Field(
        168, ge=1, le=8784, description="interval at which every chain is verified from its first event"
    )
    retention_days: int = Field(
        3653, ge=1, le=36525, description="how long a checkpoint is locked, even for administrators"
    )


class AuthSettings(_SettingsSection):
    issuer: str = "https://issuer.stafett.example"
    audience: str = "stafett"
    jwks_url: AnyHttpUrl | None = Field(None, description="URL at which the issuer publishes its keys")
    jwks_file: FilePath | None = Field(None, description="file with the issuer's keys, instead of jwks_url")
    algorithms: tuple[Literal["RS256", "ES256"], ...] = ("RS256", "ES256")
    leeway_seconds: int = Field(30, ge=0, le=300)
    subject_is_user_id: bool = Field(
        False, description="whether the issuer's subjects are user ids of this database, as in development"
    )


class IssuerSettings(_SettingsSection):
    """An OpenID provider at which users sign in, and the client that this service is registered as there."""

    url: IssuerUrl = Field(description="the provider's issuer identifier, the claim iss")
    client_id: str = Field(min_length=1)
    client_secret: SecretStr = Field(min_length=1)
    label: str = Field(min_length=1, max_length=100, description="name of the provider on the sign-in page")
    organisations: Literal["all"] | frozenset[OrgId] = Field(
        description="ids of the organisations for whose members it may vouch, or all, which includes operators"
    )
    addresses_are_verified: bool = Field(
        default=False, description="whether email addresses count as verified without the claim email_verified"
    )


class SignInSettings(_SettingsSection):
    """Sign-in to the console by OpenID Connect. Without a public URL there is no console, and the API works alone."""

    public_url: SecureOrigin | None = Field(None, description="origin at which browsers reach the console")
    issuers: dict[Annotated[str, Field(pattern=r"^[a-z0-9-]{1,40}$")], IssuerSettings] = Field(
        default_factory=dict, description="issuers by a name of your choice, as JSON"
    )
    leeway_seconds: int = Field(30, ge=0, le=300, description="tolerated difference to the issuers' clocks")
    idle_minutes: int = Field(60, ge=1, le=1440, description="time without a request after which a session ends")
    session_hours: int = Field(12, ge=1, le=168, description="time after which a session ends in any case")

    @model_validator(mode="after")
    def _validate_completeness(self) -> Self:
        if (self.public_url is None) != (not self.issuers):
            raise ValueError("PUBLIC_URL and ISSUERS must be set together")
        return self


class RateLimitSettings(_SettingsSection):
    """Limits for one user at one API process."""

    per_second: float = Field(100, gt=0, le=100_000, description="sustained requests per second")
    burst: int = Field(1000, ge=1, le=1_000_000, description="requests at once after a pause")


ConcurrencyLimit = Annotated[int, Field(ge=1, le=100_000)]


class ConcurrencySettings(_SettingsSection):
    """What one user, and all users of an organisation, may occupy at one API process at the same time."""

    event_streams_per_user: ConcurrencyLimit = 200
    event_streams_per_organisation: ConcurrencyLimit = 800
    waits_per_user: ConcurrencyLimit = 50
    waits_per_organisation: ConcurrencyLimit = 200
    previews_per_user: ConcurrencyLimit = 4
    previews_per_organisation: ConcurrencyLimit = 8
    validations_per_user: ConcurrencyLimit = 10
    validations_per_organisation: ConcurrencyLimit = 40
    large_lists_per_user: ConcurrencyLimit = 10
    large_lists_per_organisation: ConcurrencyLimit = 40
    large_bodies_per_user: ConcurrencyLimit = 10
    large_bodies_per_organisation: ConcurrencyLimit = 40
    threads_per_user: int = Field(2, ge=1, le=100, description="threads for the requests of one user")


class ConnectionSettings(_SettingsSection):
    """Limits on connections of one API process, with or without a valid token."""

    max_connections: int = Field(10_000, ge=1, le=1_000_000, description="also limited by the open files allowed")
    head_timeout_seconds: float = Field(10, gt=0, le=3600, description="time to send the head of a request")
    min_body_bytes_per_second: int = Field(1024, ge=1, description="average speed below which a body is refused")
    body_grace_seconds: float = Field(10, gt=0, le=3600, description="interval in which a body's speed is measured")
    write_timeout_seconds: float = Field(60, gt=0, le=3600, description="time without reading a response")


class ApiSettings(_SettingsSection):
    host: str = "127.0.0.1"
    port: int = Field(8000, ge=0, le=65535)
    rate_limit: RateLimitSettings = RateLimitSettings()
    concurrency: ConcurrencySettings = ConcurrencySettings()
    connections: ConnectionSettings = ConnectionSettings()
    web_ui_origin: WebOrigin | None = Field(None, description="origin of the Temporal Web UI, which may call the codec")


class WorkerSettings(_SettingsSection):
    threads: int = Field(8, ge=1, le=256, description="concurrent I/O-bound activities")
    cpu_threads: int = Field(default_factory=_cpu_count, ge=1, le=256, description="concurrent CPU-bound activities")
    query_threads: int = Field(4, ge=1, le=256, description="concurrent queries of exports")
    outcome_threads: int = Field(4, ge=1, le=256, description="concurrent activities that end a job")
    preview_threads: int = Field(2, ge=1, le=256, description="concurrent previews")
    mapping_memory_mib: int = Field(
        512, ge=96, le=65_536, description="memory that the mapping of one export or preview may take, in MiB"
    )

    @property
    def thread_count(self) -> int:
        """The threads of all activities."""
        return self.threads + self.cpu_threads + self.query_threads + self.outcome_threads + self.preview_threads

    @property
    def mapping_memory_bytes(self) -> int:
        return self.mapping_memory_mib * 1024 * 1024


class RetentionSettings(_SettingsSection):
    files_days: int = Field(1826, ge=1, le=36_500, description="retention of finished files and their snapshots")
    staging_days: int = Field(14, ge=1, le=3_650, description="retention of staged objects of a failed export")


class MailSettings(_SettingsSection):
    """Outgoing email. Without a host no emails are sent, and notifications are available from the API only."""

    host: str | None = None
    port: int = Field(587, ge=1, le=65535)
    tls: Literal["starttls", "implicit", "none"] = "starttls"
    user: str | None = None
    password: SecretStr | None = None
    sender: str = Field("", description="sender address of emails")
    public_url: AnyHttpUrl | None = Field(None, description="origin of the console, for links in emails")

    @model_validator(mode="after")
    def _validate_completeness(self) -> Self:
        if self.host is not None and (not re.fullmatch(r"[^@\s]+@[^@\s]+", self.sender) or self.public_url is None):
            raise ValueError("HOST requires SENDER (an email address) and PUBLIC_URL")
        if (self.user is None) != (self.password is None):
            raise ValueError("USER and PASSWORD must be set together")
        return self


class WebhookSettings(_SettingsSection):
    allow_private_networks: bool = Field(
        default=False, description="allow http and private addresses, for development only"
    )


class MetricsSettings(_SettingsSection):
    """The server of ``/metrics`` and of a worker's health checks, without authentication: for inner networks only."""

    host: str = "127.0.0.1"
    port: int | None = Field(None, ge=1, le=65535, description="port of the server; without it, there is none")


class LogSettings(_SettingsSection):
    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    format: Literal["json", "console"] = "json"


class Settings(BaseSettings):
    """All settings, frozen; sections are separated by ``__``: ``STAFETT_S3__BUCKET`` is ``settings.s3.bucket``."""

    model_config = SettingsConfigDict(
        env_prefix="STAFETT_", env_nested_delimiter="__", frozen=True, extra="ignore", env_ignore_empty=True
    )

    database: DatabaseSettings = DatabaseSettings()
    temporal: TemporalSettings = TemporalSettings()
    s3: S3Settings = S3Settings()
    audit: AuditSettings = AuditSettings()
    auth: AuthSettings = AuthSettings()
    sign_in: SignInSettings = SignInSettings()
    api: ApiSettings = ApiSettings()
    worker: WorkerSettings = WorkerSettings()
    retention: RetentionSettings = RetentionSettings()
    mail: MailSettings = MailSettings()
    webhooks: WebhookSettings = WebhookSettings()
    metrics: MetricsSettings = MetricsSettings()
    log: LogSettings = LogSettings()

    @classmethod
    def load(cls) -> "Settings":
        """Read the environment; an error names the invalid variables and never their values."""
        try:
            return cls()
        except ValidationError as error:
            details = "; ".join(
                f"STAFETT_{'__'.join(str(part) for part in detail['loc']).upper()}: {detail['msg']}"
                for detail in error.errors(include_url=False, include_input=False)
            )
            raise SettingsError(f"The settings are not valid. {details}") from None
        except PydanticSettingsError as error:
            section = re.sub(r'.*field "(\w+)".*', r"\1", str(error)).upper()
            raise SettingsError(
                f"STAFETT_{section} is a group and cannot be set itself, or STAFETT_{section}__… is not valid JSON."
            ) from None


def require_setting(value: SecretStr | None, variable: str) -> str:
    """Return the secret; an error names the variable that is not set."""
    if value is None:
        raise SettingsError(f"{variable} is not set.")
    return value.get_secret_value()
