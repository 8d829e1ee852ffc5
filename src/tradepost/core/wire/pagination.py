"""Pagination by offset and by keyset: the window that a client asks for, and the page that it gets."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Generic, TypeAlias, TypeVar

from pydantic import GetJsonSchemaHandler

T = TypeVar("T")
U = TypeVar("U")

KeyValue: TypeAlias = datetime | Decimal | int | str | None
Place: TypeAlias = tuple[KeyValue, ...]
"""The place of a row in a list: the values of its sort keys, the last of which is its id."""


class Total(StrEnum):
    """How much work the count of a list is worth."""

    EXACT = "exact"
    ESTIMATED = "estimated"
    NONE = "false"

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        # ``web.parameters`` reads `true` as well. The enumeration is shared by every list, and says so once.
        schema = handler.resolve_ref_schema(handler(core_schema))
        schema["enum"] = [cls.EXACT.value, "true", cls.ESTIMATED.value, cls.NONE.value]
        return schema


class Estimate(int):
    """A number of rows that was guessed, not counted."""


@dataclass(frozen=True, slots=True)
class Window:
    """``limit`` rows in the order of ``sort``: those after the first ``skip``, or those after a place in the list.

    ``sort`` names allowed fields, by commas, each with ``-`` first for descending. ``cursor`` is what the client sent;
    ``Cursors`` reads from it the place ``after`` which the rows follow.
    """

    skip: int = 0
    limit: int = 100
    total: Total = Total.EXACT
    sort: str = "id"
    cursor: str | None = None
    after: Place | None = None

    def corrected(self, estimate: int, found: int) -> int:
        """Return an estimated total in the light of how many rows were found: a page that is not full ends the list.

        A full one may have another after it, whatever the estimate: before its first ANALYZE, PostgreSQL guesses, and a
        client that believes it would stop early. How many rows stand before a cursor, nobody knows.
        """
        known = self.skip + found
        if self.after is not None:
            return max(estimate, known)
        if found == self.limit:
            return max(estimate, known + 1)
        return min(estimate, known) if found == 0 else known


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """The rows of a window and, unless that was left out, how many there are in all; an ``Estimate`` is corrected.

    ``end`` is the place of the last row where another follows it, None at the end of the list; ``next_cursor`` is the
    cursor that ``Cursors`` makes of it.
    """

    rows: Sequence[T]
    total: int | None
    window: Window
    end: Place | None = None
    next_cursor: str | None = None

    def __post_init__(self) -> None:
        if isinstance(self.total, Estimate):
            object.__setattr__(self, "total", self.window.corrected(self.total, len(self.rows)))

    def mapped(self, change: Callable[[T], U]) -> "Page[U]":
        """Return the page with ``change`` of each row in its place."""
        return Page(list(map(change, self.rows)), self.total, self.window, self.end, self.next_cursor)

    @property
    def info(self) -> dict[str, Any]:
        """The fields of ``PageInfo``; with a cursor nobody knows which page of how many it is."""
        skip, limit = self.window.skip, self.window.limit
        by_offset = self.window.after is None
        return {
            "total": self.total,
            "page": skip // limit + 1 if by_offset else None,
            "size": limit,
            "pages": -(-self.total // limit) if by_offset and self.total is not None else None,
            "next_cursor": self.next_cursor,
        }
