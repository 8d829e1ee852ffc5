"""Inserts of many rows as one statement, whose text does not grow with them where the engine knows arrays.

SQLAlchemy writes a statement of its own for each number of rows, with a parameter for each value, and puts all of them
together in Python: with a hundred rows, that costs more than all else a new item does. Here the text is written once.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any, Final, NamedTuple

from sqlalchemy import Column, Dialect, String, Table
from sqlalchemy.ext.asyncio import AsyncSession

_ROWS_AT_ONCE: Final = 250
"""Rows of a statement on SQLite, whose parameters are numbered: far fewer values than it takes."""

_Processor = Callable[[Any], Any]
_Rows = Sequence[Sequence[Any]]


class _Plan(NamedTuple):
    """How rows with these columns are written to a table."""

    names: Sequence[str]
    processors: Sequence[_Processor | None]
    """What the driver is given of a value of each column, where that is another one."""

    def columns_of(self, rows: Sequence[Mapping[str, Any]]) -> list[list[Any]]:
        """Return the values of the rows by column."""
        found = []
        for name, processor in zip(self.names, self.processors, strict=True):
            values = [row[name] for row in rows]
            found.append(values if processor is None else list(map(processor, values)))
        return found


async def insert_many(
    db: AsyncSession,
    table: Table,
    rows: Sequence[Mapping[str, Any]],
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
    names = tuple(rows[0])
    columns = _plan(table, names, dialect).columns_of(rows)
    tail = f" {conflicts}" if conflicts else ""
    if returning:
        tail += f" RETURNING {', '.join(returning)}"
    if dialect.name == "postgresql":
        made = await connection.exec_driver_sql(_from_arrays(table, names, dialect) + tail, tuple(columns))
        return _converted(made.all(), table, returning, dialect) if returning else []
    tuples = list(zip(*columns, strict=True))
    if not returning:
        await connection.exec_driver_sql(_from_values(table, names, 1) + tail, tuples)
        return []
    found: list[Sequence[Any]] = []
    for at in range(0, len(tuples), _ROWS_AT_ONCE):
        part = tuples[at : at + _ROWS_AT_ONCE]
        values = tuple(chain.from_iterable(part))
        made = await connection.exec_driver_sql(_from_values(table, names, len(part)) + tail, values)
        found += made.all()
    return _converted(found, table, returning, dialect)


def _converted(rows: _Rows, table: Table, names: Sequence[str], dialect: Dialect) -> _Rows:
    types = [table.c[name].type.dialect_impl(dialect) for name in names]
    processors = [one.result_processor(dialect, None) for one in types]
    columns = [
        column if processor is None else map(processor, column)
        for column, processor in zip(zip(*rows, strict=True), processors, strict=True)
    ]
    return list(zip(*columns, strict=True))


@lru_cache(maxsize=64)
def _plan(table: Table, names: Sequence[str], dialect: Dialect) -> _Plan:
    return _Plan(names, [_processor(table.c[name], dialect) for name in names])


def _processor(column: Column[Any], dialect: Dialect) -> _Processor | None:
    return column.type.dialect_impl(dialect).bind_processor(dialect)


@lru_cache(maxsize=64)
def _from_arrays(table: Table, names: Sequence[str], dialect: Dialect) -> str:
    arrays = ", ".join(
        f"CAST(${at} AS {_type_of(table.c[name], dialect)}[])" for at, name in enumerate(names, 1)
    )
    listed = ", ".join(names)
    return f"INSERT INTO {table.name} ({listed}) SELECT * FROM unnest({arrays})"  # noqa: S608 - our own names


def _type_of(column: Column[Any], dialect: Dialect) -> str:
    impl = column.type.dialect_impl(dialect)
    # Without the column's length and collation, which are the column's to check.
    return "TEXT" if isinstance(impl, String) else dialect.type_compiler_instance.process(impl)


@lru_cache(maxsize=512)
def _from_values(table: Table, names: Sequence[str], rows: int) -> str:
    row = "(" + ", ".join("?" * len(names)) + ")"
    values = ", ".join([row] * rows)
    return f"INSERT INTO {table.name} ({', '.join(names)}) VALUES {values}"  # noqa: S608 - our own names
