"""Registrations by extension, and the answers of a batch in one row.

What is there is read as it is: a row of `registration` that is named by an identifier goes when its
extension is written, a row of `answer` with one answer when it is old.  `slot` of an answer is its `n`
from now on.
"""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # By way of numbers that no slot has, since the table takes each only once.
    op.execute("UPDATE answer SET slot = -1 - n")
    op.execute("UPDATE answer SET slot = n")


def downgrade() -> None:
    op.execute("DELETE FROM registration")
    op.execute("DELETE FROM answer")
