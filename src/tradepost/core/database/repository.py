"""The repository pattern: one class for each table or view of it, which holds all SQL of its domain."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import BigInteger, Executable, Row, Select, String, bindparam, exists, select
from sqlalchemy.orm import InstrumentedAttribute

from tradepost.core.database.elements import AmongIds, AmongTexts, EstimatedCount, counted, estimate_of
from tradepost.core.database.keyset import Order, nulls_of
from tradepost.core.database.sessions import ReadSession, WriteSession
from tradepost.core.database.short_way import NO_VALUES
from tradepost.core.wire.pagination import Page, Total, Window


def escaped(fragment: str) -> str:
    r"""Return ``fragment`` with LIKE's wildcards escaped, for ``LIKE … ESCAPE '\'``."""
    return fragment.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


class ByKeys:
    """A read of the rows of some keys, in two texts: one for a single key, which is what one client alone asks for.

    PostgreSQL plans a statement with a list of keys anew at each execution, for several times what finding a row costs.
    """

    def __init__(self, rows: Select[*tuple[Any, ...]], column: InstrumentedAttribute[Any]) -> None:
        is_text = isinstance(column.type, String)
        self._name = "texts" if is_text else "ids"
        self._of_one = rows.where(column == bindparam("key", type_=String() if is_text else BigInteger()))
        self._of_many = rows.where(AmongTexts(column) if is_text else AmongIds(column))

    def asked(self, keys: Sequence[Any]) -> tuple[Select[*tuple[Any, ...]], dict[str, Any]]:
        """Return the statement for these keys, and its values."""
        if len(keys) == 1:
            return self._of_one, {"key": keys[0]}
        return self._of_many, {self._name: list(keys)}


class Repository:
    """The session of a repository, and the reads that all repositories share."""

    def __init__(self, db: ReadSession | WriteSession) -> None:
        self.db = db

    async def rows(
        self, statement: Executable, parameters: Mapping[str, Any] | None = None
    ) -> Sequence[Row[*tuple[Any, ...]]]:
        """Read columns past the ORM's session, which would look for entities among them: for the busiest statements."""
        return await self.db.rows(statement, parameters or NO_VALUES)

    async def paged(
        self, rows: Select[*tuple[Any, ...]], window: Window, order: Order
    ) -> Page[Row[*tuple[Any, ...]]]:
        """Return a window of ``rows`` in an order, with the total that it asks for, and with its end.

        Each row has the columns of its place besides its own. One row more than is wanted tells whether the list goes on.
        """
        part = rows.add_columns(*order.columns()).order_by(*order.by()).limit(window.limit + 1)
        parameters: dict[str, Any] = {}
        if window.after is None:
            part = part.offset(window.skip)
        else:
            part = part.where(order.after(nulls_of(window.after)))
            parameters = order.parameters(window.after)
        found = (await self.db.execute(part, parameters)).all()
        shown = found[: window.limit]
        end = order.place_of(shown[-1]) if len(found) > len(shown) else None
        return Page(shown, await self.count(rows, window.total), window, end)

    async def count(
        self, rows: Select[Any], total: Total, parameters: Mapping[str, Any] | None = None
    ) -> int | None:
        """Count ``rows``: exactly, by the planner's estimate (exactly on SQLite, which makes none), or not at all."""
        if total is Total.NONE:
            return None
        bare = rows.order_by(None).limit(None).offset(None)
        if total is Total.ESTIMATED:
            return estimate_of(await self.db.scalar(EstimatedCount(bare), parameters))
        return int(await self.db.scalar(counted(bare), parameters) or 0)

    async def any(self, column: InstrumentedAttribute[Any], value: Any) -> bool:
        """Tell whether a row holds ``value`` in ``column``."""
        return bool(await self.db.scalar(select(exists().where(column == value))))
