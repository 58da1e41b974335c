"""Retention as the worker runs it, limited to one organisation so that it leaves other tests' exports alone."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import psycopg
from sqlalchemy import ColumnElement, and_
from sqlmodel import col

from stafett.audit import trail as audit_trail
from stafett.database.maintenance import MaintenanceDatabase
from stafett.database.tables import Export
from stafett.exports.file_removal import FileRemoval
from stafett.exports.retention import Retention, RetentionPolicy
from stafett.settings import Settings, require_setting
from stafett.storage.files import FileStorage

PERIODS = RetentionPolicy(files=timedelta(days=1826), staging=timedelta(days=14))


class _SingleOrganisationRetention(Retention):
    org_id = ""

    def _iterate_exports(self, condition: ColumnElement[bool]) -> Iterator[Export]:
        return super()._iterate_exports(and_(condition, col(Export.org_id) == self.org_id))


@contextmanager
def open_retention(settings: Settings, org_id: str, storage: FileStorage | None = None) -> Iterator[Retention]:
    database = MaintenanceDatabase(require_setting(settings.database.maintenance_url, "it"), pool_size=2)
    storage = storage or FileStorage(settings.s3)
    removal = FileRemoval(database, storage, actor=audit_trail.RETENTION_ACTOR)
    retention = _SingleOrganisationRetention(database, storage, removal, PERIODS, raise_if_cancelled=lambda: None)
    retention.org_id = org_id
    yield retention
    database.close()


def backdate_completion(owner_url: str, export_id: str, ago: timedelta) -> None:
    with psycopg.connect(owner_url) as connection:
        connection.execute("UPDATE exports SET completed_at = now() - %s WHERE id = %s", [ago, export_id])
