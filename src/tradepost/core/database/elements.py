"""SQL elements that each engine spells in its own way: PostgreSQL and SQLite compile one statement to two texts.

A repository builds a statement once, without asking which engine it will run on; the dialect chooses the text when the
statement is compiled. Each element is shown with both texts, and with what both engines answer, in
``tests/core/database/test_elements.py``.
"""

import json
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    ClauseElement,
    ColumnElement,
    Dialect,
    Executable,
    Select,
    String,
    Table,
    bindparam,
    func,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import InstrumentedAttribute
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator, TypeEngine

from tradepost.core.database.models import Base, ConvertedOnSqlite, UtcDateTime
from tradepost.core.wire.pagination import Estimate


class IdList(TypeDecorator[Sequence[int]]):
    """Many integers as one parameter: an array on PostgreSQL, JSON text on SQLite."""

    impl = String
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(String() if dialect.name == "sqlite" else postgresql.ARRAY(BigInteger))

    def process_bind_param(self, value: Sequence[int] | None, dialect: Dialect) -> Any:
        return json.dumps(value) if dialect.name == "sqlite" else value


class AmongIds(FunctionElement[bool]):
    """Membership of ``column`` in the parameter ``ids``, a list of integers.

    The text is the same for any number of ids, where IN would have one parameter, and one prepared statement, for each
    number of them.
    """

    # No type of its own: what is Boolean, SQLAlchemy compares on SQLite (``… = 1``), and no index would serve.
    inherit_cache = True

    def __init__(
        self, column: InstrumentedAttribute[int] | InstrumentedAttribute[int | None] | ColumnElement[int]
    ) -> None:
        super().__init__(column, bindparam("ids", type_=IdList()))


class TextList(TypeDecorator[Sequence[str]]):
    """Many texts as one parameter: an array on PostgreSQL, JSON text on SQLite."""

    impl = String
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(String() if dialect.name == "sqlite" else postgresql.ARRAY(String))

    def process_bind_param(self, value: Sequence[str] | None, dialect: Dialect) -> Any:
        return json.dumps(value) if dialect.name == "sqlite" else value


class AmongTexts(FunctionElement[bool]):
    """Membership of ``column`` in the parameter ``texts``, a list of texts."""

    inherit_cache = True

    def __init__(self, column: ColumnElement[str] | InstrumentedAttribute[str]) -> None:
        super().__init__(column, bindparam("texts", type_=TextList()))


@compiles(AmongTexts, "postgresql")
@compiles(AmongIds, "postgresql")
def _among_array(element: AmongIds | AmongTexts, compiler: SQLCompiler, **options: Any) -> str:
    column, values = (compiler.process(clause, **options) for clause in element.clauses)
    return f"{column} = ANY ({values})"


@compiles(AmongTexts, "sqlite")
@compiles(AmongIds, "sqlite")
def _among_json(element: AmongIds | AmongTexts, compiler: SQLCompiler, **options: Any) -> str:
    column, values = (compiler.process(clause, **options) for clause in element.clauses)
    return f"{column} IN (SELECT value FROM json_each({values}))"  # noqa: S608 - two clauses of the statement's own


class AmongSelected(FunctionElement[bool]):
    """Membership of ``column`` in what a subquery selects.

    PostgreSQL gets an array: it is made first, the planner expects few elements in it, and uses the index of ``column``.
    Of IN with a subquery the planner may expect many rows, and go through the whole table.
    """

    inherit_cache = True

    def __init__(
        self, column: InstrumentedAttribute[Any] | ColumnElement[Any], selected: Select[Any]
    ) -> None:
        super().__init__(column, selected.scalar_subquery())


@compiles(AmongSelected, "postgresql")
def _among_selected_array(element: AmongSelected, compiler: SQLCompiler, **options: Any) -> str:
    column, subquery = (compiler.process(clause, **options) for clause in element.clauses)
    return f"{column} = ANY (ARRAY{subquery})"


@compiles(AmongSelected, "sqlite")
def _among_selected(element: AmongSelected, compiler: SQLCompiler, **options: Any) -> str:
    column, subquery = (compiler.process(clause, **options) for clause in element.clauses)
    return f"{column} IN {subquery}"


