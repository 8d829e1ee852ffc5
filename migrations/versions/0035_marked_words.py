"""SQLite's index of search, with the words of titles and of tags once more, under marks, as PostgreSQL's has them."""

from collections.abc import Sequence

from alembic import op

revision: str = "0035"
down_revision: str | None = "0034"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

# The fields stay: the previous release asks for words in one of them.
FIELDS = ("title", "tags", "description", "facts")
NAMES = ", ".join(FIELDS)
MARKED = {"title": "\u2039", "tags": "\u203a"}
VIEW = "item_texts_words"


def upgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        op.execute(f"CREATE VIEW {VIEW} (item_id, {NAMES}) AS SELECT item_id, {marked('')} FROM item_texts")  # noqa: S608 - our own names
        make(content=VIEW, added=marked("new."), removed=marked("old."))
        # Twice as many segments before they are merged: an item takes a sixth less to be added, and a question half a
        # millisecond more at the most.
        op.execute("INSERT INTO item_texts_search (item_texts_search, rank) VALUES ('automerge', 8)")


def downgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        make(content="item_texts", added=plain("new."), removed=plain("old."))
        op.execute(f"DROP VIEW {VIEW}")


def plain(row: str) -> str:
    """Return the fields of a row."""
    return ", ".join(f"{row}{name}" for name in FIELDS)


def marked(row: str) -> str:
    """Return them with each word of the marked ones once more, under its mark, beside the facts."""
    return plain(row) + "".join(
        f" || ' {mark}' || replace({row}{name}, ' ', ' {mark}')" for name, mark in MARKED.items()
    )


def make(*, content: str, added: str, removed: str) -> None:
    add = f"INSERT INTO item_texts_search (rowid, {NAMES}) VALUES (new.item_id, {added});"  # noqa: S608 - our own names
    remove = f"""
        INSERT INTO item_texts_search (item_texts_search, rowid, {NAMES})
        VALUES ('delete', old.item_id, {removed});
    """  # noqa: S608 - our own names
    changed = " OR ".join(f"old.{name} <> new.{name}" for name in FIELDS)
    for name in ("added", "removed", "changed"):
        op.execute(f"DROP TRIGGER item_texts_{name}")
    op.execute("DROP TABLE item_texts_search")
    op.execute(
        f"CREATE VIRTUAL TABLE item_texts_search USING fts5({NAMES}, content = '{content}', "
        f"content_rowid = 'item_id', tokenize = 'ascii', detail = column, columnsize = 0)"
    )
    op.execute("INSERT INTO item_texts_search (item_texts_search) VALUES ('rebuild')")
    op.execute(f"CREATE TRIGGER item_texts_added AFTER INSERT ON item_texts BEGIN {add} END")
    op.execute(f"CREATE TRIGGER item_texts_removed AFTER DELETE ON item_texts BEGIN {remove} END")
    op.execute(
        f"CREATE TRIGGER item_texts_changed AFTER UPDATE OF {NAMES} ON item_texts "
        f"WHEN {changed} BEGIN {remove} {add} END"
    )
