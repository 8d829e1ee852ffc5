"""The names of an item's tags beside its texts, for facets: read with the row, and void once its links change."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0036"
down_revision: str | None = "0035"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

# Planned once for each connection, perhaps while there are few texts: it must not go on reading all when there are many.
FUNCTION = """
CREATE FUNCTION item_texts_void_tag_names() RETURNS trigger LANGUAGE plpgsql SET enable_seqscan = off AS $$
BEGIN
    UPDATE item_texts SET tag_names = NULL
    WHERE item_id IN (SELECT item_id FROM touched) AND tag_names IS NOT NULL;
    RETURN NULL;
END $$
"""
LINKS = {"added": ("INSERT", "new"), "changed": ("UPDATE", "old"), "removed": ("DELETE", "old")}


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        # The links first, as every writer has them: one that has written links, and waits for the texts, would keep the
        # migration from the links again and again. The function looks for the column when it is called.
        op.execute(FUNCTION)
        for name, (event, row) in LINKS.items():
            op.execute(
                f"CREATE TRIGGER item_texts_link_{name} AFTER {event} ON item_tags REFERENCING {row} TABLE AS touched "
                "FOR EACH STATEMENT EXECUTE FUNCTION item_texts_void_tag_names()"
            )
    # Null, which says nothing, for the texts that are there and those that the previous release writes.
    op.add_column("item_texts", sa.Column("tag_names", sa.Text(), nullable=True))
    if op.get_bind().dialect.name == "sqlite":
        for name, (event, row) in LINKS.items():
            op.execute(
                f"CREATE TRIGGER item_texts_link_{name} AFTER {event} ON item_tags BEGIN "  # noqa: S608 - our own names
                f"UPDATE item_texts SET tag_names = NULL WHERE item_id = {row}.item_id AND tag_names IS NOT NULL; END"
            )


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION item_texts_void_tag_names() CASCADE")
    else:
        for name in LINKS:
            op.execute(f"DROP TRIGGER item_texts_link_{name}")
    op.drop_column("item_texts", "tag_names")
