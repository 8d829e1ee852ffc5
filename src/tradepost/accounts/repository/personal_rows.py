"""The statement of an export of a person's data: the rows of any table, read bit by bit within one transaction."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Table, select
from sqlalchemy.ext.asyncio import AsyncConnection


class PersonalRowRepository:
    """Rows in the order of their keys, through a cursor: no more of them than a group is in memory."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def groups(
        self, table: Table, wanted: ColumnElement[bool], *, size: int
    ) -> AsyncGenerator[Sequence[Mapping[str, Any]]]:
        """Yield the wanted rows of a table, so many at a time."""
        statement: Any = select(table).where(wanted).order_by(*table.primary_key.columns)
        reading = await self._connection.execution_options(yield_per=size)
        found = await reading.stream(statement)
        try:
            async for rows in found.mappings().partitions():
                yield [dict(row) for row in rows]
        finally:
            await found.close()
