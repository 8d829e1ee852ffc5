"""Stored sort keys: columns by which text is sorted without regard to case and accents, alike on both engines.

A database's own collation differs from engine to engine and from one version of a library to the next, and an index goes by
it. Inserting through SQLAlchemy makes the key; what renames a row sets it with the name, as ``follow`` does for objects of
the ORM. A release from before the column leaves it empty or as it was, and ``SortKeys`` mends that.
"""

from typing import Any, Final

from sqlalchemy import Table, Text, bindparam, select, text, update
from sqlalchemy.orm import MappedColumn, mapped_column

from tradepost.core.database.engines import Database
from tradepost.core.wire.folding import sort_key

MEND_SECONDS: Final = 3600.0
"""Seconds between two looks at all keys of a table."""
BATCH: Final = 1_000
"""Rows that are looked at in one transaction."""
_SOURCE: Final = "sort_key_of"


def sort_key_column(source: str) -> MappedColumn[str]:
    """Return a column for the sort key of the column ``source`` of the same table.

    An ``upsert`` of several rows names it itself: SQLAlchemy does not tell a default the other values of such a row.
    """

    def key_of_new_row(context: Any) -> str:
        return sort_key(context.get_current_parameters()[source])

    return mapped_column(
        Text().with_variant(Text(collation="C"), "postgresql"),
        default=key_of_new_row,
        # Of what a release inserts that does not know the column.
        server_default=text("''"),
        info={_SOURCE: source},
    )


def follow(row: object, source: str, value: str) -> str:
    """Set the sort key of an object's text, and return the text: for ``sqlalchemy.orm.validates``."""
    setattr(row, f"{source}_key", sort_key(value))
    return value


def key_columns(table: Table) -> dict[str, str]:
    """Return the columns of a table that hold sort keys, and of which column each is one."""
    return {column.name: column.info[_SOURCE] for column in table.columns if _SOURCE in column.info}


class SortKeys:
    """Mends the sort keys of a table: a recurring job, which looks at all rows in short transactions."""

    def __init__(self, database: Database, table: Table) -> None:
        self._database = database
        sources = key_columns(table)
        self._sources = [(table.c[key], table.c[source]) for key, source in sources.items()]
        self._rows = select(table.c.id, *(column for pair in self._sources for column in pair)).order_by(
            table.c.id
        )
        self._id = table.c.id
        self._mend = {
            key: update(table)
            .where(table.c.id == bindparam("of_row"), table.c[source] == bindparam("seen"))
            .values({key: bindparam("made")})
            for key, source in sources.items()
        }

    async def mend(self) -> int:
        """Make the keys anew that are not those of their texts; return how many it were."""
        mended, last, size = 0, 0, BATCH
        while size == BATCH:
            async with self._database.transaction() as db:
                connection = await db.connection()
                rows = (await connection.execute(self._rows.where(self._id > last).limit(BATCH))).all()
                for key, source in self._sources:
                    wrong = [
                        {"of_row": row.id, "seen": row._mapping[source], "made": made}  # noqa: SLF001 - its public name
                        for row in rows
                        if (made := sort_key(row._mapping[source])) != row._mapping[key]  # noqa: SLF001
                    ]
                    if wrong:
                        await connection.execute(self._mend[key.name], wrong)
                    mended += len(wrong)
            size = len(rows)
            last = rows[-1].id if rows else last
        return mended

    async def run(self) -> None:
        """Do what is to be done: a recurring job."""
        await self.mend()
