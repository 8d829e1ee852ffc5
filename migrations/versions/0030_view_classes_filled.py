"""The classes of the views that items have, and the index of those that have many: no other item is in it."""

from collections.abc import Sequence

import sqlalchemy as sa

from tradepost.core.database.online import back_fill, create_index_online, drop_index_online

revision: str = "0030"
down_revision: str | None = "0029"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

MANY = sa.text("views_class > 0")


def upgrade() -> None:
    back_fill("item_view_classes", "items", fill)
    create_index_online(
        "ix_items_much_viewed", "items", ["views_class"], postgresql_where=MANY, sqlite_where=MANY
    )


def downgrade() -> None:
    drop_index_online("ix_items_much_viewed", "items")


def fill(connection: sa.Connection, first_id: int, last_id: int) -> None:
    # The trigger tells the class.
    connection.execute(
        sa.text(
            "UPDATE items SET views = views WHERE id BETWEEN :first AND :last AND views >= 100 AND views_class = 0"
        ),
        {"first": first_id, "last": last_id},
    )
