"""Exports that have objects in the bucket of an attempt that the database does not know, and since when."""

from collections.abc import Collection
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from sqlalchemy import delete, func
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col, select

from stafett.database.session import Database
from stafett.database.tables import Export, UnknownExport

_NOW = func.clock_timestamp()
_log = structlog.get_logger("stafett.bucket_reconciliation")


class UnknownExports:
    """Remembers when the database first missed an export, so that a temporary restore costs no file."""

    def __init__(self, maintenance: Database) -> None:
        self._database = maintenance

    def record(self, ids: Collection[UUID], period: timedelta) -> set[UUID]:
        """Record that the exports are unknown; return those that have been unknown for longer than the period.

        Return none if most exports are unknown: then this is the bucket of another database.
        """
        if not ids:
            return set()
        with self._database.transaction() as session:
            row = insert(UnknownExport).values([{"export_id": id_} for id_ in sorted(ids)])
            session.execute(row.on_conflict_do_update(index_elements=["export_id"], set_={"last_seen_at": _NOW}))
            is_due = col(UnknownExport.first_seen_at) < _NOW - period
            due = set(
                session.exec(select(UnknownExport.export_id).where(col(UnknownExport.export_id).in_(ids), is_due))
            )
            unknown = session.exec(select(func.count()).select_from(UnknownExport)).one()
            has_files = col(Export.files_removed_at).is_(None)
            known = session.exec(select(func.count()).select_from(Export).where(has_files)).one()
        if due and unknown > known:
            _log.error("bucket_of_another_database", unknown=unknown, known=known)
            return set()
        return due

    def delete_obsolete(self, unseen_since: datetime) -> int:
        """Delete the records of exports whose row is back or whose objects are gone; return how many remain."""
        with self._database.transaction() as session:
            session.execute(delete(UnknownExport).where(col(UnknownExport.last_seen_at) < unseen_since))
            return session.exec(select(func.count()).select_from(UnknownExport)).one()
