"""Indexes of the sort keys of titles, and of the items whose texts are to be made."""

from collections.abc import Sequence

import sqlalchemy as sa

from tradepost.core.database.online import create_index_online, drop_index_online

revision: str = "0010"
down_revision: str | None = "0009"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    create_index_online("ix_items_title_key_id", "items", ["title_key", "id"])
    create_index_online(
        "ix_items_stale",
        "items",
        ["id"],
        postgresql_where=sa.text("indexed_version IS DISTINCT FROM version"),
        sqlite_where=sa.text("indexed_version IS NOT version"),
    )


def downgrade() -> None:
    drop_index_online("ix_items_stale", "items")
    drop_index_online("ix_items_title_key_id", "items")
