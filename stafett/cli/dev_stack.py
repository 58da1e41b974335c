"""``stafett dev``: the API and a worker on the embedded servers."""

import asyncio
import sys
from functools import partial
from pathlib import Path

import httpx
import psycopg

from api.cors import CODEC_PATH
from stafett.audit.checkpoint_store import CheckpointStore
from stafett.audit.keys import load_verification_keys
from stafett.devstack.audit_key import DevAuditKey
from stafett.devstack.codec_keys import DevCodecKeys
from stafett.devstack.dev import AppProcess, run_stack
from stafett.devstack.identity_provider import serve_issuer
from stafett.devstack.issuer import DevIssuer
from stafett.devstack.options import StackAddresses, StackOptions
from stafett.devstack.sign_in import DevSignIn, DevUser
from stafett.devstack.temporal import is_polling
from stafett.seed.organisations import list_seeded_accounts, seed_organisations
from stafett.settings import DatabaseSettings, S3Settings, Settings, TemporalSettings
from stafett.storage.files import FileStorage

_STAFETT_COMMAND = (sys.executable, "-m", "stafett")
_WITHHELD_FROM_API = frozenset(
    (
        *(f"STAFETT_DATABASE__{role}_URL" for role in ("OWNER", "WORKER", "MAINTENANCE")),
        "STAFETT_AUDIT__SIGNING_KEY_FILE",
    )
)
_WITHHELD_FROM_WORKER = frozenset(
    (
        *(f"STAFETT_DATABASE__{role}_URL" for role in ("OWNER", "API")),
        "STAFETT_SIGN_IN__PUBLIC_URL",
        "STAFETT_SIGN_IN__ISSUERS",
    )
)


async def run_development_stack(data_dir: Path, api_port: int | None, *, encrypt: bool = False) -> None:
    """Run the whole stack on this machine until Ctrl-C."""
    issuer, audit_key, codec = DevIssuer(data_dir), DevAuditKey(data_dir), DevCodecKeys(data_dir, enable=encrypt)
    sign_in = DevSignIn(issuer, [DevUser(*account[:3]) for account in list_seeded_accounts()])

    async def prepare(addresses: StackAddresses) -> dict[str, str]:
        await asyncio.to_thread(prepare_stores, addresses)
        issuer.ensure_keys()
        issuer.set_url(addresses.issuer_url)
        audit_key.ensure_key()
        environment = issuer.environment() | sign_in.register_console(addresses.api_url)
        return environment | audit_key.environment() | codec.environment(addresses.temporal_ui_url)

    programs = (
        AppProcess("api", (*_STAFETT_COMMAND, "api"), _is_api_healthy, excluded_variables=_WITHHELD_FROM_API),
        AppProcess(
            "worker", (*_STAFETT_COMMAND, "worker"), _is_worker_polling, excluded_variables=_WITHHELD_FROM_WORKER
        ),
    )
    options = StackOptions(data_dir=data_dir, api_port=api_port, codec_path=CODEC_PATH if codec.is_enabled else None)
    await run_stack(options, prepare, programs, partial(serve_issuer, sign_in), partial(print, flush=True))


def prepare_stores(addresses: StackAddresses) -> None:
    """Migrate the database, seed the organisations with their users, and create the buckets."""
    from stafett.database.migrate import migrate  # deferred: Alembic's import must not delay the servers' start

    settings = settings_from_addresses(addresses)
    migrate(settings.database)
    with psycopg.connect(addresses.postgres_url) as connection:
        seed_organisations(connection)
    FileStorage(settings.s3).ensure_bucket()
    CheckpointStore(settings.s3, settings.audit, load_verification_keys(settings.audit)).ensure_bucket()


def settings_from_addresses(addresses: StackAddresses) -> Settings:
    """Build settings with every database role, for the tests and for the preparation above."""
    return Settings.model_construct(  # reads no environment, which may describe another installation
        database=DatabaseSettings.model_validate(
            {
                "owner_url": addresses.postgres_url,
                "api_url": addresses.api_database_url,
                "worker_url": addresses.worker_database_url,
                "maintenance_url": addresses.maintenance_database_url,
            }
        ),
        temporal=TemporalSettings(address=addresses.temporal_address, namespace=addresses.temporal_namespace),
        s3=S3Settings.model_validate(
            {
                "endpoint": addresses.s3_endpoint,
                "access_key": addresses.s3_access_key,
                "secret_key": addresses.s3_secret_key,
                "bucket": addresses.s3_bucket,
            }
        ),
    )


async def _is_api_healthy(addresses: StackAddresses, _pid: int) -> bool:
    async with httpx.AsyncClient(timeout=2, verify=False) as client:  # noqa: S501 - HTTP on loopback, no certificates to load
        try:
            return (await client.get(f"{addresses.api_url}/healthz")).is_success
        except httpx.TransportError:
            return False


async def _is_worker_polling(addresses: StackAddresses, pid: int) -> bool:
    return await is_polling(
        addresses.temporal_address, addresses.temporal_namespace, TemporalSettings().task_queue, pid
    )
