"""The class of an item's views, by which lists find the most viewed ones; triggers keep it, whatever writes views."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0029"
down_revision: str | None = "0028"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

CLASS = """
    CASE WHEN {row}.views < 100 THEN 0
    ELSE length(CAST({row}.views AS text)) * 10 + CAST(substr(CAST({row}.views AS text), 1, 1) AS integer) END
"""
"""``views_class`` in ``items/texts.py``: nothing below a hundred, then the number of digits and the first of them."""


def upgrade() -> None:
    op.add_column(
        "items", sa.Column("views_class", sa.SmallInteger(), nullable=False, server_default=sa.text("0"))
    )
    of_new = CLASS.format(row="NEW")
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            f"""
            CREATE FUNCTION item_views_classed() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
                NEW.views_class := {of_new};
                RETURN NEW;
            END $$
            """
        )
        op.execute(
            "CREATE TRIGGER item_views_classed BEFORE INSERT OR UPDATE OF views ON items FOR EACH ROW "
            f"WHEN (NEW.views_class <> {of_new}) EXECUTE FUNCTION item_views_classed()"
        )
        return
    keep = f"UPDATE items SET views_class = {of_new} WHERE id = NEW.id"  # noqa: S608 - our own names
    for name, event in (("added", "INSERT"), ("changed", "UPDATE OF views")):
        op.execute(
            f"CREATE TRIGGER item_views_class_{name} AFTER {event} ON items "
            f"WHEN NEW.views_class <> {of_new} BEGIN {keep}; END"
        )


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP TRIGGER item_views_classed ON items")
        op.execute("DROP FUNCTION item_views_classed()")
    else:
        for name in ("added", "changed"):
            op.execute(f"DROP TRIGGER item_views_class_{name}")
    # Not a rebuilt table, which would get its triggers back.
    op.drop_column("items", "views_class")
