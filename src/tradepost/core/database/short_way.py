"""The short way of a statement: what SQLAlchemy has executed once, the driver is sent from then on.

For one row, what SQLAlchemy does around the driver costs five times what the driver does. It compiles a statement, and says
how values are bound and how rows are made of what the driver finds. That is remembered by the statement, and from then on
the same statement is a call of the driver's with other values. Rows stay SQLAlchemy's own, and errors go through its hands.
``tests/core/database/test_short_way.py`` holds the two ways against each other.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, CursorResult, Engine, Executable, Row
from sqlalchemy.pool import PoolProxiedConnection
from sqlalchemy.util import greenlet_spawn

Rows = Sequence[Row[*tuple[Any, ...]]]
_Bind = Callable[[Any], Any]


Found = Sequence[Sequence[Any]]
"""Rows as the driver has them."""


class Step(NamedTuple):
    """A statement of several that are sent together."""

    text: str
    values: Sequence[Any] | Callable[[Sequence[Found]], Sequence[Any]]
    """The values, or what makes them of what the steps before have found; of a list, each has those of one execution."""


class Driver(Protocol):
    """A driver's connection that executes a statement, and reads all of its rows, in one step."""

    async def read_all(self, text: str, values: Sequence[Any]) -> Sequence[Any]:
        """Execute a statement as the connection is: in its transaction, or in none. Return what it finds."""

    async def take(self, steps: Sequence[Step]) -> list[Found]:
        """Execute statements likewise, one after the other, and return what each finds."""

    def is_closed(self) -> bool:
        """Tell whether the connection is known to be gone."""


class Execution:
    """How a statement is sent, and how rows are made of what the driver finds: as SQLAlchemy did it once."""

    __slots__ = ("_given", "_values", "make_rows", "text")

    def __init__(
        self,
        text: str,
        values: Sequence[Any],
        given: Sequence[tuple[int, str, _Bind | None]],
        make_rows: Callable[[Sequence[Any]], Rows],
    ) -> None:
        """``given`` are the places among ``values`` that differ each time, with their names."""
        self.text = text
        self.make_rows = make_rows
        self._values = values
        self._given = given

    @classmethod
    def of(cls, result: CursorResult[Any], given: Mapping[str, Any]) -> "Execution | None":
        """Return how SQLAlchemy has just executed a statement.

        None if other values may need another text, or columns that were not named got values which it made.
        """
        context: Any = result.context
        compiled, make_rows = context.compiled, result._row_getter[1]  # noqa: SLF001 - there is no other way to them
        made = compiled.insert_prefetch or compiled.update_prefetch
        spelt_out = compiled.post_compile_params or compiled.literal_execute_params
        if made or spelt_out or compiled.escaped_bind_names or make_rows is None:
            return None
        (values,) = context.parameters
        binds = compiled._bind_processors  # noqa: SLF001
        places = [
            (place, name, binds.get(name)) for place, name in enumerate(compiled.positiontup) if name in given
        ]
        return cls(context.statement, values, places, make_rows)

    def values(self, given: Mapping[str, Any]) -> Sequence[Any]:
        """Return the values in their places."""
        values = list(self._values)
        for place, name, bind in self._given:
            value = given[name]
            values[place] = value if bind is None else bind(value)
        return values


Executions = WeakKeyDictionary[Executable, Execution]
"""What is known of a database's statements; a statement that is made for one use takes it along.

So nothing of it may refer to its statement, as what SQLAlchemy compiles does.
"""


class Sent(NamedTuple):
    """What listeners find in the context of an execution."""

    invoked_statement: Executable


NO_VALUES: Final[Mapping[str, Any]] = {}


async def read(
    pooled: PoolProxiedConnection, engine: Engine, execution: Execution, given: Mapping[str, Any]
) -> Rows:
    """Read on a connection of the engine's that is in autocommit mode."""
    text, values = execution.text, execution.values(given)
    heard = None, None, text, values, None, False
    for listener in engine.dispatch.before_cursor_execute:
        listener(*heard)
    driver: Driver = pooled.driver_connection  # type: ignore[assignment]
    try:
        found = await driver.read_all(text, values)
    except BaseException as error:
        await greenlet_spawn(_fail, lambda: Connection(engine, connection=pooled), text, values, error)
        raise
    return execution.make_rows(found)


async def take(connection: Connection, steps: Sequence[Step], context: Sent | None = None) -> list[Found]:
    """Execute statements in a connection's transaction, and return what each finds."""
    for text, values in steps:
        heard = connection, None, text, values, context, isinstance(values, list)
        for listener in connection.dispatch.before_cursor_execute:
            listener(*heard)
    pooled: Any = connection.connection
    try:
        # On SQLite it has begun; with asyncpg SQLAlchemy begins it with its first statement.
        if getattr(pooled.dbapi_connection, "_transaction", pooled) is None:
            await pooled.dbapi_connection._start_transaction()  # noqa: SLF001
        driver: Driver = pooled.driver_connection
        return await driver.take(steps)
    except BaseException as error:
        text = "; ".join(step.text for step in steps)
        await greenlet_spawn(_fail, lambda: connection, text, (), error)
        raise


def _fail(connected: Callable[[], Any], text: str, values: Sequence[Any], error: BaseException) -> None:
    """Have SQLAlchemy raise an error of the driver's: in its own classes, told to listeners, a broken connection dropped.

    Dropping one waits.
    """
    connection = connected()
    driver_errors = connection.dialect.loaded_dbapi.Error
    try:
        connection.connection.dbapi_connection._handle_exception(error)  # noqa: SLF001
    except BaseException as translated:
        if isinstance(translated, Exception) and not isinstance(translated, driver_errors):
            # A deadline, after which the connection is as good as before.
            raise
        connection._handle_dbapi_exception(translated, text, values, None, None)  # noqa: SLF001
