"""Whether an address is proved is shown of a user: the trigger of migration 0022 counts a change of it.

The previous release notes a proof without raising the version, and so does a statement by hand.
"""

from collections.abc import Sequence

from alembic import op

revision: str = "0033"
down_revision: str | None = "0032"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

BEFORE = (
    *("email", "first_name", "last_name", "role", "is_active"),
    *("phone", "website", "avatar_url", "updated_at"),
)


def _count(columns: Sequence[str]) -> None:
    """Put the trigger that counts changes of these columns in place of the one that is there."""
    old, new = (f"({', '.join(f'{row}.{column}' for column in columns)})" for row in ("OLD", "NEW"))
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP TRIGGER users_version ON users")
        op.execute(
            "CREATE TRIGGER users_version BEFORE UPDATE ON users FOR EACH ROW "
            f"WHEN (NEW.version = OLD.version AND {old} IS DISTINCT FROM {new}) "
            "EXECUTE FUNCTION version_raised()"
        )
        return
    op.execute("DROP TRIGGER users_version")
    raise_it = "UPDATE users SET version = version + 1 WHERE id = NEW.id"
    op.execute(
        "CREATE TRIGGER users_version AFTER UPDATE ON users "
        f"WHEN NEW.version = OLD.version AND {old} IS NOT {new} BEGIN {raise_it}; END"
    )


def upgrade() -> None:
    _count((*BEFORE, "email_verified_at"))


def downgrade() -> None:
    _count(BEFORE)
