"""The engine for PostgreSQL: where its connections come from, and which of them are still good."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

from pydantic_core import from_json
from sqlalchemy import event, exc
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry, NullPool
from sqlalchemy.util import await_only

from tradepost.core.database.hosts import Hosts
from tradepost.core.database.options import DatabaseOptions
from tradepost.core.database.postgres_connection import NO_CONNECTION, PostgresConnection
from tradepost.core.errors import DatabaseUnavailable
from tradepost.core.observability.tallies import STATEMENT_TIMEOUTS

if TYPE_CHECKING:
    from weakref import WeakSet

IDLE_BEFORE_PING: Final = 1.0
"""Seconds a pooled PostgreSQL connection may have been idle and still be trusted without a ping."""
PING_TIMEOUT: Final = 2.0
"""Seconds to wait for the answer to a ping."""
READ_ONLY: Final = "25006"
"""The SQLSTATE of a write where nothing is written: on a standby, or where an operator has set it so."""
TIMED_OUT: Final = "57014"
"""The SQLSTATE of a statement that was cancelled."""
REFUSAL_PERIOD: Final = 1.0
"""Seconds in which refused writes have connections thrown away once: on a database that stays read-only, others read."""


def postgres_engine(options: DatabaseOptions, connections: "WeakSet[PostgresConnection]") -> AsyncEngine:
    """Return the engine, which adds each connection that it makes to ``connections``."""
    engine = create_async_engine(
        options.url,
        pool_size=options.pool_size,
        max_overflow=0,
        pool_timeout=options.pool_timeout,
        pool_recycle=options.pool_recycle,
        json_deserializer=from_json,
        connect_args=_through_pgbouncer(options, connections)
        if options.via_pgbouncer
        else _directly(options, connections),
    )
    _leave_standbys(engine)
    _count_timeouts(engine)
    if options.pre_ping:
        _ping_idle_connections(engine)
    return engine


def direct_engine(options: DatabaseOptions, connections: "WeakSet[PostgresConnection]") -> AsyncEngine:
    """Return an engine past PgBouncer: each of its connections stays one, and is closed after its use."""
    return create_async_engine(
        options.direct_url or options.url,
        poolclass=NullPool,
        json_deserializer=from_json,
        connect_args=_directly(options, connections),
    )


def _directly(options: DatabaseOptions, connections: "WeakSet[PostgresConnection]") -> dict[str, Any]:
    return {
        "async_creator_fn": _creator(connections),
        "server_settings": {
            "application_name": "tradepost",
            "statement_timeout": str(_milliseconds(options.statement_timeout)),
            "jit": "off",
        },
    }


def _through_pgbouncer(
    options: DatabaseOptions, connections: "WeakSet[PostgresConnection]"
) -> dict[str, Any]:
    """Return arguments for connections of which every transaction may be another one at the server.

    No statement has a name there, which might be another's, nor outlives its use; and what other connections send when
    they begin goes with each BEGIN, because PgBouncer refuses it as a start-up parameter.
    """
    begins_with = (
        f"SET LOCAL statement_timeout = {_milliseconds(options.statement_timeout)}; SET LOCAL jit = off;"
    )
    return {
        "async_creator_fn": _creator(connections, begins_with),
        "server_settings": {"application_name": "tradepost"},
        "statement_cache_size": 0,
        "prepared_statement_cache_size": 0,
        "prepared_statement_name_func": str,
    }


def _creator(
    connections: "WeakSet[PostgresConnection]", begins_with: str = ""
) -> Callable[..., Awaitable[PostgresConnection]]:
    hosts = Hosts()

    async def connect(**arguments: Any) -> PostgresConnection:
        try:
            connection = await hosts.connect(arguments)
        except NO_CONNECTION as error:
            # Whatever the reason is (no server, one that is starting up, no such database, a password that is being
            # changed): there is no connection now, and later there may be one.
            raise DatabaseUnavailable from error
        connection.begins_with = begins_with
        connections.add(connection)
        return connection

    return connect


def _milliseconds(seconds: float) -> int:
    return int(seconds * 1000)


def _count_timeouts(engine: AsyncEngine) -> None:
    """Count the statements that ``statement_timeout`` ended; those that a deadline ended are no errors of the server's."""

    @event.listens_for(engine.sync_engine, "handle_error")
    def count(context: ExceptionContext) -> None:
        if getattr(context.original_exception, "sqlstate", None) == TIMED_OUT:
            STATEMENT_TIMEOUTS.add()


def _leave_standbys(engine: AsyncEngine) -> None:
    """Look for the primary anew when a write was refused by a standby.

    Connections made before that are thrown away where their server says that it is a standby, or says nothing (before
    PostgreSQL 14): behind an address that has moved on, a new connection reaches the new primary.
    """
    loop_time = asyncio.get_running_loop().time
    refused_at = float("-inf")

    @event.listens_for(engine.sync_engine, "connect")
    def note_age(_connection: DBAPIConnection, entry: ConnectionPoolEntry) -> None:
        entry.info["made_at"] = loop_time()

    @event.listens_for(engine.sync_engine, "handle_error")
    def note_refusal(context: ExceptionContext) -> None:
        nonlocal refused_at
        is_refusal = getattr(context.original_exception, "sqlstate", None) == READ_ONLY
        if is_refusal and loop_time() - refused_at >= REFUSAL_PERIOD:
            refused_at = loop_time()

    @event.listens_for(engine.sync_engine, "checkout")
    def leave(connection: Any, entry: ConnectionPoolEntry, _proxy: Any) -> None:
        if entry.info["made_at"] > refused_at:
            return
        if getattr(connection.driver_connection.get_settings(), "in_hot_standby", "on") == "on":
            # At this error SQLAlchemy throws the connection away and tries a fresh one.
            raise exc.DisconnectionError


def _ping_idle_connections(engine: AsyncEngine) -> None:
    """Ping a connection at check-out if it was idle for a while: a ping at every check-out would double the round trips."""
    loop_time = asyncio.get_running_loop().time

    @event.listens_for(engine.sync_engine, "checkin")
    def note(_connection: DBAPIConnection | None, entry: ConnectionPoolEntry) -> None:
        entry.info["idle_since"] = loop_time()

    @event.listens_for(engine.sync_engine, "checkout")
    def ping(connection: Any, entry: ConnectionPoolEntry, _proxy: Any) -> None:
        # Costs nothing: the driver knows already of a connection that the server has closed.
        if connection.driver_connection.is_closed():
            raise exc.DisconnectionError
        idle_since = entry.info.get("idle_since")
        if idle_since is None or loop_time() - idle_since < IDLE_BEFORE_PING:
            return
        try:
            await_only(_pinged(connection))
        except Exception as error:
            raise exc.DisconnectionError from error


async def _pinged(connection: Any) -> None:
    # As the connection's own `ping` does, but not for ever.
    async with asyncio.timeout(PING_TIMEOUT):
        await connection._async_ping()  # noqa: SLF001
