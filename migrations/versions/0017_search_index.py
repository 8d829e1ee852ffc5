"""The index of search on PostgreSQL: the words of an item's texts, and the number of its block of ids."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

from tradepost.core.database.online import create_index_online, drop_index_online

revision: str = "0017"
down_revision: str | None = "0016"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

DOCUMENT = "((title || ' ' || tags || ' ' || description || ' \u00a7' || (item_id >> 14)::text)::tsvector)"


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        create_index_online(
            "ix_item_texts_search",
            "item_texts",
            [sa.text(DOCUMENT)],
            postgresql_using="gin",
            postgresql_with={"gin_pending_list_limit": 512},
        )


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        drop_index_online("ix_item_texts_search", "item_texts")
