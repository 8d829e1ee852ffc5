"""Sort keys of tags, categories and people; empty in what the previous release writes."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0014"
down_revision: str | None = "0013"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
KEYS = {
    "users": ("email_key", "first_name_key", "last_name_key"),
    "tags": ("name_key",),
    "categories": ("name_key",),
}


def upgrade() -> None:
    for table, columns in KEYS.items():
        for column in columns:
            op.add_column(table, sa.Column(column, KEY, nullable=False, server_default=""))


def downgrade() -> None:
    for table, columns in reversed(KEYS.items()):
        with op.batch_alter_table(table, table_kwargs={"sqlite_autoincrement": True}) as batch_op:
            for column in reversed(columns):
                batch_op.drop_column(column)
