"""The facts of the items that are there, and on PostgreSQL the index of search with them and with the fields of words."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

from tradepost.core.database.online import back_fill, create_index_online, drop_index_online

revision: str = "0026"
down_revision: str | None = "0025"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

NAME = "ix_item_texts_search"
OPTIONS = {"postgresql_using": "gin", "postgresql_with": {"gin_pending_list_limit": 512}}
BEFORE = "((title || ' ' || tags || ' ' || description || ' \u00a7' || (item_id >> 14)::text)::tsvector)"
DOCUMENT = (
    "((title || ' ' || tags || ' ' || description || ' ' || facts || ' ' || "
    "'\u00a7b' || (item_id >> 14)::text || ' ' || '\u00a7l' || (item_id >> 17)::text || ' ' || "
    "'\u2039' || replace(title, ' ', ' \u2039') || ' ' || '\u203a' || replace(tags, ' ', ' \u203a'))::tsvector)"
)
# In hundredths.
PRICE_CLASSES = (
    *(100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000),
    *(1_000_000, 10_000_000),
)
POSTGRESQL = """
UPDATE item_texts SET facts = item_facts(items.status, items.owner_id, items.category_id, items.price) FROM items
WHERE items.id = item_texts.item_id AND item_texts.facts = '' AND items.id BETWEEN :first AND :last
"""
CLASSES = " ".join(
    f"WHEN price >= {PRICE_CLASSES[at - 1]} THEN {at}" for at in range(len(PRICE_CLASSES), 0, -1)
)
SQLITE = f"""
UPDATE item_texts SET facts = (
    SELECT '\u00a7s' || status || ' \u00a7o' || owner_id || coalesce(' \u00a7c' || category_id, '')
        || ' \u00a7p' || CASE {CLASSES} ELSE 0 END
    FROM items WHERE id = item_id
) WHERE facts = '' AND item_id BETWEEN :first AND :last
"""  # noqa: S608 - our own numbers


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        # First, or each row that gets its facts would be written into it once more.
        drop_index_online(NAME, "item_texts")
        back_fill("item facts", "items", fill)
        create_index_online(NAME, "item_texts", [sa.text(DOCUMENT)], **OPTIONS)
    else:
        back_fill("item facts", "items", fill)


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        drop_index_online(NAME, "item_texts")
        create_index_online(NAME, "item_texts", [sa.text(BEFORE)], **OPTIONS)


def fill(connection: sa.Connection, first: int, last: int) -> None:
    facts = POSTGRESQL if connection.dialect.name == "postgresql" else SQLITE
    connection.execute(sa.text(facts), {"first": first, "last": last})
