"""Normalised texts of items for search and sorting. The texts themselves are made in batches afterwards."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0009"
down_revision: str | None = "0008"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.add_column("items", sa.Column("title_key", KEY, nullable=False, server_default=""))
    op.add_column("items", sa.Column("indexed_version", sa.Integer(), nullable=True))
    op.create_table(
        "item_texts",
        sa.Column("item_id", BIG_ID, nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("tags", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["item_id"], ["items.id"], name=op.f("fk_item_texts_item_id_items"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("item_id", name=op.f("pk_item_texts")),
    )
    op.create_table(
        "text_rules",
        sa.Column("name", sa.String(50), nullable=False),
        sa.Column("rule", sa.Integer(), nullable=False),
        sa.Column("through", BIG_ID),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_text_rules")),
    )


def downgrade() -> None:
    op.drop_table("text_rules")
    op.drop_table("item_texts")
    with op.batch_alter_table("items", table_kwargs={"sqlite_autoincrement": True}) as batch_op:
        batch_op.drop_column("indexed_version")
        batch_op.drop_column("title_key")
