"""Counts of the items that were there before their triggers."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from tradepost.core.database.online import outside_transaction

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


MISSING = f"""
    SELECT dimension, key, status, CAST(sum(n) AS BIGINT) FROM ({TRUTH} UNION ALL {KEPT}) AS missing
    GROUP BY dimension, key, status HAVING sum(n) <> 0 ORDER BY dimension, key, status
"""  # noqa: S608 - our own text

COUNTS = sa.table("item_counts", *map(sa.column, ("dimension", "key", "status", "n")))


def upgrade() -> None:
    # One statement sees one snapshot: what is missing is what the triggers had not counted by then, and nothing when it is
    # looked for again. It is added in a short transaction afterwards, and what changes meanwhile comes on top by itself.
    with outside_transaction() as connection:
        if connection.dialect.name == "sqlite":
            # Its triggers count out only where there is a row to count in: first each count gets one, which says nothing.
            _add(connection, [(*row[:3], 0) for row in _read(connection)])
        _add(connection, _read(connection))


def _add(connection: sa.Connection, missing: Sequence[Sequence[Any]]) -> None:
    if not missing:
        return
    adding = postgresql.insert(COUNTS)
    adding = adding.on_conflict_do_update(
        index_elements=["dimension", "key", "status"], set_={"n": COUNTS.c.n + adding.excluded.n}
    )
    names = ("dimension", "key", "status", "n")
    with connection.begin():
        connection.execute(adding, [dict(zip(names, row, strict=True)) for row in missing])


def _read(connection: sa.Connection) -> Sequence[Sequence[Any]]:
    """Return what is missing, without a transaction: on SQLite that would keep writers out for as long as it reads."""
    cursor: Any = connection.connection.cursor()
    cursor.execute(MISSING)
    rows: Sequence[Sequence[Any]] = cursor.fetchall()
    cursor.close()
    connection.rollback()
    return rows


def downgrade() -> None:
    """Nothing to do: right counts are right before this revision as well."""
