"""The translation of SQLSTATEs and SQLite's error codes into domain errors, alike for both engines."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import asyncpg
from sqlalchemy import exc

from tradepost.core.errors import Conflict, DatabaseUnavailable, OperationFailed, TradepostError

UNIQUE_VIOLATIONS: Final = frozenset(
    {"23505", sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY}
)
FOREIGN_KEY_VIOLATIONS: Final = frozenset(
    # SQLite reports a RESTRICT that fired as a trigger's failure.
    {"23503", "23001", sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY, sqlite3.SQLITE_CONSTRAINT_TRIGGER}
)
UNDONE_STATES: Final = frozenset({"40001", "40P01"})
"""Serialization failure, deadlock detected."""
PASSING_STATES: Final = frozenset(
    {
        "25006",  # read-only: a standby, which may become the primary
        "40001",  # serialization failure
        "40P01",  # deadlock detected
        "42703",  # undefined column: the migration to this version has yet to come
        "42P01",  # undefined table, likewise
        "53000",  # insufficient resources
        "53100",  # disk full
        "53200",  # out of memory
        "53300",  # too many connections
        "55P03",  # lock not available
        "57014",  # cancelled by statement_timeout
        "57P01",  # terminated by an administrator
        "57P02",  # crash shutdown
        "57P03",  # starting up or shutting down
        "57P05",  # idle session timeout
    }
)
PASSING_SQLITE: Final = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_NOMEM,
    }
)


FULL_CODES: Final = frozenset({"53100", sqlite3.SQLITE_FULL})
"""There is no room left for what is to be written."""
_UNMIGRATED: Final = ("no such table", "no such column")


def violation_code(error: exc.DBAPIError) -> str | int | None:
    """Return PostgreSQL's SQLSTATE or SQLite's extended error code; never looks at the text."""
    sqlstate = getattr(error.orig, "sqlstate", None)
    return sqlstate if sqlstate is not None else getattr(error.orig, "sqlite_errorcode", None)


@contextmanager
def violations(
    *,
    unique: Callable[[], TradepostError] | None = None,
    foreign_key: Callable[[], TradepostError] | None = None,
) -> Iterator[None]:
    """Raise the given domain error when a statement in the block breaks a constraint of that kind."""
    try:
        yield
    except exc.IntegrityError as error:
        code = violation_code(error)
        if unique is not None and code in UNIQUE_VIOLATIONS:
            raise unique() from error
        if foreign_key is not None and code in FOREIGN_KEY_VIOLATIONS:
            raise foreign_key() from error
        raise


def is_full(error: exc.DBAPIError) -> bool:
    """Tell whether a write failed for lack of room."""
    return violation_code(error) in FULL_CODES


def is_undone(error: BaseException) -> bool:
    """Tell whether the database rolled the transaction back because of a concurrent one: it may be tried again."""
    return isinstance(error, exc.DBAPIError) and violation_code(error) in UNDONE_STATES


def is_read_only(error: BaseException) -> bool:
    """Tell whether a write was refused because nothing is written here, as on a standby."""
    return isinstance(error, exc.DBAPIError) and violation_code(error) == "25006"


def is_busy(error: BaseException) -> bool:
    """Tell whether another process writes to SQLite's file, for longer than is waited for."""
    code = violation_code(error) if isinstance(error, exc.DBAPIError) else None
    return isinstance(code, int) and code & 0xFF == sqlite3.SQLITE_BUSY


def is_held_up(error: BaseException) -> bool:
    """Tell whether a transaction gave up waiting for a lock that another one has."""
    return isinstance(error, exc.DBAPIError) and violation_code(error) == "55P03"


def translate(error: BaseException) -> TradepostError | None:
    """Return the error that a client gets for a database error, or None when it is no database error.

    A broken constraint is a conflict; what may pass (no connection, overload, a lock, a time limit) is unavailable with
    ``Retry-After``; the rest is a fault of ours.
    """
    if isinstance(error, exc.IntegrityError):
        return Conflict()
    if isinstance(error, exc.TimeoutError):
        return DatabaseUnavailable()
    if isinstance(error, exc.DBAPIError):
        code = violation_code(error)
        passing = (
            error.connection_invalidated
            or isinstance(error.orig, (ConnectionError, TimeoutError))
            # The driver lost its place: the connection broke off in the middle of what it was doing.
            or isinstance(getattr(error.orig, "__cause__", None), asyncpg.InternalClientError)
            or (isinstance(code, str) and (code in PASSING_STATES or code.startswith("08")))
            or (isinstance(code, int) and (code & 0xFF) in PASSING_SQLITE)
            # SQLite has one code for every fault of a statement; PostgreSQL has one for a schema that is yet to come.
            or (code == sqlite3.SQLITE_ERROR and str(error.orig).startswith(_UNMIGRATED))
        )
        return DatabaseUnavailable() if passing else OperationFailed()
    if isinstance(error, exc.SQLAlchemyError):
        return OperationFailed()
    return None
