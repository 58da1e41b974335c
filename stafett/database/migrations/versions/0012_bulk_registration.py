"""Batches of proxy registrations: their items, their states, and the activities that they wrote."""

from pathlib import Path

from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.execute(Path(__file__).with_suffix(".sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    op.execute("DROP POLICY proxies_only ON activities")
    op.execute("REVOKE INSERT ON activities FROM stafett_api, stafett_worker")
    op.execute("ALTER TABLE activities DROP COLUMN batch_id")
    op.execute("DROP TABLE bulk_items, bulk_registrations, bulk_transitions")
    op.execute("DROP FUNCTION guard_bulk_insert, guard_bulk_update, guard_bulk_item")
