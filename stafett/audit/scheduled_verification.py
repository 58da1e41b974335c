"""Verification of whole chains at intervals; a checkpoint covers only what was added since the previous one."""

from datetime import timedelta

import structlog

from stafett.audit.results import VerificationResults
from stafett.audit.verification import AuditVerifier, create_audit_verifier
from stafett.database.session import Database
from stafett.domain.audit_chain import BrokenRecord, VerificationReport
from stafett.domain.errors import ServiceUnavailableError
from stafett.settings import Settings

_log = structlog.get_logger("stafett.audit")


def create_scheduled_verification(settings: Settings, maintenance_database: Database) -> "ScheduledVerification":
    interval = timedelta(hours=settings.audit.verification_hours)
    verifier = create_audit_verifier(settings, maintenance_database)
    return ScheduledVerification(verifier, VerificationResults(maintenance_database), interval)


class ScheduledVerification:
    """Verifies the chains that are due. A run that was interrupted continues with the remaining ones."""

    def __init__(self, verifier: AuditVerifier, results: VerificationResults, interval: timedelta) -> None:
        self._verifier = verifier
        self._results = results
        self._interval = interval

    def __call__(self) -> VerificationReport:
        """Verify each chain that was not verified within half an interval, or whose verification was requested.

        A broken chain does not stop the others. Raise at the end if the checkpoints of a chain could not be read, so
        that the caller tries again.
        """
        due = self._results.list_due(self._verifier.list_organisations(), self._interval / 2)
        records = [self._verify(org_id) for org_id in due]
        broken = tuple(record for record in records if isinstance(record, BrokenRecord))
        if any(record is False for record in records):
            raise ServiceUnavailableError("The checkpoint bucket")
        return VerificationReport(verified=len(due), broken_records=broken)

    def _verify(self, org_id: str) -> BrokenRecord | bool:
        requested_at = self._results.find_request(org_id)
        verification = self._verifier.verify_chain(org_id)
        broken = verification.broken
        if broken is None and verification.unchecked is not None and self._verifier.reads_checkpoints:
            return False
        self._results.save(verification, requested_at)
        if broken is None:
            return True
        _log.error("audit_chain_broken", org_id=org_id, seq=broken.seq, reason=broken.reason)
        return broken
