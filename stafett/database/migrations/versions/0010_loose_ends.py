"""A cancel is a cancel; old idempotency keys are forgotten."""

from pathlib import Path

from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.execute(Path(__file__).with_suffix(".sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    op.execute("INSERT INTO export_transitions VALUES ('cancelling', 'failed')")
    op.execute("REVOKE SELECT (created_at), DELETE ON idempotency_keys FROM stafett_maintenance")
    op.execute("DROP POLICY maintenance ON idempotency_keys")
    op.execute("DROP INDEX idempotency_keys_by_age")
