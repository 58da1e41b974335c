"""A webhook's secret can be changed, and a disabled one enabled; tries at stages are forgotten with their attempt."""

from pathlib import Path

from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.execute(Path(__file__).with_suffix(".sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    op.execute(
        "REVOKE UPDATE (disabled_at) ON webhooks FROM stafett_api;"
        "REVOKE UPDATE (secret) ON webhook_secrets FROM stafett_api;"
        "REVOKE DELETE ON export_stage_tries FROM stafett_worker, stafett_maintenance;"
        "REVOKE SELECT (export_id, org_id) ON export_stage_tries FROM stafett_maintenance;"
        "DROP TRIGGER former_secrets_sign_along ON webhook_secrets;"
        "DROP FUNCTION keep_former_secret;"
        "ALTER TABLE webhook_secrets DROP COLUMN former_secret, DROP COLUMN former_until"
    )
