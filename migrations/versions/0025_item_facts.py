"""Facts of items for search: what filters ask of an item, kept by triggers whatever it is that changes the item."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0025"
down_revision: str | None = "0024"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

# In hundredths.
PRICE_CLASSES = (
    *(100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000),
    *(1_000_000, 10_000_000),
)


def facts(row: str, hundredths: str) -> str:
    """Return the words of a row's facts, as ``items.texts.Facts`` writes them."""
    classes = " ".join(
        f"WHEN {hundredths} >= {PRICE_CLASSES[at - 1]} THEN {at}" for at in range(len(PRICE_CLASSES), 0, -1)
    )
    return (
        f"'\u00a7s' || {row}status || ' \u00a7o' || {row}owner_id "
        f"|| coalesce(' \u00a7c' || {row}category_id, '') || ' \u00a7p' || CASE {classes} ELSE 0 END"
    )


FUNCTION = f"""
CREATE FUNCTION item_facts(status text, owner_id bigint, category_id bigint, price numeric) RETURNS text
LANGUAGE sql IMMUTABLE AS $$ SELECT {facts("", "price * 100")} $$
"""
# Planned once for each connection, perhaps while there are few texts: it must not go on reading all when there are many.
KEEP = """
CREATE FUNCTION item_facts_keep() RETURNS trigger LANGUAGE plpgsql SET enable_seqscan = off AS $$
BEGIN
    UPDATE item_texts SET facts = item_facts(NEW.status, NEW.owner_id, NEW.category_id, NEW.price)
    WHERE item_id = NEW.id;
    RETURN NULL;
END $$
"""
POSTGRESQL = """
CREATE TRIGGER item_facts_changed AFTER UPDATE OF status, owner_id, category_id, price ON items FOR EACH ROW
WHEN (
    item_facts(OLD.status, OLD.owner_id, OLD.category_id, OLD.price)
    IS DISTINCT FROM item_facts(NEW.status, NEW.owner_id, NEW.category_id, NEW.price)
) EXECUTE FUNCTION item_facts_keep()
"""
SQLITE = f"""
CREATE TRIGGER item_facts_changed AFTER UPDATE OF status, owner_id, category_id, price ON items
WHEN {facts("old.", "old.price")} IS NOT {facts("new.", "new.price")}
BEGIN UPDATE item_texts SET facts = {facts("new.", "new.price")} WHERE item_id = new.id; END
"""  # noqa: S608 - our own numbers


def upgrade() -> None:
    op.add_column("item_texts", sa.Column("facts", sa.Text(), server_default=sa.text("''"), nullable=False))
    if op.get_bind().dialect.name == "postgresql":
        op.execute(FUNCTION)
        op.execute(KEEP)
        op.execute(POSTGRESQL)
    else:
        op.execute(SQLITE)


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP TRIGGER item_facts_changed ON items")
        op.execute("DROP FUNCTION item_facts_keep()")
        op.execute("DROP FUNCTION item_facts(text, bigint, bigint, numeric)")
    else:
        op.execute("DROP TRIGGER item_facts_changed")
    op.drop_column("item_texts", "facts")
