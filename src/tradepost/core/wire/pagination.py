"""Pagination by offset: the window that a client asks for, and the page that it gets."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Generic, TypeVar

from pydantic import GetJsonSchemaHandler

T = TypeVar("T")


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
    """``limit`` rows after the first ``skip``, in the order of ``sort``: an allowed field, ``-`` first for descending."""

    skip: int = 0
    limit: int = 100
    total: Total = Total.EXACT
    sort: str = "id"

    def corrected(self, estimate: int, found: int) -> int:
        """Return an estimated total in the light of how many rows were found: a page that is not full ends the list.

        A full one may have another after it, whatever the estimate: before its first ANALYZE, PostgreSQL guesses, and a
        client that believes it would stop early.
        """
        known = self.skip + found
        if found == self.limit:
            return max(estimate, known + 1)
        return min(estimate, known) if found == 0 else known


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """The rows of a window and, unless that was left out, how many there are in all; an ``Estimate`` is corrected."""

    rows: Sequence[T]
    total: int | None
    window: Window

    def __post_init__(self) -> None:
        if isinstance(self.total, Estimate):
            object.__setattr__(self, "total", self.window.corrected(self.total, len(self.rows)))

    @property
    def info(self) -> dict[str, Any]:
        """The fields of ``PageInfo``."""
        skip, limit = self.window.skip, self.window.limit
        return {
            "total": self.total,
            "page": skip // limit + 1,
            "size": limit,
            "pages": None if self.total is None else -(-self.total // limit),
        }
