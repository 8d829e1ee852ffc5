"""Give faults on purpose their names and their log."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0034"
down_revision: str | None = "0033"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MOMENT = sa.DateTime(timezone=True).with_variant(sa.DateTime(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "named_faults",
        sa.Column("name", sa.String(length=50), nullable=False),
        sa.Column("notation", sa.String(length=500), nullable=False),
        sa.Column("share", sa.Double(), nullable=False),
        sa.Column("method", sa.String(length=10), nullable=True),
        sa.Column("path", sa.String(length=200), nullable=True),
        sa.Column("replica", sa.String(length=100), nullable=True),
        sa.Column("starts_at", MOMENT, nullable=False),
        sa.Column("ends_at", MOMENT, nullable=False),
        sa.Column("period", sa.Double(), nullable=True),
        sa.Column("on_seconds", sa.Double(), nullable=True),
        sa.Column("put_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_named_faults")),
    )
    op.create_table(
        "struck_faults",
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("replica", sa.String(length=100), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("name", sa.String(length=50), nullable=True),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("details", sa.String(length=100), nullable=False),
        sa.Column("request_id", sa.String(length=128), nullable=True),
        sa.Column("method", sa.String(length=10), nullable=True),
        sa.Column("path", sa.String(length=200), nullable=True),
        sa.Column("id", BIG_ID, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_struck_faults")),
        sqlite_autoincrement=True,
    )


def downgrade() -> None:
    op.drop_table("struck_faults")
    op.drop_table("named_faults")
