"""Settings of a service that uses the test session's servers."""

from uuid import uuid4

from stafett.cli.dev_stack import settings_from_addresses
from stafett.devstack.audit_key import DevAuditKey
from stafett.devstack.issuer import DevIssuer
from stafett.devstack.stack import RunningServers
from stafett.settings import AuthSettings, Settings


def create_settings(stack: RunningServers, issuer: DevIssuer, audit_key: DevAuditKey) -> Settings:
    """Create settings with a task queue that no other test has."""
    settings = settings_from_addresses(stack.addresses)
    queue = settings.temporal.model_copy(update={"task_queue": f"test-{uuid4().hex[:12]}"})
    keys = AuthSettings(jwks_file=issuer.jwks_file, subject_is_user_id=True)
    audit = settings.audit.model_copy(update={"signing_key_file": audit_key.key_file})
    return settings.model_copy(update={"temporal": queue, "auth": keys, "audit": audit})
