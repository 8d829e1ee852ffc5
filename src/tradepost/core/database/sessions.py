"""Read and write sessions as types: a function says in its signature whether it may write."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, Select
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.orm import Session
from typing_extensions import override

from tradepost.core.database import short_way
from tradepost.core.database.short_way import Execution, Executions, ReadingDriver
from tradepost.core.observability.server_timing import timing


class ReadSession(AsyncSession):
    """A session in autocommit mode, for reading only: each statement sees what was committed before it began."""

    def __init__(self, engine: AsyncEngine, executions: Executions | None, **options: Any) -> None:
        """``executions`` is None where no statement is to go the short way."""
        super().__init__(engine, **options)
        self._executions = executions
        self._held: tuple[Any, Connection] | None = None

    async def rows(
        self, statement: Select[*tuple[Any, ...]], given: Mapping[str, Any]
    ) -> Sequence[Row[*tuple[Any, ...]]]:
        """Read columns: by the short way where the statement is known, and nobody asked where the time goes."""
        executions = self._executions
        execution = None if executions is None else executions.get(statement)
        if execution is None or timing.get() is not None:
            return await self.run_sync(self._learn, statement, given)
        return await short_way.read(await self._connection(), execution, given)

    @property
    def is_broken(self) -> bool:
        """Whether the driver knows of the connection that it is gone."""
        if self._held is None or not self.in_transaction():
            return False
        driver: ReadingDriver = self._held[1].connection.driver_connection  # type: ignore[assignment]
        return driver.is_closed()

    async def _connection(self) -> Connection:
        """Return the connection of this session, without the way through SQLAlchemy once it is known."""
        transaction = self.sync_session.get_transaction()
        if self._held is None or self._held[0] is not transaction or transaction is None:
            connection: Any = (await self.connection()).sync_connection
            self._held = self.sync_session.get_transaction(), connection
        return self._held[1]

    def _learn(
        self, session: Session, statement: Select[*tuple[Any, ...]], given: Mapping[str, Any]
    ) -> Sequence[Row[*tuple[Any, ...]]]:
        result = session.connection().execute(statement, given)
        if self._executions is not None and statement not in self._executions:
            execution = Execution.of(result, given)
            if execution is not None:
                self._executions[statement] = execution
        return result.all()

    @override
    async def close(self) -> None:
        """Give back what was used, if anything was."""
        if self.in_transaction():
            await super().close()

    @override
    async def __aexit__(self, *error: object) -> None:
        if self.in_transaction():
            await super().__aexit__(*error)


class WriteSession(AsyncSession):
    """A session that is one transaction. ``Database.transaction`` commits it; code that is handed it never does."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.committed_callbacks: list[Callable[[], None]] = []

    def after_commit(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` once the transaction is durable, and never if it is rolled back.

        A crash in between loses the call: it is for signals, such as waking a task or forgetting a cached value, not for
        facts, which belong in the outbox.
        """
        self.committed_callbacks.append(callback)
