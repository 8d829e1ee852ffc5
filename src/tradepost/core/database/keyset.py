"""Keyset pagination: the order of a list, and the condition for the rows after a place in it.

The rows after a place are found by a range of the index, however far down the list it is, where an offset would walk
past every row before it. Rows that come and go meanwhile move nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, TypeAlias

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Label,
    Select,
    String,
    and_,
    bindparam,
    false,
    or_,
    select,
    true,
    tuple_,
)
from sqlalchemy.orm import InstrumentedAttribute

from tradepost.core.database.elements import ByCodePoint
from tradepost.core.wire.pagination import Place

Sorts: TypeAlias = Mapping[str, InstrumentedAttribute[Any] | Label[Any]]
"""The columns of the orders that a list allows, by the names that clients know."""
Nulls: TypeAlias = tuple[bool, ...]
"""Which values of a place are null: the condition for what follows it is another one then."""


@dataclass(frozen=True, slots=True)
class Key:
    """One column of an ORDER BY. Null counts as the largest value, on both engines."""

    name: str
    """What its parameter and its column in a subquery are called: another key may have the same column's name."""
    field: str
    """The column's own name."""
    column: ColumnElement[Any]
    value: ColumnElement[Any]
    """The parameter that stands for its value in a place."""
    descending: bool
    nullable: bool

    def ordered(self, column: ColumnElement[Any], *, backwards: bool = False) -> ColumnElement[Any]:
        """Return the term of the ORDER BY: of the key's own column, or of one that a subquery made of it."""
        descending = self.descending is not backwards
        if not self.nullable:
            return column.desc() if descending else column.asc()
        return column.desc().nulls_first() if descending else column.asc().nulls_last()

    def beyond(self, *, null: bool) -> ColumnElement[bool]:
        """Match rows whose value comes after that of a place, which is null or not."""
        if self.descending:
            return self.column.is_not(None) if null else self.column < self.value
        if null:
            return false()
        return (
            or_(self.column > self.value, self.column.is_(None))
            if self.nullable
            else self.column > self.value
        )

    def same(self, *, null: bool) -> ColumnElement[bool]:
        """Match rows with the value of a place."""
        return self.column.is_(None) if null else self.column == self.value

    def within(self, *, null: bool) -> ColumnElement[bool]:
        """Match rows with the value of a place or one after it: one range, for the index to begin at."""
        if self.nullable:
            return true() if self.descending and null else or_(self.beyond(null=null), self.same(null=null))
        return self.column <= self.value if self.descending else self.column >= self.value


class Order:
    """A total order by several keys, the last of which is the id that tells equal rows apart."""

    def __init__(self, sort: str, sorts: Sorts, *, ties: InstrumentedAttribute[int]) -> None:
        """Read ``sort``: keys of ``sorts`` by commas, ``-`` for descending. Ties go the way of the last of them."""
        signs = {name.removeprefix("-"): name.startswith("-") for name in reversed(sort.split(","))}
        wanted = [(sorts[name], signs[name]) for name in dict.fromkeys(sort.replace("-", "").split(","))]
        if all(column is not ties for column, _ in wanted):
            wanted.append((ties, wanted[-1][1]))
        self.keys: Sequence[Key] = [
            _key(number, column, descending=descending) for number, (column, descending) in enumerate(wanted)
        ]

    def by(self, subquery: FromClause | None = None, *, backwards: bool = False) -> list[ColumnElement[Any]]:
        """Return the terms of the ORDER BY, of the columns themselves or as a subquery selected ``columns``."""
        return [
            key.ordered(key.column if subquery is None else subquery.c[key.name], backwards=backwards)
            for key in self.keys
        ]

    def columns(self) -> list[ColumnElement[Any]]:
        """Return the columns that hold a row's place, to be selected besides what is shown."""
        return [key.column.label(key.name) for key in self.keys]

    def place_of(self, row: Any) -> Place:
        """Return the place of a row that was selected with ``columns``."""
        return tuple(getattr(row, key.name) for key in self.keys)

    def place_in(self, row: Any) -> Place:
        """Return the place of a row that has all its keys among what is shown."""
        return tuple(getattr(row, key.field) for key in self.keys)

    def after(self, nulls: Nulls | None = None) -> ColumnElement[bool]:
        """Match what follows a place; its values are the ``parameters`` of the execution, None of them null unless told."""
        one_way = len({key.descending for key in self.keys}) == 1
        if one_way and not any(key.nullable for key in self.keys):
            # A comparison of rows is a single range of an index that has all of the keys, on both engines.
            here, there = (
                tuple_(*(key.column for key in self.keys)),
                tuple_(*(key.value for key in self.keys)),
            )
            return here < there if self.keys[0].descending else here > there
        pairs = list(zip(self.keys, nulls or (False,) * len(self.keys), strict=True))

        def nested(rest: ColumnElement[bool], pair: tuple[Key, bool]) -> ColumnElement[bool]:
            key, null = pair
            return or_(key.beyond(null=null), and_(key.same(null=null), rest))

        # Neither engine finds a range in the alternatives: the first key's own is said besides.
        (first, null), (last, last_null) = pairs[0], pairs[-1]
        alternatives = reduce(nested, reversed(pairs[:-1]), last.beyond(null=last_null))
        return and_(first.within(null=null), alternatives)

    def among_first(self, rows: Select[*tuple[Any, ...]]) -> ColumnElement[bool]:
        """Match rows that come no later than the last of ``rows``, the first so many of this order.

        It is one more end of the range of an index: a statement that looks along the index ends there, whatever it has
        found. All keys go one way, and none is ever null.
        """
        first = rows.with_only_columns(*self.columns()).order_by(*self.by()).subquery("first")
        last = select(*first.c).order_by(*self.by(first, backwards=True)).limit(1)
        here = tuple_(*(key.column for key in self.keys))
        return here.op(">=" if self.keys[0].descending else "<=", is_comparison=True)(last.scalar_subquery())

    def parameters(self, place: Place) -> dict[str, Any]:
        """Return the values of a place for the parameters in ``after``."""
        return {key.name: value for key, value in zip(self.keys, place, strict=True)}


def nulls_of(place: Place) -> Nulls:
    """Tell which values of a place are null."""
    return tuple(value is None for value in place)


def _key(number: int, column: InstrumentedAttribute[Any] | Label[Any], *, descending: bool) -> Key:
    name = f"key_{number}"
    is_text = isinstance(column.type, String)
    compared: ColumnElement[Any] = ByCodePoint(column) if is_text else column.expression
    value = bindparam(name, type_=column.type)
    # What is computed is never null.
    nullable = isinstance(column, InstrumentedAttribute) and bool(column.expression.nullable)
    return Key(name, column.key, compared, value, descending, nullable=nullable)
