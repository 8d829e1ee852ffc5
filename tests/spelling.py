"""How the two engines spell a statement."""

from sqlalchemy import ClauseElement
from sqlalchemy.dialects import postgresql, sqlite


def spelt(statement: ClauseElement) -> tuple[str, str]:
    """Return the text of a statement on PostgreSQL and on SQLite, each on one line."""
    dialects = (postgresql.asyncpg.dialect(), sqlite.dialect())  # type: ignore[no-untyped-call]
    on_postgres, on_sqlite = (
        " ".join(str(statement.compile(dialect=dialect)).split()) for dialect in dialects
    )
    return on_postgres, on_sqlite
