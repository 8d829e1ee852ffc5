"""Users and their sessions, categories, tags, items."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0001"
down_revision: str | None = None
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MONEY = sa.Numeric(12, 2).with_variant(sa.BigInteger(), "sqlite")
PERCENT = sa.Numeric(5, 2).with_variant(sa.BigInteger(), "sqlite")
MOMENT = sa.DateTime(timezone=True).with_variant(sa.DateTime(), "sqlite")
JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
BYTE_ORDERED = sa.String(200).with_variant(sa.String(200, collation="C"), "postgresql")


def identity() -> sa.Column[int]:
    """Return the column of an id that is never used twice; the table says ``sqlite_autoincrement``."""
    return sa.Column("id", BIG_ID, nullable=False)


def timestamps() -> tuple[sa.Column[object], sa.Column[object]]:
    """Return the columns for when a row was made and last changed."""
    return sa.Column("created_at", MOMENT, nullable=False), sa.Column("updated_at", MOMENT, nullable=False)


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "users",
        identity(),
        sa.Column("email", sa.String(254), nullable=False),
        sa.Column("hashed_password", sa.String(255), nullable=False),
        sa.Column("first_name", sa.String(50), nullable=False),
        sa.Column("last_name", sa.String(50), nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("is_active", sa.Boolean(), nullable=False),
        sa.Column("phone", sa.String(20)),
        sa.Column("website", sa.String(255)),
        sa.Column("avatar_url", sa.String(255)),
        *timestamps(),
        sa.CheckConstraint("email = lower(email)", name=op.f("ck_users_email_lower")),
        sa.CheckConstraint("role IN ('user', 'moderator', 'admin')", name=op.f("ck_users_role")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
        sa.UniqueConstraint("email", name=op.f("uq_users_email")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_users_created_at_id", "users", ["created_at", "id"])
    op.create_table(
        "sessions",
        identity(),
        sa.Column("user_id", BIG_ID, nullable=False),
        sa.Column("counter", sa.Integer(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("rotated_at", MOMENT, nullable=False),
        sa.Column("expires_at", MOMENT, nullable=False),
        sa.Column("user_agent", sa.String(200)),
        sa.Column("ip_address", sa.String(45)),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_sessions_user_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sessions")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_sessions_user_id"), "sessions", ["user_id"])
    op.create_table(
        "categories",
        identity(),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("slug", sa.String(120), nullable=False),
        sa.Column("description", sa.String(500)),
        sa.Column("is_active", sa.Boolean(), nullable=False),
        sa.Column("parent_id", BIG_ID),
        *timestamps(),
        sa.CheckConstraint("parent_id <> id", name=op.f("ck_categories_not_its_own_parent")),
        sa.ForeignKeyConstraint(
            ["parent_id"],
            ["categories.id"],
            name=op.f("fk_categories_parent_id_categories"),
            ondelete="RESTRICT",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_categories")),
        sa.UniqueConstraint("slug", name=op.f("uq_categories_slug")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_categories_parent_id"), "categories", ["parent_id"])
    op.create_table(
        "tags",
        identity(),
        sa.Column("name", sa.String(50), nullable=False),
        sa.Column("description", sa.String(500)),
        *timestamps(),
        sa.CheckConstraint("name <> ''", name=op.f("ck_tags_name_not_empty")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tags")),
        sa.UniqueConstraint("name", name=op.f("uq_tags_name")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "items",
        identity(),
        sa.Column("title", BYTE_ORDERED, nullable=False),
        sa.Column("description", sa.String(1000)),
        sa.Column("price", MONEY, nullable=False),
        sa.Column("discount_price", MONEY),
        sa.Column("tax", PERCENT),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("category_id", BIG_ID),
        sa.Column("images", JSON, nullable=False),
        sa.Column("views", BIG_ID, nullable=False),
        sa.Column("owner_id", BIG_ID, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        *timestamps(),
        sa.CheckConstraint("price > 0", name=op.f("ck_items_price_positive")),
        sa.CheckConstraint("discount_price < price", name=op.f("ck_items_discount_below_price")),
        sa.CheckConstraint("status IN ('active', 'inactive', 'draft')", name=op.f("ck_items_status")),
        sa.ForeignKeyConstraint(
            ["category_id"],
            ["categories.id"],
            name=op.f("fk_items_category_id_categories"),
            ondelete="RESTRICT",
        ),
        sa.ForeignKeyConstraint(
            ["owner_id"], ["users.id"], name=op.f("fk_items_owner_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_items")),
        sqlite_autoincrement=True,
        postgresql_with={"fillfactor": 85},
    )
    op.create_index("ix_items_created_at_id", "items", ["created_at", "id"])
    op.create_index("ix_items_status_created_at_id", "items", ["status", "created_at", "id"])
    op.create_index("ix_items_price_id_status", "items", ["price", "id", "status"])
    op.create_index("ix_items_title_id", "items", ["title", "id"])
    op.create_index("ix_items_owner_id_created_at_id", "items", ["owner_id", "created_at", "id"])
    op.create_index("ix_items_category_id_created_at_id", "items", ["category_id", "created_at", "id"])
    op.create_table(
        "item_tags",
        sa.Column("item_id", BIG_ID, nullable=False),
        sa.Column("tag", sa.String(50), nullable=False),
        sa.Column("position", sa.SmallInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["item_id"], ["items.id"], name=op.f("fk_item_tags_item_id_items"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["tag"], ["tags.name"], name=op.f("fk_item_tags_tag_tags"), onupdate="CASCADE", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("item_id", "tag", name=op.f("pk_item_tags")),
    )
    op.create_index("ix_item_tags_tag_item_id", "item_tags", ["tag", "item_id"])
    if op.get_context().dialect.name == "postgresql":
        # A few tags are on most items: with the usual statistics PostgreSQL takes a rare one for a common one.
        op.execute("ALTER TABLE item_tags ALTER COLUMN tag SET STATISTICS 1000")


def downgrade() -> None:
    """Drop the tables."""
    for table in ("item_tags", "items", "tags", "categories", "sessions", "users"):
        op.drop_table(table)
