"""Counts of the items that were there before their triggers."""

from collections.abc import Sequence

from alembic import op

revision: str = "0012"
down_revision: str | None = "0011"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

TRUTH = """
    SELECT 'all' AS dimension, '' AS key, status, count(*) AS n FROM items GROUP BY status
    UNION ALL
    SELECT 'category', CAST(category_id AS VARCHAR(50)), status, count(*) FROM items
    WHERE category_id IS NOT NULL GROUP BY category_id, status
    UNION ALL
    SELECT 'owner', CAST(owner_id AS VARCHAR(50)), status, count(*) FROM items GROUP BY owner_id, status
    UNION ALL
    SELECT 'tag', item_tags.tag, items.status, count(*)
    FROM item_tags JOIN items ON items.id = item_tags.item_id GROUP BY item_tags.tag, items.status
"""


KEPT = """
    SELECT dimension, key, status, -n FROM item_counts
    UNION ALL SELECT 'all', '', status, -n FROM item_count_changes WHERE tag IS NULL
    UNION ALL SELECT 'category', CAST(category_id AS VARCHAR(50)), status, -n
    FROM item_count_changes WHERE category_id IS NOT NULL
    UNION ALL SELECT 'owner', CAST(owner_id AS VARCHAR(50)), status, -n
    FROM item_count_changes WHERE owner_id IS NOT NULL
    UNION ALL SELECT 'tag', tag, status, -n FROM item_count_changes WHERE tag IS NOT NULL
"""


def upgrade() -> None:
    # One statement sees one snapshot: what it adds is what the triggers had not counted by then, however many write
    # meanwhile, and nothing when it is run again.
    op.execute(
        f"""
        INSERT INTO item_counts (dimension, key, status, n)
        SELECT dimension, key, status, CAST(sum(n) AS BIGINT) FROM ({TRUTH} UNION ALL {KEPT}) AS missing
        WHERE true GROUP BY dimension, key, status HAVING sum(n) <> 0 ORDER BY dimension, key, status
        ON CONFLICT (dimension, key, status) DO UPDATE SET n = item_counts.n + excluded.n
        """  # noqa: S608 - our own text
    )


def downgrade() -> None:
    """Nothing to do: right counts are right before this revision as well."""