class GivenRows(FunctionElement[Any]):
    """Parameters, lists of one length, as the columns of a table: many questions, or many changes, in one statement.

    The table's columns are called as the parameters are. ``texts`` names those that are lists of texts; the others are lists
    of integers.
    """

    inherit_cache = True

    def __init__(self, *names: str, texts: Collection[str] = ()) -> None:
        super().__init__(
            *(bindparam(name, type_=TextList() if name in texts else IdList()) for name in names)
        )


def _names_of(element: GivenRows) -> list[str]:
    return [f'"{clause.key}"' for clause in element.clauses]


@compiles(GivenRows, "postgresql")
def _rows_of_arrays(element: GivenRows, compiler: SQLCompiler, **options: Any) -> str:
    arrays = ", ".join(compiler.process(clause, **options) for clause in element.clauses)
    return f"(SELECT * FROM unnest({arrays}) AS given({', '.join(_names_of(element))}))"  # noqa: S608 - parameters


@compiles(GivenRows, "sqlite")
def _rows_of_json(element: GivenRows, compiler: SQLCompiler, **options: Any) -> str:
    first, *others = (compiler.process(clause, **options) for clause in element.clauses)
    at_same_place = [f"json_extract({values}, '$[' || key || ']')" for values in others]
    columns = [
        f"{value} AS {name}"
        for value, name in zip(["value", *at_same_place], _names_of(element), strict=True)
    ]
    return f"(SELECT {', '.join(columns)} FROM json_each({first}))"  # noqa: S608 - likewise


class UnindexedOnSqlite(FunctionElement[str]):
    """A column that SQLite finds by no index, for a condition that most rows fulfil.

    SQLite knows no shares of values: it would rather find nearly all rows by the index of such a condition, and sort them, than
    read a few in the order of another index. PostgreSQL knows better, and gets the column as it is.
    """

    type = String()
    inherit_cache = True


@compiles(UnindexedOnSqlite, "postgresql")
def _plainly(element: UnindexedOnSqlite, compiler: SQLCompiler, **options: Any) -> str:
    (column,) = element.clauses
    return compiler.process(column, **options)


@compiles(UnindexedOnSqlite, "sqlite")
def _with_sign(element: UnindexedOnSqlite, compiler: SQLCompiler, **options: Any) -> str:
    (column,) = element.clauses
    return f"+{compiler.process(column, **options)}"


class Unindexed(FunctionElement[Any]):
    """A column's value, as no index has it: a condition on it is checked on rows that something else finds."""

    inherit_cache = True

    def __init__(self, column: InstrumentedAttribute[Any] | ColumnElement[Any]) -> None:
        super().__init__(column)
        self.type = column.type


@compiles(Unindexed, "postgresql")
def _computed(element: Unindexed, compiler: SQLCompiler, **options: Any) -> str:
    (column,) = element.clauses
    nothing = "|| ''" if isinstance(element.type, String) else "+ 0"
    return f"({compiler.process(column, **options)} {nothing})"


@compiles(Unindexed, "sqlite")
def _unary_plus(element: Unindexed, compiler: SQLCompiler, **options: Any) -> str:
    (column,) = element.clauses
    return f"+{compiler.process(column, **options)}"


class SoughtInRange(FunctionElement[bool]):
    """Equality of a column with a value of another row, which SQLite seeks as a range of one value.

    It then takes the index in which the column follows another one, where the rows of one tag lie together, and not a unique
    index that begins with the column, where they lie all over. PostgreSQL chooses rightly, and may join by equality alone.
    """

    inherit_cache = True

    def __init__(self, column: Any, value: Any) -> None:
        super().__init__(column, value)


@compiles(SoughtInRange, "postgresql")
def _equal(element: SoughtInRange, compiler: SQLCompiler, **options: Any) -> str:
    column, value = (compiler.process(clause, **options) for clause in element.clauses)
    return f"{column} = {value}"


@compiles(SoughtInRange, "sqlite")
def _in_range_of_one(element: SoughtInRange, compiler: SQLCompiler, **options: Any) -> str:
    column, value = (compiler.process(clause, **options) for clause in element.clauses)
    return f"{column} BETWEEN +{value} AND +{value}"


class ByCodePoint(FunctionElement[str]):
    """Text in the order of its code points, whatever the database's own collation is: lists are alike on both engines."""

    type = String()
    inherit_cache = True


@compiles(ByCodePoint, "postgresql")
def _collated(element: ByCodePoint, compiler: SQLCompiler, **options: Any) -> str:
    (column,) = element.clauses
    return f'{compiler.process(column, **options)} COLLATE "C"'


