"""What holds for any kind of job: its end is told, its changes are heard of."""

from pathlib import Path

from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.execute(Path(__file__).with_suffix(".sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    op.execute("DROP TRIGGER exports_tell_of_change ON exports")
    op.execute("DROP FUNCTION tell_of_change")
    op.execute("DROP POLICY operators ON organisations")
