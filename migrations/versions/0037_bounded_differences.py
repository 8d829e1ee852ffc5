"""Differences of counts are folded by their writers where nobody else does: there are never more than so many."""

from collections.abc import Sequence

from alembic import op

revision: str = "0037"
down_revision: str | None = "0036"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

# The job folds every two seconds, and a writer then finds few. At most once in a transaction, so that it locks counts in one
# order, and by one writer at a time: nobody waits for another's transaction.
FUNCTION = """
CREATE FUNCTION item_count_changes_bound() RETURNS trigger LANGUAGE plpgsql SET enable_seqscan = off AS $$
BEGIN
    IF coalesce(current_setting('tradepost.has_folded', true), '') <> ''
        OR (SELECT count(*) FROM (SELECT FROM item_count_changes LIMIT 20000) AS held) < 20000
        OR NOT pg_try_advisory_xact_lock(hashtextextended('tradepost differences', 0))
    THEN
        RETURN NULL;
    END IF;
    PERFORM set_config('tradepost.has_folded', 'yes', true);
    WITH taken AS (
        DELETE FROM item_count_changes WHERE id IN (
            SELECT id FROM item_count_changes ORDER BY id LIMIT 15000 FOR UPDATE SKIP LOCKED
        ) RETURNING *
    )
    INSERT INTO item_counts (dimension, key, status, n)
    SELECT dimension, key, status, sum(n) FROM (
        SELECT 'all' AS dimension, '' AS key, status, n FROM taken WHERE tag IS NULL
        UNION ALL SELECT 'tag', tag, status, n FROM taken WHERE tag IS NOT NULL
        UNION ALL SELECT 'category', category_id::text, status, n FROM taken WHERE category_id IS NOT NULL
        UNION ALL SELECT 'owner', owner_id::text, status, n FROM taken WHERE owner_id IS NOT NULL
    ) AS counted GROUP BY dimension, key, status HAVING sum(n) <> 0 ORDER BY dimension, key, status
    ON CONFLICT (dimension, key, status) DO UPDATE SET n = item_counts.n + excluded.n;
    RETURN NULL;
END $$
"""
TRIGGER = """
CREATE TRIGGER item_count_changes_bounded AFTER INSERT ON item_count_changes
FOR EACH ROW WHEN (NEW.id % 5000 = 0) EXECUTE FUNCTION item_count_changes_bound()
"""


def upgrade() -> None:
    # On SQLite the counts themselves change.
    if op.get_bind().dialect.name == "postgresql":
        op.execute(FUNCTION)
        op.execute(TRIGGER)


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION item_count_changes_bound() CASCADE")
