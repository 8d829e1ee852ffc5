"""Sort keys of the tags, categories and people that are there, and the indexes by them."""

from collections.abc import Sequence
from functools import partial

import sqlalchemy as sa

from tradepost.core.database.online import back_fill, create_index_online, drop_index_online
from tradepost.core.wire.folding import sort_key

revision: str = "0015"
down_revision: str | None = "0014"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

TEXTS = {"users": ("email", "first_name", "last_name"), "tags": ("name",), "categories": ("name",)}


def upgrade() -> None:
    for table, texts in TEXTS.items():
        back_fill(f"{table}_sort_keys", table, partial(fill, table, texts))
        for text in texts:
            create_index_online(f"ix_{table}_{text}_key_id", table, [f"{text}_key", "id"])


def downgrade() -> None:
    for table, texts in TEXTS.items():
        for text in texts:
            drop_index_online(f"ix_{table}_{text}_key_id", table)


def fill(table: str, texts: Sequence[str], connection: sa.Connection, first_id: int, last_id: int) -> None:
    columns = [sa.column(name) for text in texts for name in (text, f"{text}_key")]
    rows = sa.table(table, sa.column("id"), *columns)
    found = connection.execute(
        sa.select(rows).where(rows.c.id.between(first_id, last_id)).order_by(rows.c.id)
    )
    keys = {f"{text}_key": sa.bindparam(f"made_{text}") for text in texts}
    made = [
        {"of_row": row.id, **{f"made_{text}": sort_key(getattr(row, text)) for text in texts}}
        for row in found
    ]
    if made:
        connection.execute(sa.update(rows).where(rows.c.id == sa.bindparam("of_row")).values(keys), made)
