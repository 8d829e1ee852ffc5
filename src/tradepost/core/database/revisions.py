"""Which revision of the schema a database is at, and which this code knows: all that a process asks that does not migrate.

It takes the names of the revisions' files at their word, and needs nothing of Alembic, which would cost each server 7 MB
and 7 % of the CPU time of its start.
"""

from functools import cache
from pathlib import Path

import structlog
from sqlalchemy import Connection, column, func, select, table

from tradepost.core.database.engines import Database
from tradepost.core.errors import CannotMigrate

log = structlog.get_logger(__name__)

_STAMP = table("alembic_version", column("version_num"))


@cache
def script_location() -> Path:
    """Return the directory of the migrations: of the checkout this code runs in, else the wheel's own copy.

    Never one of the working directory, which may be anybody's.
    """
    package = Path(__file__).parents[2]
    for directory in (package.parents[1] / "migrations", package / "migrations"):
        if (directory / "env.py").is_file() and directory.parent.name != "site-packages":
            return directory
    message = "the migrations are neither beside src/ nor in the package"
    raise FileNotFoundError(message)


@cache
def known() -> tuple[str, ...]:
    """Return every revision of this code's history, the oldest first: they are numbered."""
    return tuple(
        sorted(path.stem.partition("_")[0] for path in (script_location() / "versions").glob("[!_]*.py"))
    )


def head() -> str | None:
    """Return the newest revision that this code knows."""
    return known()[-1] if known() else None


def is_newer(revision: str | None) -> bool:
    """Tell whether a database at ``revision`` was migrated by a newer version than this: it is not in this history."""
    return revision is not None and revision not in known()


def suits(revision: str | None) -> bool:
    """Tell whether this code can work on a database at ``revision``: at the head, or past it.

    While replicas are replaced one by one the first new one migrates, and the old ones must go on serving.
    """
    return revision == head() or is_newer(revision)


def stamp(connection: Connection) -> str | None:
    """Return the revision that a database is at, None before the first."""
    if not connection.dialect.has_table(connection, _STAMP.name):
        return None
    found = connection.execute(select(_STAMP.c.version_num)).scalars().all()
    if len(found) > 1:
        raise CannotMigrate from ValueError(f"it is at several revisions at once: {', '.join(sorted(found))}")
    return found[0] if found else None


def hindrance(connection: Connection) -> str | None:
    """Return why nothing can be migrated in a database, None if it can.

    Found out first: in another encoding than UTF-8 it would be a revision in the middle of the history that fails.
    """
    if connection.dialect.name == "sqlite":
        return None
    schema = func.current_schema()
    asked = select(
        func.current_setting("server_encoding"),
        func.current_user(),
        schema,
        func.has_schema_privilege(schema, "CREATE"),
    )
    encoding, role, name, may_create = connection.execute(asked).one()
    if encoding != "UTF8":
        return f"its encoding is {encoding}; make one with ENCODING 'UTF8' TEMPLATE template0"
    if not may_create:
        return f"{role} may not make tables; GRANT CREATE ON SCHEMA {name or 'public'} TO {role}"
    return None


async def current(database: Database) -> str | None:
    """Return the revision that the database is at, None before the first."""
    async with database.read() as db:
        return await (await db.connection()).run_sync(stamp)


async def is_behind(database: Database) -> bool:
    """Tell whether the database has to be migrated; one that a newer version has migrated is left as it is, and told of."""
    found = await current(database)
    if is_newer(found):
        log.warning("the database was migrated by a newer version", revision=found, ours=head())
    return not suits(found)
