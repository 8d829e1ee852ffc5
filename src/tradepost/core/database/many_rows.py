"""Inserts of many rows as one statement, whose text is written once.

SQLAlchemy writes a statement of its own for each number of rows, with a parameter for each value, and puts all of them
together in Python: with a hundred rows, that costs more than all else a new item does. PostgreSQL gets the rows as one JSON
document, and takes it apart itself: asyncpg would encode each value of an array in Python. SQLite gets values: its driver gives
up the interpreter's lock, and waits for it, whenever a statement is stepped, so that one with many rows is stepped once.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any, Final, NamedTuple

from pydantic_core import to_json
from sqlalchemy import DateTime, Dialect, LargeBinary, String, Table
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

_ROWS_AT_ONCE: Final = 250
"""Rows of a statement on SQLite that returns some: far fewer values than it takes."""
_ROWS_WRITTEN_OUT: Final = 128
"""Rows up to which one that returns none has its values written out: each number of them is a statement that is kept prepared."""

_Processor = Callable[[Any], Any]
_Given = Sequence[Mapping[str, Any]]
_Rows = Sequence[Sequence[Any]]


async def insert_many(
    db: AsyncSession,
    table: Table,
    rows: _Given,
    *,
    returning: Sequence[str] = (),
    conflicts: str = "",
) -> _Rows:
    """Insert rows that all name the same columns, and return these columns of them, in no order.

    A trigger for each statement is called once for all of them on PostgreSQL. ``conflicts`` is the clause ON CONFLICT. Nothing
    is defaulted in Python: a column that is not named gets the default that the database has.
    """
    if not rows:
        return []
    connection = await db.connection()
    dialect = connection.dialect
    tail = f" {conflicts}" if conflicts else ""
    if returning:
        tail += f" RETURNING {', '.join(returning)}"
    if dialect.name == "postgresql":
        plan = _from_document(table, tuple(rows[0]), dialect)
        made = await connection.exec_driver_sql(plan.insert + tail, (plan.document(rows),))
        found: _Rows = made.all() if returning else []
    else:
        found = await _insert_values(connection, table, rows, tail, returns=bool(returning))
    return _converted(found, table, returning, dialect) if returning else []


def _converted(rows: _Rows, table: Table, names: Sequence[str], dialect: Dialect) -> _Rows:
    types = [table.c[name].type.dialect_impl(dialect) for name in names]
    processors = [one.result_processor(dialect, None) for one in types]
    columns = [
        column if processor is None else map(processor, column)
        for column, processor in zip(zip(*rows, strict=True), processors, strict=True)
    ]
    return list(zip(*columns, strict=True))


class _Plan(NamedTuple):
    """How PostgreSQL reads rows with these columns from a document."""

    insert: str
    moments: Sequence[str]

    def document(self, rows: _Given) -> str:
        """Return the rows as JSON, where values are written as PostgreSQL writes its own."""
        for name in self.moments:
            # It would be taken for one in the connection's zone.
            if any((moment := row[name]) is not None and moment.tzinfo is None for row in rows):
                raise ValueError("a time without a zone")
        return to_json(rows).decode()


@lru_cache(maxsize=64)
def _from_document(table: Table, names: Sequence[str], dialect: Dialect) -> _Plan:
    types = {name: table.c[name].type.dialect_impl(dialect) for name in names}
    if any(isinstance(one, LargeBinary) for one in types.values()):
        raise TypeError(f"{table.name} has bytes, which JSON has none of")
    moments = [name for name, one in types.items() if isinstance(getattr(one, "impl", one), DateTime)]
    # Text without the column's length and collation, which are the column's to check.
    columns = ", ".join(
        f"{name} {'TEXT' if isinstance(one, String) else dialect.type_compiler_instance.process(one)}"
        for name, one in types.items()
    )
    listed = ", ".join(names)
    given = f"json_to_recordset(CAST(CAST($1 AS TEXT) AS JSON)) AS given ({columns})"
    insert = f"INSERT INTO {table.name} ({listed}) SELECT {listed} FROM {given}"  # noqa: S608 - our own names
    return _Plan(insert, moments)


async def _insert_values(
    connection: AsyncConnection, table: Table, rows: _Given, tail: str, *, returns: bool
) -> _Rows:
    names = tuple(rows[0])
    processors = _processors(table, names, connection.dialect)
    columns = [
        _processed(processor, [row[name] for row in rows])
        for name, processor in zip(names, processors, strict=True)
    ]
    tuples = list(zip(*columns, strict=True))
    if not returns and len(tuples) > _ROWS_WRITTEN_OUT:
        await connection.exec_driver_sql(_written_out(table, names, 1) + tail, tuples)
        return []
    found: list[Sequence[Any]] = []
    for at in range(0, len(tuples), _ROWS_AT_ONCE):
        part = tuples[at : at + _ROWS_AT_ONCE]
        values = tuple(chain.from_iterable(part))
        made = await connection.exec_driver_sql(_written_out(table, names, len(part)) + tail, values)
        if returns:
            found += made.all()
    return found


def _processed(processor: _Processor | None, values: list[Any]) -> list[Any]:
    """Return what the driver is given of these values; of one that rows in succession have, it is made once."""
    if processor is None:
        return values
    done: list[Any] = []
    last, given = object(), None
    for value in values:
        if value is not last:
            last, given = value, processor(value)
        done.append(given)
    return done


@lru_cache(maxsize=64)
def _processors(table: Table, names: Sequence[str], dialect: Dialect) -> Sequence[_Processor | None]:
    return [table.c[name].type.dialect_impl(dialect).bind_processor(dialect) for name in names]


@lru_cache(maxsize=256)
def _written_out(table: Table, names: Sequence[str], rows: int) -> str:
    row = "(" + ", ".join("?" * len(names)) + ")"
    values = ", ".join([row] * rows)
    return f"INSERT INTO {table.name} ({', '.join(names)}) VALUES {values}"  # noqa: S608 - our own names
