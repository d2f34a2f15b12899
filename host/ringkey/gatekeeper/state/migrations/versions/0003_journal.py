"""A journal of registrations and nonces, a record a batch (state/journal.py).

What is there is read as it is; the gatekeeper that reads it writes all of it anew at once, and then only
`journal`, `device_key`, `answer`, `failure` and the notes have rows.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "journal",
        sa.Column("n", sa.Integer, primary_key=True),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("journal")
    op.execute("DELETE FROM registration")
    op.execute("DELETE FROM nonce")
