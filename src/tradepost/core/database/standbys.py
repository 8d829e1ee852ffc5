"""Whether the database takes writes: a standby, which may become the primary at any moment, does not."""

from sqlalchemy import text

from tradepost.core.database.engines import Database


async def is_read_only(database: Database) -> bool:
    """Tell whether every write would be refused, on a standby or by ``default_transaction_read_only``."""
    if database.is_sqlite:
        return False
    async with database.read() as db:
        return bool(
            await db.scalar(
                text(
                    "SELECT pg_is_in_recovery() OR current_setting('default_transaction_read_only')::boolean"
                )
            )
        )
