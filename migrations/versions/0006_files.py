"""Uploaded files, and what each person's take up."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0006"
down_revision: str | None = "0005"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MOMENT = sa.DateTime(timezone=True).with_variant(sa.DateTime(), "sqlite")
BELONGS = sa.text("subject_id IS NOT NULL")
UNSETTLED = sa.text("state <> 'stored'")


def upgrade() -> None:
    op.create_table(
        "files",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("category", sa.String(16), nullable=False),
        sa.Column("original_name", sa.String(255), nullable=False),
        sa.Column("content_type", sa.String(100), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(64)),
        sa.Column("state", sa.String(16), nullable=False),
        # No foreign key: the bytes of a deleted person's files have still to be removed.
        sa.Column("owner_id", BIG_ID, nullable=False),
        sa.Column("subject_id", BIG_ID),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("changed_at", MOMENT, nullable=False),
        sa.CheckConstraint(
            "category IN ('avatars', 'items', 'documents', 'processed')", name=op.f("ck_files_category")
        ),
        sa.CheckConstraint("state IN ('pending', 'stored', 'doomed')", name=op.f("ck_files_state")),
        sa.CheckConstraint("state <> 'stored' OR sha256 IS NOT NULL", name=op.f("ck_files_stored_is_whole")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_files")),
        sa.UniqueConstraint("name", name=op.f("uq_files_name")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_files_owner_id", "files", ["owner_id"])
    op.create_index(
        "ix_files_subject_id", "files", ["subject_id"], postgresql_where=BELONGS, sqlite_where=BELONGS
    )
    op.create_index(
        "ix_files_unsettled", "files", ["changed_at"], postgresql_where=UNSETTLED, sqlite_where=UNSETTLED
    )
    op.create_table(
        "file_usage",
        sa.Column("owner_id", BIG_ID, nullable=False),
        sa.Column("files", sa.Integer(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("files >= 0 AND bytes >= 0", name=op.f("ck_file_usage_not_negative")),
        sa.ForeignKeyConstraint(
            ["owner_id"], ["users.id"], name=op.f("fk_file_usage_owner_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("owner_id", name=op.f("pk_file_usage")),
    )


def downgrade() -> None:
    op.drop_table("file_usage")
    op.drop_table("files")
