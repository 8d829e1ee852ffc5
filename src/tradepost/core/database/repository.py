"""What every repository can do besides its own sentences."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import (
    BigInteger,
    ClauseElement,
    ColumnElement,
    Dialect,
    Executable,
    Row,
    Select,
    String,
    any_,
    bindparam,
    collate,
    exists,
    func,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import InstrumentedAttribute, Session
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.types import TypeDecorator, TypeEngine

from tradepost.core.database.models import Base
from tradepost.core.wire.pagination import Total


def escaped(fragment: str) -> str:
    r"""Return ``fragment`` with LIKE's wildcards made letters; for ``LIKE … ESCAPE '\'``."""
    return fragment.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


class _Explained(Executable, ClauseElement):
    """The planner's account of a statement, which is not run."""

    inherit_cache = False

    def __init__(self, statement: Select[Any]) -> None:
        self.statement = statement


@compiles(_Explained)
def _explain(element: _Explained, compiler: SQLCompiler, **options: Any) -> str:
    return "EXPLAIN (FORMAT JSON) " + compiler.process(element.statement, **options)


class _IdList(TypeDecorator[Sequence[int]]):
    """Many ids as one parameter: an array, or JSON on SQLite."""

    impl = String
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(String() if dialect.name == "sqlite" else postgresql.ARRAY(BigInteger))

    def process_bind_param(self, value: Sequence[int] | None, dialect: Dialect) -> Any:
        return json.dumps(value) if dialect.name == "sqlite" else value


def among_ids(column: InstrumentedAttribute[int], *, on_postgres: bool) -> ColumnElement[bool]:
    """Return the condition that ``column`` is one of the parameter ``ids``: the same text for any number of them."""
    ids = bindparam("ids", type_=_IdList())
    if on_postgres:
        return column == any_(ids)
    return column.in_(select(func.json_each(ids).table_valued("value").c.value))


class Repository:
    """Holds a session; subclasses hold every statement of their domain."""

    def __init__(self, db: AsyncSession) -> None:
        self.db = db

    @property
    def on_postgres(self) -> bool:
        """Whether the session talks to PostgreSQL."""
        return self.db.get_bind().dialect.name == "postgresql"

    async def rows(
        self, statement: Select[*tuple[Any, ...]], parameters: Mapping[str, Any] | None = None
    ) -> Sequence[Row[*tuple[Any, ...]]]:
        """Read columns, for the busiest reads: past the ORM's session, which would look for entities among them.

        In one step out of asyncio and back: two cost a tenth of reading a page more.
        """

        def read(session: Session) -> Sequence[Row[*tuple[Any, ...]]]:
            return session.connection().execute(statement, parameters).all()

        return await self.db.run_sync(read)

    def insert(self, model: type[Base]) -> postgresql.Insert | sqlite.Insert:
        """Return an INSERT that knows ``on_conflict_do_nothing``, which both engines spell alike."""
        return postgresql.insert(model) if self.on_postgres else sqlite.insert(model)

    def ordering(
        self, sort: str, sorts: Mapping[str, InstrumentedAttribute[Any]], *, ties: InstrumentedAttribute[int]
    ) -> tuple[ColumnElement[Any], ColumnElement[int]]:
        """Return the ORDER BY of ``sort``, a key of ``sorts`` with ``-`` for descending; ``ties`` go the same way.

        Text is in the order of its code points on both engines, whatever the database's own collation is.
        """
        column = sorts[sort.removeprefix("-")]
        textual = isinstance(column.type, String) and self.on_postgres
        key: ColumnElement[Any] = collate(column, "C") if textual else column.expression
        return (key.desc(), ties.desc()) if sort.startswith("-") else (key.asc(), ties.asc())

    async def count(
        self, rows: Select[Any], total: Total, parameters: Mapping[str, Any] | None = None
    ) -> int | None:
        """Count ``rows``: exactly, by the planner's estimate (exactly on SQLite, which makes none), or not at all."""
        if total is Total.NONE:
            return None
        bare = rows.order_by(None).limit(None).offset(None)
        if total is Total.ESTIMATED and self.on_postgres:
            return await self._estimate(bare, parameters)
        counted = bare.with_only_columns(func.count(), maintain_column_froms=True)
        return int(await self.db.scalar(counted, parameters) or 0)

    async def _estimate(self, rows: Select[Any], parameters: Mapping[str, Any] | None) -> int:
        plan = await self.db.scalar(_Explained(rows), parameters)
        return int(plan[0]["Plan"]["Plan Rows"])

    async def any(self, column: InstrumentedAttribute[Any], value: Any) -> bool:
        """Tell whether a row holds ``value`` in ``column``."""
        return bool(await self.db.scalar(select(exists().where(column == value))))
