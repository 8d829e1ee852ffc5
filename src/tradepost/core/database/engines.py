"""The database: read sessions that never write, and transactions that are committed in one place.

SQLite and PostgreSQL look the same from above; what differs in their connections is settled here. A gate of the pool's
size hands out connections first come, first served.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import Any, Final
from weakref import WeakSet

from pydantic_core import from_json
from sqlalchemy import Connection, event, exc
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry, PoolResetState
from sqlalchemy.util import await_only

from tradepost.core.database import occupancy
from tradepost.core.database.faults import is_full
from tradepost.core.database.gate import Gate
from tradepost.core.database.options import DatabaseOptions
from tradepost.core.database.postgres_connection import CLOSE_PATIENCE, PostgresConnection
from tradepost.core.database.postgres_engine import direct_engine, postgres_engine
from tradepost.core.database.sessions import ReadSession, WriteSession
from tradepost.core.database.short_way import Executions
from tradepost.core.database.sqlite_connection import connect_sqlite
from tradepost.core.deadlines import Stage, note_stage
from tradepost.core.durability import make_directory
from tradepost.core.errors import DatabaseUnavailable
from tradepost.core.observability.server_timing import timing

SQLITE_READERS: Final = 2
"""Connections for reading from SQLite. Each is a thread, and they share the interpreter: more of them read less."""
REFUSAL_COUNTS: Final = 60.0
"""Seconds for which a write that found no room left is taken for how things are, if none follows it."""
COMMIT_PATIENCE: Final = 5.0
"""Seconds for which a commit goes on that nobody waits for any more, before its connection is dropped."""


class NoDirectConnection(DatabaseUnavailable):
    """Something needs a connection of its own, and there are only those that PgBouncer shares out."""

    detail = "This needs a way to PostgreSQL past PgBouncer: set DATABASE_DIRECT_URL"


class Room:
    """Whether writes fail for lack of room, as far as the last of them have told."""

    def __init__(self) -> None:
        self._refused_at: float | None = None

    @property
    def is_lacking(self) -> bool:
        """Whether a write was refused for lack of room a moment ago, and none has succeeded since."""
        if self._refused_at is None:
            return False
        return asyncio.get_running_loop().time() - self._refused_at < REFUSAL_COUNTS

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Note how the transaction in the block ends."""
        try:
            yield
        except exc.DBAPIError as error:
            if is_full(error):
                self._refused_at = asyncio.get_running_loop().time()
            raise
        else:
            self._refused_at = None


