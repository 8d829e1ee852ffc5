"""SQLite's index of search, with the fields in which words stand, and with facts."""

from collections.abc import Sequence

from alembic import op

revision: str = "0027"
down_revision: str | None = "0026"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

BEFORE = ("title", "tags", "description")
FIELDS = (*BEFORE, "facts")


def upgrade() -> None:
    # Of words and their fields: their places stand in the texts.
    make(FIELDS, detail="column")


def downgrade() -> None:
    make(BEFORE, detail="none")


def make(fields: Sequence[str], *, detail: str) -> None:
    if op.get_bind().dialect.name != "sqlite":
        return
    names = ", ".join(fields)
    add = f"""
        INSERT INTO item_texts_search (rowid, {names})
        VALUES (new.item_id, {", ".join(f"new.{name}" for name in fields)});
    """  # noqa: S608 - our own names
    remove = f"""
        INSERT INTO item_texts_search (item_texts_search, rowid, {names})
        VALUES ('delete', old.item_id, {", ".join(f"old.{name}" for name in fields)});
    """  # noqa: S608 - our own names
    changed = " OR ".join(f"old.{name} <> new.{name}" for name in fields)
    for name in ("added", "removed", "changed"):
        op.execute(f"DROP TRIGGER item_texts_{name}")
    op.execute("DROP TABLE item_texts_search")
    op.execute(
        f"CREATE VIRTUAL TABLE item_texts_search USING fts5({names}, content = 'item_texts', "
        f"content_rowid = 'item_id', tokenize = 'ascii', detail = {detail}, columnsize = 0)"
    )
    op.execute("INSERT INTO item_texts_search (item_texts_search) VALUES ('rebuild')")
    op.execute(f"CREATE TRIGGER item_texts_added AFTER INSERT ON item_texts BEGIN {add} END")
    op.execute(f"CREATE TRIGGER item_texts_removed AFTER DELETE ON item_texts BEGIN {remove} END")
    op.execute(
        f"CREATE TRIGGER item_texts_changed AFTER UPDATE OF {names} ON item_texts "
        f"WHEN {changed} BEGIN {remove} {add} END"
    )
