"""Links that change an address, and that undo it."""

from collections.abc import Sequence

from alembic import op

revision: str = "0032"
down_revision: str | None = "0031"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    with op.batch_alter_table("account_tokens", table_kwargs={"sqlite_autoincrement": True}) as batch_op:
        batch_op.drop_constraint(batch_op.f("ck_account_tokens_purpose"), type_="check")
        batch_op.create_check_constraint(
            batch_op.f("ck_account_tokens_purpose"),
            "purpose IN ('verify_email', 'reset_password', 'change_email', 'undo_email')",
        )


def downgrade() -> None:
    op.execute("DELETE FROM account_tokens WHERE purpose IN ('change_email', 'undo_email')")
    with op.batch_alter_table("account_tokens", table_kwargs={"sqlite_autoincrement": True}) as batch_op:
        batch_op.drop_constraint(batch_op.f("ck_account_tokens_purpose"), type_="check")
        batch_op.create_check_constraint(
            batch_op.f("ck_account_tokens_purpose"), "purpose IN ('verify_email', 'reset_password')"
        )
