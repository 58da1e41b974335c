"""The whole schema: tables, constraints, triggers, row-level security and grants.

The schema makes invalid data impossible for every client: a row that refers to another organisation, overlapping
activities of one mentor, a status transition that does not exist, a changed audit event.
"""

from pathlib import Path

from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.execute(Path(__file__).with_suffix(".sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    raise RuntimeError("the initial revision cannot be downgraded: that would delete the audit trail")