class Database:
    """Engines, sessions and the gate in front of them. Opening one connects to nothing yet."""

    def __init__(self, options: DatabaseOptions) -> None:
        self.options = options
        self.room = Room()
        self._connections: WeakSet[PostgresConnection] = WeakSet()
        self.is_sqlite = options.url.get_backend_name() == "sqlite"
        self._occupied = ExitStack()
        # Behind PgBouncer the limits of a statement go with a BEGIN, and a session keeps locks and one of few connections.
        self.sessions_rest = not options.via_pgbouncer
        self._executions = None if options.via_pgbouncer else Executions()
        if self.is_sqlite:
            self._occupied.enter_context(occupancy.shared(Path(str(options.url.database))))
            self.engine = _sqlite_engine(options, writes=True)
            self.read_engine = _sqlite_engine(options, writes=False)
            self._snapshots = _sqlite_engine(options, writes=False, snapshots=True)
            self.write_gate = Gate(1, options.pool_timeout)
            self._snapshot_gate = Gate(SQLITE_READERS, options.pool_timeout)
            self.read_gate = Gate(SQLITE_READERS, options.pool_timeout)
        else:
            self.engine = postgres_engine(options, self._connections)
            # The limits of a statement go with a BEGIN there, so that reads have one, too.
            self.read_engine = self.engine.execution_options(
                **(
                    {"isolation_level": "READ COMMITTED", "postgresql_readonly": True}
                    if options.via_pgbouncer
                    else {"isolation_level": "AUTOCOMMIT"}
                )
            )
            self._snapshots = self.engine.execution_options(
                isolation_level="REPEATABLE READ", postgresql_readonly=True
            )
            self.write_gate = self.read_gate = Gate(options.pool_size, options.pool_timeout)
            self._snapshot_gate = self.read_gate
        for engine in {self.engine, self.read_engine} if self.is_sqlite else {self.engine}:
            _time_statements(engine)

    @property
    def has_direct_connections(self) -> bool:
        """Whether ``direct_connection`` has any: without, a PgBouncer is the only way."""
        return not self.options.via_pgbouncer or self.options.direct_url is not None

    @asynccontextmanager
    async def direct_connection(self) -> AsyncIterator[AsyncConnection]:
        """Open a connection that stays one between its transactions, for what belongs to a connection; past the gate."""
        if not self.has_direct_connections:
            raise NoDirectConnection
        if not self.options.via_pgbouncer:
            async with self.engine.connect() as connection:
                yield connection
            return
        engine = direct_engine(self.options, self._connections)
        async with engine.connect() as connection:
            yield connection

    @asynccontextmanager
    async def read(self) -> AsyncIterator[ReadSession]:
        """Open a session for reading; its connection goes back to the pool at the end of the block."""
        async with (
            self.read_gate.place(gives_way=True),
            ReadSession(self.read_engine, self._executions, expire_on_commit=False, autoflush=False) as db,
        ):
            note_stage(Stage.READING)
            yield db

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[AsyncConnection]:
        """Open one read transaction for many statements, or one that is read bit by bit: all of it is of one moment.

        On SQLite it has connections of its own: the readers' are few, and such a read may take minutes.
        """
        async with self._snapshot_gate.place(), self._snapshots.connect() as connection, connection.begin():
            yield connection

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[WriteSession]:
        """Open a transaction: leaving the block commits, an exception in it rolls back.

        A commit that has begun is not cancelled with its task: whether it happened must not be left open. Only a server that
        says nothing for ``COMMIT_PATIENCE`` after that is not waited for.
        """
        with self.room.watched():
            async with (
                self.write_gate.place(),
                WriteSession(self.engine, self._executions, expire_on_commit=False) as db,
            ):
                note_stage(Stage.WRITING)
                yield db
                asked = timing.get()
                with nullcontext() if asked is None else asked.spent_on("db", called="COMMIT"):
                    cancelled = await _to_the_end(db.commit(), partial(_drop_connection, db))
                # Here and not after the block: giving the connection back waits, and a task that is cancelled in it would
                # have committed without calling them.
                db.committed()
        if cancelled is not None:
            raise cancelled

    async def close(self) -> None:
        """Close every connection, for good.

        Waits for those in use, as long as a task waits for one: reads go on after all their callers have left, and a
        connection that is given back after the end of the pool would never be closed. A server that hangs answers none, and
        what is left of them then is dropped.
        """
        try:
            async with asyncio.timeout(self.options.pool_timeout):
                for gate in {self.write_gate, self.read_gate, self._snapshot_gate}:
                    await gate.shut()
        except TimeoutError:
            self._drop_all()
        try:
            async with asyncio.timeout(None if self.is_sqlite else CLOSE_PATIENCE):
                await self._dispose()
        except TimeoutError:
            self._drop_all()
            await self._dispose()

    async def _dispose(self) -> None:
        for engine in (self.engine, self.read_engine, self._snapshots):
            await engine.dispose()
        self._occupied.close()

    def _drop_all(self) -> None:
        for connection in list(self._connections):
            connection.terminate()


async def _to_the_end(
    work: Coroutine[Any, Any, None], give_up: Callable[[], None]
) -> asyncio.CancelledError | None:
    """Await ``work`` to its end even if this task is cancelled meanwhile; return the cancellation, for raising later.

    Some time after a cancellation ``give_up`` is called, which makes the work fail.
    """
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    timer: asyncio.TimerHandle | None = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as error:
            if task.cancelled():
                raise
            cancelled = error
            timer = timer or asyncio.get_running_loop().call_later(COMMIT_PATIENCE, give_up)
        except Exception:  # noqa: BLE001, S110 - it is the error of the task, whose result is taken below
            pass
    if timer is not None:
        timer.cancel()
    try:
        task.result()
    except Exception as error:
        if cancelled is not None:
            # Otherwise a loop that goes on after errors would never notice its cancellation.
            raise cancelled from error
        raise
    return cancelled


