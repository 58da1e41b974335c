"""Stored results of verifying whole chains: which chains are due, and which are broken, for alarms and metrics."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from sqlalchemy import delete, func
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col, select

from stafett.audit.verification import ChainVerification
from stafett.database.session import Database
from stafett.database.tables import AuditVerification, AuditVerificationRequest
from stafett.domain.audit_chain import BrokenRecord


class VerificationResults:
    """The last result per organisation. Nothing that is signed depends on it, because PostgreSQL is not trusted."""

    def __init__(self, maintenance: Database) -> None:
        self._database = maintenance

    def find_request(self, org_id: str) -> datetime | None:
        """Return when a verification of the chain was requested, if that is not answered yet."""
        with self._database.transaction() as session:
            request = session.get(AuditVerificationRequest, org_id)
            return request.requested_at if request else None

    def save(self, verification: ChainVerification, requested_at: datetime | None = None) -> None:
        """Store the result of a verification of the whole chain in place of the previous one.

        It answers a request that was there before it started; a later one stays.
        """
        broken = verification.broken
        values = {
            "verified_at": func.clock_timestamp(),
            "last_seq": verification.last_seq,
            "broken_seq": None if broken is None else broken.seq,
            "broken_reason": None if broken is None else broken.reason,
            "checkpoints": verification.checkpoints,
            "newest_checkpoint_at": verification.newest_checkpoint_at,
        }
        row = insert(AuditVerification).values(org_id=verification.org_id, **values)
        with self._database.transaction() as session:
            session.execute(row.on_conflict_do_update(index_elements=["org_id"], set_=values))
            if requested_at is not None:
                request = delete(AuditVerificationRequest).where(
                    col(AuditVerificationRequest.org_id) == verification.org_id
                )
                session.execute(request.where(col(AuditVerificationRequest.requested_at) <= requested_at))

    def list_due(self, org_ids: Iterable[str], max_age: timedelta) -> list[str]:
        """List the organisations whose chain was not verified within ``max_age``, was broken, or is to be verified."""
        is_recent = col(AuditVerification.verified_at) > func.clock_timestamp() - max_age
        query = select(AuditVerification.org_id).where(is_recent, col(AuditVerification.broken_seq).is_(None))
        with self._database.transaction() as session:
            recent = set(session.exec(query).all()) - set(session.exec(select(AuditVerificationRequest.org_id)).all())
        return [org_id for org_id in org_ids if org_id not in recent]

    def list_broken(self) -> list[BrokenRecord]:
        """List the chains that were broken when they were last verified. Their number is the value of the metric."""
        query = select(AuditVerification).where(col(AuditVerification.broken_seq).is_not(None))
        with self._database.transaction() as session:
            rows = session.exec(query.order_by(col(AuditVerification.org_id))).all()
        return [
            BrokenRecord(org_id=row.org_id, seq=row.broken_seq or 0, reason=row.broken_reason or "") for row in rows
        ]
