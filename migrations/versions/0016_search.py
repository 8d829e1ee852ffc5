"""Search: the vocabulary, and on SQLite the index over the texts of items, which triggers keep in step."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0016"
down_revision: str | None = "0015"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

BYTES = sa.String(72).with_variant(sa.String(72, collation="C"), "postgresql")
# Of words alone: their places and how many there are stand in the texts.
INDEX = """
CREATE VIRTUAL TABLE item_texts_search USING fts5(
    title, tags, description,
    content = 'item_texts', content_rowid = 'item_id', tokenize = 'ascii', detail = none, columnsize = 0
)
"""
ADD = """
INSERT INTO item_texts_search (rowid, title, tags, description)
VALUES (new.item_id, new.title, new.tags, new.description);
"""
REMOVE = """
INSERT INTO item_texts_search (item_texts_search, rowid, title, tags, description)
VALUES ('delete', old.item_id, old.title, old.tags, old.description);
"""
CHANGED = "old.title <> new.title OR old.tags <> new.tags OR old.description <> new.description"


def upgrade() -> None:
    op.create_table(
        "vocabulary",
        sa.Column("piece", BYTES, nullable=False),
        sa.Column("word", BYTES, nullable=False),
        sa.PrimaryKeyConstraint("piece", "word", name=op.f("pk_vocabulary")),
        sqlite_with_rowid=False,
    )
    if op.get_bind().dialect.name != "sqlite":
        return
    op.execute(INDEX)
    op.execute("INSERT INTO item_texts_search (item_texts_search) VALUES ('rebuild')")
    op.execute(f"CREATE TRIGGER item_texts_added AFTER INSERT ON item_texts BEGIN {ADD} END")
    op.execute(f"CREATE TRIGGER item_texts_removed AFTER DELETE ON item_texts BEGIN {REMOVE} END")
    op.execute(
        "CREATE TRIGGER item_texts_changed AFTER UPDATE OF title, tags, description ON item_texts "
        f"WHEN {CHANGED} BEGIN {REMOVE} {ADD} END"
    )


def downgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        for name in ("added", "removed", "changed"):
            op.execute(f"DROP TRIGGER item_texts_{name}")
        op.execute("DROP TABLE item_texts_search")
    op.drop_table("vocabulary")
