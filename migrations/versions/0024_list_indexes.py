"""Indexes that have all that lists sort and filter by; those they replace go, and that of titles as they are written."""

from collections.abc import Sequence

from tradepost.core.database.online import create_index_online, drop_index_online

revision: str = "0024"
down_revision: str | None = "0023"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

LISTED = ["created_at", "id", "status", "price", "title_key"]
NEW = {
    "ix_items_title_key_id_status": ["title_key", "id", "status"],
    "ix_items_listed_by_owner": ["owner_id", *LISTED, "category_id"],
    "ix_items_listed_by_category": ["category_id", *LISTED, "owner_id"],
}
OLD = {
    "ix_items_title_key_id": ["title_key", "id"],
    # Lists go by the sort key since 0010; the release before that one alone sorted by it.
    "ix_items_title_id": ["title", "id"],
    "ix_items_owner_id_created_at_id": ["owner_id", "created_at", "id"],
    "ix_items_category_id_created_at_id": ["category_id", "created_at", "id"],
}


def _replace(old: dict[str, list[str]], new: dict[str, list[str]]) -> None:
    # First those that come: no question goes without an index meanwhile.
    for name, columns in new.items():
        create_index_online(name, "items", [*columns])
    for name in old:
        drop_index_online(name, "items")


def upgrade() -> None:
    _replace(OLD, NEW)


def downgrade() -> None:
    _replace(NEW, OLD)