@compiles(ByCodePoint, "sqlite")
def _binary(element: ByCodePoint, compiler: SQLCompiler, **options: Any) -> str:
    (column,) = element.clauses
    return compiler.process(column, **options)


class DatabaseNow(FunctionElement[datetime]):
    """The database's clock at this moment: the one that all replicas share, however far their own are apart."""

    type = UtcDateTime()
    inherit_cache = True


@compiles(DatabaseNow, "postgresql")
def _clock(_element: DatabaseNow, _compiler: SQLCompiler, **_options: Any) -> str:
    # Not `now()`: that is when the transaction began, which may have waited for a lock since.
    return "clock_timestamp()"


@compiles(DatabaseNow, "sqlite")
def _machine_clock(_element: DatabaseNow, _compiler: SQLCompiler, **_options: Any) -> str:
    return "strftime('%Y-%m-%d %H:%M:%f', 'now')"


class TextsJoined(FunctionElement[str]):
    """The texts of a column in all rows as one, a separator between any two; null without rows.

    SQLAlchemy's own function spells its separator out anew at each execution.
    """

    type = String()
    inherit_cache = True

    def __init__(self, texts: ColumnElement[str], separator: ColumnElement[str]) -> None:
        super().__init__(texts, separator)


@compiles(TextsJoined, "postgresql")
def _string_agg(element: TextsJoined, compiler: SQLCompiler, **options: Any) -> str:
    return f"string_agg({compiler.process(element.clauses, **options)})"


@compiles(TextsJoined, "sqlite")
def _group_concat(element: TextsJoined, compiler: SQLCompiler, **options: Any) -> str:
    return f"group_concat({compiler.process(element.clauses, **options)})"


class _GatheredList(ConvertedOnSqlite[list[int]]):
    """A column type for a list of integers: an array from PostgreSQL, JSON text from SQLite."""

    cache_ok = True

    def process_result_value(self, value: Any, _dialect: Any) -> list[int] | None:
        return None if value is None else json.loads(value)


class GatheredIds(FunctionElement[list[int]]):
    """The ids of all rows as one list, which costs a fraction of a row for each; without rows null, or empty."""

    type = _GatheredList()
    inherit_cache = True

    def __init__(self, ids: ColumnElement[int]) -> None:
        super().__init__(ids)


@compiles(GatheredIds, "postgresql")
def _array_agg(element: GatheredIds, compiler: SQLCompiler, **options: Any) -> str:
    return f"array_agg({compiler.process(element.clauses, **options)})"


@compiles(GatheredIds, "sqlite")
def _group_array(element: GatheredIds, compiler: SQLCompiler, **options: Any) -> str:
    return f"json_group_array({compiler.process(element.clauses, **options)})"


class EstimatedCount(Executable, ClauseElement):
    """The number of rows that a SELECT is expected to find: counting them all would read them all.

    PostgreSQL answers with its planner's account of the SELECT, which is not run. SQLite's planner knows no number, and
    the rows are counted. ``estimate_of`` reads either answer.
    """

    inherit_cache = False
    """What has no columns of its own cannot be remembered compiled: SQLAlchemy would ask for them."""

    def __init__(self, rows: Select[Any]) -> None:
        self.rows = rows


@compiles(EstimatedCount, "postgresql")
def _explained(element: EstimatedCount, compiler: SQLCompiler, **options: Any) -> str:
    return "EXPLAIN (FORMAT JSON) " + compiler.process(element.rows, **options)


@compiles(EstimatedCount, "sqlite")
def _counted(element: EstimatedCount, compiler: SQLCompiler, **options: Any) -> str:
    return compiler.process(counted(element.rows), **options)


def counted(rows: Select[Any]) -> Select[int]:
    """Return the statement that counts ``rows``."""
    return rows.with_only_columns(func.count(), maintain_column_froms=True)


def estimate_of(answer: Any) -> int:
    """Read the answer to an ``EstimatedCount``: an ``Estimate`` of PostgreSQL's planner, a count of SQLite."""
    return answer if isinstance(answer, int) else Estimate(answer[0]["Plan"]["Plan Rows"])


def upsert(model: type[Base] | Table) -> postgresql.Insert:
    """Return an INSERT that knows ON CONFLICT.

    SQLite took the clause over from PostgreSQL, and both dialects compile this one to the same text; the class that
    SQLAlchemy has for SQLite differs only in what SQLite alone can do.
    """
    return postgresql.insert(model)
