"""Organisations and their people, activities, exports, and the audit trail.

Wrong data is made impossible here and nowhere else: a row of another organisation, an activity with two mentors'
worth of time, a step no export may take, an event that was edited.
"""

from pathlib import Path

from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.execute(Path(__file__).with_suffix(".sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    raise RuntimeError("an audit trail is not migrated away")
