"""Versions of users, tags, categories and webhooks: how often what is shown of them has changed.

The previous release does not know the column, and neither does a statement by hand: a trigger counts for a writer that
changes what is shown and leaves the version as it was. So a client that says which version it saw is not passed over
while replicas are replaced.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0022"
down_revision: str | None = "0021"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

SHOWN = {
    "users": (
        *("email", "first_name", "last_name", "role", "is_active"),
        *("phone", "website", "avatar_url", "updated_at"),
    ),
    "tags": ("name", "description", "updated_at"),
    "categories": ("name", "slug", "description", "is_active", "parent_id", "updated_at"),
    "webhooks": (
        *("url", "description", "event_types", "scope", "is_active"),
        *("disabled_at", "disabled_reason", "previous_until", "updated_at"),
    ),
}
"""What a change of counts. The failures of a webhook's receiver are shown too, and are no change of the webhook."""


def _row(name: str, columns: Sequence[str]) -> str:
    return f"({', '.join(f'{name}.{column}' for column in columns)})"


def upgrade() -> None:
    is_postgresql = op.get_bind().dialect.name == "postgresql"
    if is_postgresql:
        op.execute(
            """
            CREATE FUNCTION version_raised() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
                NEW.version := OLD.version + 1;
                RETURN NEW;
            END $$
            """
        )
    for table, columns in SHOWN.items():
        op.add_column(table, sa.Column("version", sa.Integer(), nullable=False, server_default=sa.text("1")))
        old, new = _row("OLD", columns), _row("NEW", columns)
        if is_postgresql:
            op.execute(
                f"CREATE TRIGGER {table}_version BEFORE UPDATE ON {table} FOR EACH ROW "
                f"WHEN (NEW.version = OLD.version AND {old} IS DISTINCT FROM {new}) "
                "EXECUTE FUNCTION version_raised()"
            )
        else:
            raise_it = f"UPDATE {table} SET version = version + 1 WHERE id = NEW.id"  # noqa: S608 - our own names
            op.execute(
                f"CREATE TRIGGER {table}_version AFTER UPDATE ON {table} "
                f"WHEN NEW.version = OLD.version AND {old} IS NOT {new} BEGIN {raise_it}; END"
            )


def downgrade() -> None:
    is_postgresql = op.get_bind().dialect.name == "postgresql"
    for table in reversed(SHOWN):
        op.execute(f"DROP TRIGGER {table}_version{f' ON {table}' if is_postgresql else ''}")
        # Not a rebuilt table, which would get its triggers back.
        op.drop_column(table, "version")
    if is_postgresql:
        op.execute("DROP FUNCTION version_raised()")
