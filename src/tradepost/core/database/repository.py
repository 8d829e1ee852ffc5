"""The repository pattern: one class for each table or view of it, which holds all SQL of its domain."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, String, exists, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute, Session

from tradepost.core.database.elements import (
    ByCodePoint,
    EstimatedCount,
    counted,
    estimate_of,
)
from tradepost.core.wire.pagination import Total


def escaped(fragment: str) -> str:
    r"""Return ``fragment`` with LIKE's wildcards escaped, for ``LIKE … ESCAPE '\'``."""
    return fragment.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


class Repository:
    """The session of a repository, and the reads that all repositories share."""

    def __init__(self, db: AsyncSession) -> None:
        self.db = db

    async def rows(
        self, statement: Select[*tuple[Any, ...]], parameters: Mapping[str, Any] | None = None
    ) -> Sequence[Row[*tuple[Any, ...]]]:
        """Read columns past the ORM's session, which would look for entities among them: for the busiest reads.

        One step out of asyncio and back: a second one would cost a tenth of reading a page.
        """

        def read(session: Session) -> Sequence[Row[*tuple[Any, ...]]]:
            return session.connection().execute(statement, parameters).all()

        return await self.db.run_sync(read)

    @staticmethod
    def ordering(
        sort: str, sorts: Mapping[str, InstrumentedAttribute[Any]], *, ties: InstrumentedAttribute[int]
    ) -> tuple[ColumnElement[Any], ColumnElement[int]]:
        """Return the ORDER BY of ``sort``, a key of ``sorts`` with ``-`` for descending; ``ties`` go the same way."""
        column = sorts[sort.removeprefix("-")]
        key: ColumnElement[Any] = (
            ByCodePoint(column) if isinstance(column.type, String) else column.expression
        )
        return (key.desc(), ties.desc()) if sort.startswith("-") else (key.asc(), ties.asc())

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
