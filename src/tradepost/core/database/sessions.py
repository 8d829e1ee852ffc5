"""Read and write sessions as types: a function says in its signature whether it may write."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Engine, Executable, event
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession
from sqlalchemy.orm import Session, SessionTransaction
from sqlalchemy.pool import PoolProxiedConnection
from sqlalchemy.util import greenlet_spawn
from typing_extensions import override

from tradepost.core.database import short_way
from tradepost.core.database.short_way import Driver, Execution, Executions, Found, Rows, Sent, Step
from tradepost.core.observability.server_timing import timing


class _Reading(Session):
    """SQLAlchemy's session; it takes a connection of its own only when the one of the short way is back."""

    pooled: PoolProxiedConnection | None = None

    def give_back(self) -> None:
        """Give back the connection of the short way."""
        pooled, self.pooled = self.pooled, None
        if pooled is not None:
            pooled.close()

    @override
    def get_bind(self, *arguments: Any, **options: Any) -> Engine | Connection:
        self.give_back()
        return super().get_bind(*arguments, **options)


def _learn(
    session: Session, executions: Executions | None, statement: Executable, given: Mapping[str, Any]
) -> Rows:
    """Execute a statement by SQLAlchemy, and remember how."""
    result = session.connection().execute(statement, given)
    if executions is not None and statement not in executions:
        execution = Execution.of(result, given)
        if execution is not None:
            executions[statement] = execution
    return result.all()


class ReadSession(AsyncSession):
    """A session in autocommit mode, for reading only: each statement sees what was committed before it began."""

    sync_session_class = _Reading
    sync_session: _Reading

    def __init__(
        self, engine: AsyncEngine | AsyncConnection, executions: Executions | None, **options: Any
    ) -> None:
        """``executions`` is None where no statement is to go the short way."""
        super().__init__(engine, **options)
        self._engine = engine.sync_engine
        self._executions = executions

    async def rows(self, statement: Executable, given: Mapping[str, Any]) -> Rows:
        """Read columns: by the short way where the statement is known, and nobody asked where the time goes."""
        executions = self._executions
        execution = None if executions is None else executions.get(statement)
        if execution is None or timing.get() is not None:
            return await self.run_sync(_learn, executions, statement, given)
        session = self.sync_session
        if session.in_transaction():
            return await short_way.read(session.connection().connection, self._engine, execution, given)
        if session.pooled is None:
            # SQLAlchemy's own connection, and its end, cost several times what the statement does.
            session.pooled = await greenlet_spawn(self._engine.raw_connection)
        return await short_way.read(session.pooled, self._engine, execution, given)

    @override
    def expunge_all(self) -> None:
        """Forget every row that the next read would be answered with; reads of columns leave none."""
        if self.sync_session.identity_map:
            super().expunge_all()

    @property
    def is_broken(self) -> bool:
        """Whether the connection at hand is known to be gone."""
        session = self.sync_session
        pooled = session.pooled
        if pooled is None and session.in_transaction():
            connection = session.connection()
            if connection.invalidated:
                return True
            pooled = connection.connection
        if pooled is None:
            return False
        driver: Driver | None = pooled.driver_connection
        return driver is None or driver.is_closed()

    @override
    async def close(self) -> None:
        """Give back what was used, if anything was."""
        self.sync_session.give_back()
        if self.in_transaction():
            await super().close()

    @override
    async def __aexit__(self, *error: object) -> None:
        self.sync_session.give_back()
        if self.in_transaction():
            await super().__aexit__(*error)


class _Writing(Session):
    """SQLAlchemy's session, and whom to call after the commit: each with the savepoint that it is asked for in, if any."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.committed_callbacks: list[tuple[Callable[[], None], SessionTransaction | None]] = []


@event.listens_for(_Writing, "after_soft_rollback")
def _forget(session: _Writing, undone: SessionTransaction) -> None:
    """Call nobody because of what a savepoint, or the transaction itself, took back."""
    while not undone.nested and undone.parent is not None:
        # A flush that fails takes back what it is within.
        undone = undone.parent
    session.committed_callbacks = [
        (callback, point)
        for callback, point in session.committed_callbacks
        if undone.nested and not _is_within(point, undone)
    ]


def _is_within(point: SessionTransaction | None, other: SessionTransaction) -> bool:
    """Tell whether a savepoint is another, or was made within it; it may have been released since."""
    while point is not None and point is not other:
        point = point.parent
    return point is not None


class WriteSession(AsyncSession):
    """A session that is one transaction. ``Database.transaction`` commits it; code that is handed it never does."""

    sync_session_class = _Writing
    sync_session: _Writing

    def __init__(self, engine: AsyncEngine, executions: Executions | None, **options: Any) -> None:
        """``executions`` is None where no statement is to go the short way."""
        super().__init__(engine, **options)
        self._executions = executions
        self._begun: Connection | None = None

    async def rows(self, statement: Executable, given: Mapping[str, Any]) -> Rows:
        """Execute a statement, past what the session has not written yet: by the short way where it is known."""
        executions = self._executions
        execution = None if executions is None else executions.get(statement)
        if execution is None or timing.get() is not None:
            return await self.run_sync(_learn, executions, statement, given)
        step = Step(execution.text, tuple(execution.values(given)))
        (found,) = await short_way.take(await self._connection(), [step], Sent(statement))
        return execution.make_rows(found)

    async def take(self, steps: Sequence[Step]) -> Sequence[Found]:
        """Execute statements that are written for the driver, together, and return what each finds."""
        if self._executions is None or timing.get() is not None:
            return await self.run_sync(_take_each, steps)
        return await short_way.take(await self._connection(), steps)

    async def _connection(self) -> Connection:
        begun = self._begun
        # A savepoint is made when SQLAlchemy is asked for the connection first within it.
        if begun is None or not begun.in_transaction() or self.in_nested_transaction():
            begun = self._begun = await self.run_sync(Session.connection)
        return begun

    def after_commit(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` once the transaction is durable, and never if it, or a savepoint around this, is rolled back.

        A crash in between loses the call: it is for signals, such as waking a task or forgetting a cached value, not for
        facts, which belong in the outbox.
        """
        session = self.sync_session
        session.committed_callbacks.append((callback, session.get_nested_transaction()))

    def committed(self) -> None:
        """Call whoever wants to know of the commit, which has happened."""
        for callback, _ in self.sync_session.committed_callbacks:
            callback()


def _take_each(session: Session, steps: Sequence[Step]) -> list[Found]:
    connection, found = session.connection(), list[Found]()
    for text, values in steps:
        result = connection.exec_driver_sql(text, values(found) if callable(values) else values)
        found.append(result.all() if result.returns_rows else [])
    return found
