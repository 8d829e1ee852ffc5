"""Counts of items by status, tag, category and owner, kept by triggers."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0011"
down_revision: str | None = "0010"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

POSTGRESQL = (
    # The status of a link is its item's. The subquery is planned once for each connection, perhaps while there are few
    # items: without the setting it would go on reading the whole table when there are many.
    """
    CREATE FUNCTION item_counts_items_added() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO item_count_changes (status, category_id, owner_id, n)
        SELECT status, category_id, owner_id, count(*) FROM added GROUP BY status, category_id, owner_id;
        RETURN NULL;
    END $$
    """,
    """
    CREATE FUNCTION item_counts_item_changed() RETURNS trigger LANGUAGE plpgsql SET enable_seqscan = off AS $$
    BEGIN
        INSERT INTO item_count_changes (status, category_id, owner_id, n)
        VALUES (OLD.status, OLD.category_id, OLD.owner_id, -1), (NEW.status, NEW.category_id, NEW.owner_id, 1);
        IF OLD.status <> NEW.status THEN
            INSERT INTO item_count_changes (status, tag, n)
            SELECT moved.status, item_tags.tag, moved.n
            FROM (VALUES (OLD.status, -1), (NEW.status, 1)) AS moved (status, n), item_tags
            WHERE item_tags.item_id = NEW.id;
        END IF;
        RETURN NULL;
    END $$
    """,
    # Before the item goes, its links tell which tags it had; those of its own cascade find it gone, and count nothing.
    """
    CREATE FUNCTION item_counts_item_removed() RETURNS trigger LANGUAGE plpgsql SET enable_seqscan = off AS $$
    BEGIN
        INSERT INTO item_count_changes (status, category_id, owner_id, n)
        VALUES (OLD.status, OLD.category_id, OLD.owner_id, -1);
        INSERT INTO item_count_changes (status, tag, n)
        SELECT OLD.status, tag, -1 FROM item_tags WHERE item_id = OLD.id;
        RETURN OLD;
    END $$
    """,
    """
    CREATE FUNCTION item_counts_links_added() RETURNS trigger LANGUAGE plpgsql SET enable_seqscan = off AS $$
    BEGIN
        INSERT INTO item_count_changes (status, tag, n)
        SELECT status, tag, count(*) FROM (
            SELECT (SELECT status FROM items WHERE items.id = added.item_id) AS status, tag FROM added
        ) AS link WHERE status IS NOT NULL GROUP BY status, tag;
        RETURN NULL;
    END $$
    """,
    """
    CREATE FUNCTION item_counts_links_removed() RETURNS trigger LANGUAGE plpgsql SET enable_seqscan = off AS $$
    BEGIN
        INSERT INTO item_count_changes (status, tag, n)
        SELECT status, tag, -count(*) FROM (
            SELECT (SELECT status FROM items WHERE items.id = removed.item_id) AS status, tag FROM removed
        ) AS link WHERE status IS NOT NULL GROUP BY status, tag;
        RETURN NULL;
    END $$
    """,
    """
    CREATE FUNCTION item_counts_links_changed() RETURNS trigger LANGUAGE plpgsql SET enable_seqscan = off AS $$
    BEGIN
        INSERT INTO item_count_changes (status, tag, n)
        SELECT status, tag, sum(n) FROM (
            SELECT (SELECT status FROM items WHERE items.id = moved.item_id) AS status, tag, n FROM (
                SELECT item_id, tag, -1 AS n FROM removed UNION ALL SELECT item_id, tag, 1 FROM added
            ) AS moved
        ) AS link WHERE status IS NOT NULL GROUP BY status, tag HAVING sum(n) <> 0;
        RETURN NULL;
    END $$
    """,
    """
    CREATE TRIGGER item_counts_added AFTER INSERT ON items
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION item_counts_items_added()
    """,
    # A trigger with transition tables may name no columns, and would be called for each batch of views.
    """
    CREATE TRIGGER item_counts_changed AFTER UPDATE OF status, category_id, owner_id ON items FOR EACH ROW
    WHEN ((OLD.status, OLD.category_id, OLD.owner_id) IS DISTINCT FROM (NEW.status, NEW.category_id, NEW.owner_id))
    EXECUTE FUNCTION item_counts_item_changed()
    """,
    """
    CREATE TRIGGER item_counts_removed BEFORE DELETE ON items
    FOR EACH ROW EXECUTE FUNCTION item_counts_item_removed()
    """,
    """
    CREATE TRIGGER item_counts_added AFTER INSERT ON item_tags
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION item_counts_links_added()
    """,
    """
    CREATE TRIGGER item_counts_changed AFTER UPDATE ON item_tags
    REFERENCING OLD TABLE AS removed NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION item_counts_links_changed()
    """,
    """
    CREATE TRIGGER item_counts_removed AFTER DELETE ON item_tags
    REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION item_counts_links_removed()
    """,
)


def _added(row: str) -> str:
    """Return SQLite's statement that counts a row of items in."""
    return f"""
        INSERT INTO item_counts (dimension, key, status, n)
        SELECT 'all', '', {row}.status, 1
        UNION ALL SELECT 'owner', CAST({row}.owner_id AS TEXT), {row}.status, 1
        UNION ALL SELECT 'category', CAST({row}.category_id AS TEXT), {row}.status, 1 WHERE {row}.category_id IS NOT NULL
        ON CONFLICT DO UPDATE SET n = n + 1;
    """


