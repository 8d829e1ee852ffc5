"""The pieces of work under an idempotency key that is done in many transactions."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0023"
down_revision: str | None = "0022"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        "idempotent_pieces",
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("last", sa.Integer(), nullable=False),
        sa.Column("made", sa.Integer(), nullable=False),
        sa.Column("is_told", sa.Boolean(), nullable=False),
        sa.Column("answer", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["digest"],
            ["idempotency_keys.digest"],
            name=op.f("fk_idempotent_pieces_digest_idempotency_keys"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("digest", "number", name=op.f("pk_idempotent_pieces")),
    )


def downgrade() -> None:
    op.drop_table("idempotent_pieces")
