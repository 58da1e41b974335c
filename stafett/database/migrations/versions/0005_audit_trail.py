"""The whole trail for whoever signs and verifies it; the issue of a link is one event a user, file and day."""

from pathlib import Path

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.execute(Path(__file__).with_suffix(".sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    raise RuntimeError("an audit trail is not migrated away")
