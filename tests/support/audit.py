"""Verify an organisation's audit chain with the maintenance role, as `stafett audit verify` does."""

from contextlib import closing

from stafett.audit.verification import ChainVerification, create_audit_verifier
from stafett.database.session import Database
from stafett.settings import Settings, require_setting


def verify_audit_chain(settings: Settings, org_id: str) -> ChainVerification:
    with closing(Database(require_setting(settings.database.maintenance_url, "maintenance"), pool_size=1)) as database:
        return create_audit_verifier(settings, database).verify_chain(org_id)
