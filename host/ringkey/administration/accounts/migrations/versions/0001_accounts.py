"""Users, sessions, invitations and tokens.

Times are seconds since 1970, UTC.  Of what opens a door (cookie, link, token) only its SHA-256 is here,
of a password only its argon2id hash (PHC string); a second factor's secret is sealed under `totp.key`.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "user",
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("role", sa.Integer, nullable=False),
        sa.Column("password", sa.String),
        sa.Column("totp", sa.LargeBinary),
        sa.Column("totp_pending", sa.LargeBinary),
        sa.Column("totp_step", sa.Integer, nullable=False),
        sa.Column("created", sa.Integer, nullable=False),
        sa.Column("changed", sa.Integer, nullable=False),
    )
    op.create_table(
        "session",
        sa.Column("hash", sa.LargeBinary, primary_key=True),
        sa.Column("user", sa.String, nullable=False),
        sa.Column("created", sa.Integer, nullable=False),
        sa.Column("seen", sa.Integer, nullable=False),
        sa.Column("source", sa.String, nullable=False),
        sa.Column("agent", sa.String, nullable=False),
    )
    op.create_index("session_user", "session", ["user"])
    op.create_table(
        "invitation",
        sa.Column("hash", sa.LargeBinary, primary_key=True),
        sa.Column("user", sa.String, nullable=False),
        sa.Column("expires", sa.Integer, nullable=False),
    )
    op.create_table(
        "token",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("hash", sa.LargeBinary, nullable=False, unique=True),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("role", sa.Integer, nullable=False),
        sa.Column("author", sa.String, nullable=False),
        sa.Column("created", sa.Integer, nullable=False),
        sa.Column("expires", sa.Integer, nullable=False),
    )


def downgrade() -> None:
    for table in ("token", "invitation", "session", "user"):
        op.drop_table(table)
