"""Issued keys, revocations, and how far the audit trail is taken in.

`n` is the number of the trail's line that says so.  `issued.revoked` is the line that revoked the
key; `revoked_g` has those g that were revoked here and issued elsewhere, by a peer.  `mark` has
one row.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "issued",
        sa.Column("g", sa.LargeBinary, primary_key=True),
        sa.Column("n", sa.Integer, nullable=False),
        sa.Column("at", sa.Integer, nullable=False),
        sa.Column("ext", sa.String),
        sa.Column("serial", sa.String),
        sa.Column("source", sa.String),
        sa.Column("generation", sa.Integer, nullable=False),
        sa.Column("revoked", sa.Integer),
        sqlite_with_rowid=False,
    )
    op.create_index("issued_n", "issued", ["n"])
    op.create_index("issued_ext", "issued", ["ext"])
    op.create_index("issued_serial", "issued", ["serial"])
    op.create_index("issued_revoked", "issued", ["revoked"], sqlite_where=sa.text("revoked IS NOT NULL"))
    op.create_table(
        "revoked_g",
        sa.Column("g", sa.LargeBinary, primary_key=True),
        sa.Column("n", sa.Integer, nullable=False),
    )
    op.create_table(
        "change",
        sa.Column("n", sa.Integer, primary_key=True),
        sa.Column("at", sa.Integer, nullable=False),
        sa.Column("what", sa.String, nullable=False),
        sa.Column("by", sa.String, nullable=False),
        sa.Column("value", sa.String, nullable=False),
        sa.Column("reason", sa.String, nullable=False),
    )
    op.create_table(
        "mark",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("n", sa.Integer, nullable=False),
        sa.Column("hash", sa.String, nullable=False),
        sa.Column("time", sa.Float, nullable=False),
        sa.Column("piece", sa.Integer, nullable=False),
        sa.Column("offset", sa.Integer, nullable=False),
        sa.Column("stream", sa.String, nullable=False),
        sa.Column("generations", sa.String, nullable=False),
    )


def downgrade() -> None:
    for name in ("mark", "change", "revoked_g", "issued"):
        op.drop_table(name)