def _drop_connection(db: WriteSession) -> None:
    """Drop the connection that a session commits on; on SQLite, which has no server that could hang, do nothing."""
    transaction: Any = db.sync_session.get_transaction()
    for connection, *_ in transaction._connections.values() if transaction is not None else ():  # noqa: SLF001
        raw = connection.connection.driver_connection
        if isinstance(raw, PostgresConnection):
            raw.terminate()


def prepare_directory(options: DatabaseOptions) -> None:
    """Make the directory of an SQLite database; ``DatabaseUnavailable`` says why that cannot be done."""
    directory = Path(str(options.url.database)).parent
    try:
        make_directory(directory)
    except OSError as error:
        raise DatabaseUnavailable(f"The database's directory {directory} cannot be made") from error


def _sqlite_engine(options: DatabaseOptions, *, writes: bool, snapshots: bool = False) -> AsyncEngine:
    # SQLite syncs the directory that its file is in, and nobody that directory's own name.
    prepare_directory(options)
    engine = create_async_engine(
        options.url,
        pool_size=1 if writes else SQLITE_READERS,
        max_overflow=0,
        pool_timeout=options.pool_timeout,
        json_deserializer=from_json,
        # Autocommit on the driver's side: we begin ourselves.
        connect_args={"async_creator_fn": connect_sqlite, "isolation_level": None, "cached_statements": 512},
        **(
            {} if writes or snapshots else {"isolation_level": "AUTOCOMMIT", "skip_autocommit_rollback": True}
        ),
    )
    pragmas = (
        f"PRAGMA busy_timeout = {int(options.pool_timeout * 1000)}",
        "PRAGMA journal_mode = WAL",
        # An acknowledged write survives a power cut, not only a crash of the process.
        "PRAGMA synchronous = FULL",
        "PRAGMA foreign_keys = ON",
        *(() if writes else ("PRAGMA query_only = ON",)),
    )

    @event.listens_for(engine.sync_engine, "connect")
    def configure(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
        cursor = connection.cursor()
        for pragma in pragmas:
            cursor.execute(pragma)
        cursor.close()

    if snapshots:

        @event.listens_for(engine.sync_engine, "begin")
        def begin_reading(connection: Any) -> None:
            connection.exec_driver_sql("BEGIN")

    if writes:

        @event.listens_for(engine.sync_engine, "begin")
        def begin(connection: Any) -> None:
            connection.connection.driver_connection.begin()

        # A COMMIT that fails leaves SQLite's transaction open, and SQLAlchemy takes it for ended: the lock would stay
        # with an idle connection, and the next transaction on that could not begin.
        @event.listens_for(engine.sync_engine, "reset")
        def end(connection: Any, _entry: ConnectionPoolEntry, _state: PoolResetState) -> None:
            if connection.driver_connection.in_transaction:
                connection.rollback()

        # A task that is cancelled in the middle of a statement has its connection closed, and SQLite keeps a connection
        # with a cursor that is still referenced (a traceback is enough) open behind the scenes, with its lock.
        @event.listens_for(engine.sync_engine, "invalidate")
        def let_go(connection: Any, _entry: ConnectionPoolEntry, _error: BaseException | None) -> None:
            # Whatever error this meets, or a second cancellation: the connection is closed next.
            with suppress(Exception, asyncio.CancelledError):
                connection.rollback()

    return engine


def _time_statements(engine: AsyncEngine) -> None:
    """Add each statement to the ``Timing`` of its request, if that asked for one."""

    @event.listens_for(engine.sync_engine, "before_cursor_execute")
    def began(*_: Any) -> None:
        asked = timing.get()
        if asked is not None:
            asked.statement_began()
            if asked.slowed is not None:
                await_only(asyncio.sleep(asked.slowed()))

    @event.listens_for(engine.sync_engine, "after_cursor_execute")
    def ended(connection: Connection, _cursor: Any, statement: str, *_: Any) -> None:
        asked = timing.get()
        if asked is not None:
            asked.statement_ended(statement, connection.dialect.name)