def _removed(row: str) -> str:
    """Return SQLite's statement that counts a row of items out."""
    return f"""
        UPDATE item_counts SET n = n - 1 WHERE status = {row}.status AND (dimension, key) IN (
            VALUES ('all', ''), ('owner', CAST({row}.owner_id AS TEXT)), ('category', CAST({row}.category_id AS TEXT))
        );
    """  # noqa: S608 - OLD or NEW


LINK_ADDED = """
    INSERT INTO item_counts (dimension, key, status, n)
    SELECT 'tag', NEW.tag, status, 1 FROM items WHERE id = NEW.item_id
    ON CONFLICT DO UPDATE SET n = n + 1;
"""
LINK_REMOVED = """
    UPDATE item_counts SET n = n - 1
    WHERE dimension = 'tag' AND key = OLD.tag AND status = (SELECT status FROM items WHERE id = OLD.item_id);
"""
TAGS_OUT = """
    UPDATE item_counts SET n = n - 1
    WHERE dimension = 'tag' AND status = OLD.status AND key IN (SELECT tag FROM item_tags WHERE item_id = OLD.id);
"""
TAGS_IN = """
    INSERT INTO item_counts (dimension, key, status, n)
    SELECT 'tag', tag, NEW.status, 1 FROM item_tags WHERE item_id = NEW.id
    ON CONFLICT DO UPDATE SET n = n + 1;
"""

SQLITE = {
    "item_counts_added AFTER INSERT ON items": _added("NEW"),
    # Two, so that the tags are looked at only where the status changes.
    "item_counts_changed AFTER UPDATE OF status, category_id, owner_id ON items "
    "WHEN (OLD.status, OLD.category_id, OLD.owner_id) IS NOT (NEW.status, NEW.category_id, NEW.owner_id)": (
        _removed("OLD") + _added("NEW")
    ),
    "item_counts_tags_changed AFTER UPDATE OF status ON items WHEN OLD.status <> NEW.status": TAGS_OUT
    + TAGS_IN,
    # Before the item goes, its links tell which tags it had; those of its own cascade find it gone, and count nothing.
    "item_counts_removed BEFORE DELETE ON items": _removed("OLD") + TAGS_OUT,
    "item_counts_link_added AFTER INSERT ON item_tags": LINK_ADDED,
    "item_counts_link_changed AFTER UPDATE ON item_tags": LINK_REMOVED + LINK_ADDED,
    "item_counts_link_removed AFTER DELETE ON item_tags": LINK_REMOVED,
}


def upgrade() -> None:
    op.create_table(
        "item_counts",
        sa.Column("dimension", sa.String(16), nullable=False),
        sa.Column("key", sa.String(50), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("n", BIG_ID, nullable=False),
        sa.PrimaryKeyConstraint("dimension", "key", "status", name=op.f("pk_item_counts")),
        postgresql_with={"fillfactor": 70},
        sqlite_with_rowid=False,
    )
    op.create_table(
        "item_count_changes",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("tag", sa.String(50)),
        sa.Column("category_id", BIG_ID),
        sa.Column("owner_id", BIG_ID),
        sa.Column("n", BIG_ID, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_item_count_changes")),
    )
    if op.get_bind().dialect.name == "postgresql":
        for statement in POSTGRESQL:
            op.execute(statement)
    else:
        for trigger, body in SQLITE.items():
            op.execute(f"CREATE TRIGGER {trigger} BEGIN {body} END")
    # From here on every change counts. What is there already is counted by the next revision, in a transaction of its own:
    # this one keeps writers out of both tables.


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        for name in (
            "items_added",
            "item_changed",
            "item_removed",
            "links_added",
            "links_changed",
            "links_removed",
        ):
            op.execute(f"DROP FUNCTION item_counts_{name}() CASCADE")
    else:
        for trigger in SQLITE:
            op.execute(f"DROP TRIGGER {trigger.split()[0]}")
    op.drop_table("item_count_changes")
    op.drop_table("item_counts")
