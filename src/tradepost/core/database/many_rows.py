"""Inserts of many rows as one statement, whose text is written once.

SQLAlchemy writes a statement of its own for each number of rows, with a parameter for each value, and puts all of them
together in Python: with a hundred rows, that costs more than all else a new item does. PostgreSQL gets the rows as one JSON
document, and takes it apart itself: asyncpg would encode each value of an array in Python. SQLite gets values: its driver gives
up the interpreter's lock, and waits for it, whenever a statement is stepped, so that one with many rows is stepped once.

The way to the database and back costs more than a few rows do: what waits for no answer goes together.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache, partial
from itertools import chain
from typing import Any, Final, NamedTuple

from pydantic_core import to_json
from sqlalchemy import DateTime, Dialect, LargeBinary, String, Table
from sqlalchemy.ext.asyncio import AsyncSession

from tradepost.core.database.sessions import WriteSession
from tradepost.core.database.short_way import Found, Step

_ROWS_AT_ONCE: Final = 250
"""Rows of a statement on SQLite that returns some: far fewer values than it takes."""
_ROWS_WRITTEN_OUT: Final = 128
"""Rows up to which one that returns none has its values written out: each number of them is a statement that is kept prepared."""

_Processor = Callable[[Any], Any]
_Given = Sequence[Mapping[str, Any]]


class Insertion(NamedTuple):
    """Rows for a table that all name the same columns; ``conflicts`` is the clause ON CONFLICT."""

    table: Table
    rows: _Given
    conflicts: str = ""


class Children(NamedTuple):
    """Rows for a table that refer by ``key`` to the ids of rows that are inserted with them.

    Which one each belongs to it says by the value that this has in the column ``by``, and no other.
    """

    table: Table
    rows: _Given
    key: str
    by: str

    @property
    def names(self) -> tuple[str, ...]:
        """The columns that are given."""
        return tuple(name for name in self.rows[0] if name != self.by)

    @property
    def shape(self) -> "tuple[Table, tuple[str, ...], str, str]":
        """What decides the text of their statement."""
        return self.table, self.names, self.key, self.by


async def insert_many(
    db: AsyncSession,
    table: Table,
    rows: _Given,
    *,
    returning: Sequence[str] = (),
    conflicts: str = "",
) -> Found:
    """Insert rows that all name the same columns, and return these columns of them, in no order.

    A trigger for each statement is called once for all of them on PostgreSQL. ``conflicts`` is the clause ON CONFLICT. Nothing
    is defaulted in Python: a column that is not named gets the default that the database has.
    """
    if not rows:
        return []
    writer, dialect = _writer(db)
    tail = f" {conflicts}" if conflicts else ""
    if returning:
        tail += f" RETURNING {', '.join(returning)}"
    if dialect.name == "postgresql":
        plan = _from_document(table, tuple(rows[0]), dialect)
        steps = [Step(plan.insert + tail, (plan.document(rows),))]
    else:
        steps = list(_written(table, rows, dialect, tail, returns=bool(returning)))
    found = list(chain.from_iterable(await writer.take(steps)))
    return _converted(found, table, returning, dialect) if returning else []


async def insert_together(db: AsyncSession, *insertions: Insertion) -> None:
    """Insert rows into several tables on one way to the database; none of them may refer to another."""
    insertions = tuple(one for one in insertions if one.rows)
    if not insertions:
        return
    writer, dialect = _writer(db)
    if dialect.name == "postgresql":
        plans = tuple(_from_document(one.table, tuple(one.rows[0]), dialect) for one in insertions)
        documents = tuple(plan.document(one.rows) for plan, one in zip(plans, insertions, strict=True))
        steps = [Step(_joined(plans, tuple(one.conflicts for one in insertions)), documents)]
    else:
        steps = [
            step
            for one in insertions
            for step in _written(one.table, one.rows, dialect, f" {one.conflicts}", returns=False)
        ]
    await writer.take(steps)


async def insert_family(
    db: AsyncSession, table: Table, rows: _Given, children: Children
) -> Mapping[Any, int]:
    """Insert rows, and what refers to them, on one way to the database; return their ids by the column ``children.by``."""
    if not children.rows:
        made = await insert_many(db, table, rows, returning=("id", children.by))
        return {value: item_id for item_id, value in made}
    writer, dialect = _writer(db)
    if dialect.name == "postgresql":
        plan = _from_document(table, tuple(rows[0]), dialect)
        text = _family(plan.insert, _column(table, children.by, dialect), children.shape, dialect)
        steps = [Step(text, (plan.document(rows), to_json(children.rows).decode()))]
        made = (await writer.take(steps))[0]
    else:
        steps = list(_written(table, rows, dialect, f" RETURNING id, {children.by}", returns=True))
        parents = len(steps)
        steps += _written_children(table, children, dialect, parents)
        made = list(chain.from_iterable((await writer.take(steps))[:parents]))
    return {value: item_id for item_id, value in _converted(made, table, ("id", children.by), dialect)}


def _writer(db: AsyncSession) -> tuple[WriteSession, Dialect]:
    if not isinstance(db, WriteSession):
        raise TypeError("rows are inserted in a transaction")
    return db, db.sync_session.get_bind().dialect


def _converted(rows: Found, table: Table, names: Sequence[str], dialect: Dialect) -> Found:
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
    moments: tuple[str, ...]

    def document(self, rows: _Given) -> str:
        """Return the rows as JSON, where values are written as PostgreSQL writes its own."""
        for name in self.moments:
            # It would be taken for one in the connection's zone.
            if any((moment := row.get(name)) is not None and moment.tzinfo is None for row in rows):
                raise ValueError("a time without a zone")
        return to_json(rows).decode()


@lru_cache(maxsize=64)
def _from_document(table: Table, names: Sequence[str], dialect: Dialect) -> _Plan:
    types = {name: table.c[name].type.dialect_impl(dialect) for name in names}
    if any(isinstance(one, LargeBinary) for one in types.values()):
        raise TypeError(f"{table.name} has bytes, which JSON has none of")
    moments = (name for name, one in types.items() if isinstance(getattr(one, "impl", one), DateTime))
    listed = ", ".join(names)
    given = _given("$1", [_column(table, name, dialect) for name in names])
    insert = f"INSERT INTO {table.name} ({listed}) SELECT {listed} FROM {given}"  # noqa: S608 - our own names
    return _Plan(insert, tuple(moments))


@lru_cache(maxsize=256)
def _column(table: Table, name: str, dialect: Dialect) -> str:
    kind = table.c[name].type.dialect_impl(dialect)
    # Text without the column's length and collation, which are the column's to check.
    return f"{name} {'TEXT' if isinstance(kind, String) else dialect.type_compiler_instance.process(kind)}"


def _given(document: str, columns: Sequence[str]) -> str:
    return f"json_to_recordset(CAST(CAST({document} AS TEXT) AS JSON)) AS given ({', '.join(columns)})"


@lru_cache(maxsize=64)
def _joined(plans: Sequence[_Plan], conflicts: Sequence[str]) -> str:
    *firsts, last = (
        f"{plan.insert.replace('$1', f'${at}')} {clause}".rstrip()
        for at, (plan, clause) in enumerate(zip(plans, conflicts, strict=True), 1)
    )
    if not firsts:
        return last
    return f"WITH {', '.join(f'part{at} AS ({one})' for at, one in enumerate(firsts, 1))} {last}"


@lru_cache(maxsize=64)
def _family(
    insert: str, by_column: str, shape: tuple[Table, Sequence[str], str, str], dialect: Dialect
) -> str:
    children, names, key, by = shape
    listed = ", ".join(names)
    given = _given("$2", [by_column, *(_column(children, name, dialect) for name in names)])
    return (
        f"WITH made AS ({insert} RETURNING id, {by}), "  # noqa: S608 - our own names
        f"children AS (INSERT INTO {children.name} ({key}, {listed}) SELECT made.id, {listed} FROM {given} "
        f"JOIN made USING ({by})) SELECT id, {by} FROM made"
    )


def _written(table: Table, rows: _Given, dialect: Dialect, tail: str, *, returns: bool) -> Iterator[Step]:
    names = tuple(rows[0])
    tuples = _tuples(table, names, rows, dialect)
    if not returns and len(tuples) > _ROWS_WRITTEN_OUT:
        yield Step(_written_out(table, names, 1) + tail, tuples)
        return
    for at in range(0, len(tuples), _ROWS_AT_ONCE):
        part = tuples[at : at + _ROWS_AT_ONCE]
        yield Step(_written_out(table, names, len(part)) + tail, tuple(chain.from_iterable(part)))


def _written_children(table: Table, children: Children, dialect: Dialect, parents: int) -> Iterator[Step]:
    """Yield the statements for rows that refer to those which the first ``parents`` statements have made."""
    names = children.names
    (marks,) = zip(*_tuples(table, (children.by,), children.rows, dialect), strict=True)
    rows = list(zip(marks, _tuples(children.table, names, children.rows, dialect), strict=True))

    def values(found: Sequence[Found], part: Sequence[tuple[Any, tuple[Any, ...]]]) -> tuple[Any, ...]:
        ids = {mark: item_id for made in found[:parents] for item_id, mark in made}
        return tuple(value for mark, row in part for value in (ids[mark], *row))

    for at in range(0, len(rows), _ROWS_WRITTEN_OUT):
        part = rows[at : at + _ROWS_WRITTEN_OUT]
        yield Step(
            _written_out(children.table, (children.key, *names), len(part)), partial(values, part=part)
        )


def _tuples(table: Table, names: Sequence[str], rows: _Given, dialect: Dialect) -> list[tuple[Any, ...]]:
    processors = _processors(table, tuple(names), dialect)
    columns = [
        _processed(processor, [row[name] for row in rows])
        for name, processor in zip(names, processors, strict=True)
    ]
    return list(zip(*columns, strict=True))


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
