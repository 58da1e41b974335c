"""Fixtures of the audit tests: a checkpoint bucket, a signer and a database superuser for each test."""

from collections.abc import Callable, Iterator
from contextlib import closing
from uuid import uuid4

import psycopg
import pytest
from minio import Minio

from stafett.audit.checkpointing import AuditCheckpointer, create_checkpointer
from stafett.database.maintenance import MaintenanceDatabase
from stafett.database.session import Database
from stafett.settings import Settings, require_setting
from stafett.storage.s3 import create_s3_client
from stafett.testing import Tenant
from tests.support.audit import append_events_to


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Use a checkpoint bucket for this test alone."""
    audit = settings.audit.model_copy(update={"bucket": f"audit-{uuid4().hex[:12]}"})
    return settings.model_copy(update={"audit": audit})


@pytest.fixture
def maintenance_database(settings: Settings) -> Iterator[Database]:
    with closing(
        MaintenanceDatabase(require_setting(settings.database.maintenance_url, "maintenance"), pool_size=2)
    ) as database:
        yield database


@pytest.fixture
def checkpointer(settings: Settings, maintenance_database: Database) -> AuditCheckpointer:
    checkpointer = create_checkpointer(settings, maintenance_database)
    assert checkpointer is not None
    return checkpointer


@pytest.fixture
def s3(settings: Settings) -> Minio:
    return create_s3_client(settings.s3, settings.s3.endpoint)


@pytest.fixture
def owner(owner_url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(owner_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def append_events(owner: psycopg.Connection, tenant: Tenant) -> Callable[[int], None]:
    def append_events(count: int) -> None:
        append_events_to(owner, tenant.org_id, count)

    return append_events
