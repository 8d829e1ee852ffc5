"""The SQL of faults on purpose."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Final

from sqlalchemy import ColumnElement, delete, func, insert, select

from tradepost.core.database.elements import upsert
from tradepost.core.database.keyset import Order, Sorts
from tradepost.core.database.locks import lock_tables
from tradepost.core.database.repository import Repository
from tradepost.core.wire.pagination import Page, Window
from tradepost.injection.models import NamedFault, StruckFault

_SORTS: Final[Sorts] = {"id": StruckFault.id}
_NEWEST_FIRST: Final = Order("-id", _SORTS, ties=StruckFault.id)


@dataclass(frozen=True, slots=True)
class Selection:
    """The lines of the log that match every given field."""

    kind: str | None = None
    name: str | None = None
    request_id: str | None = None
    after_id: int | None = None


class FaultRepository(Repository):
    """Named faults, and the log."""

    async def find_all(self) -> Sequence[NamedFault]:
        """Return all named faults by their names."""
        return (await self.db.scalars(select(NamedFault).order_by(NamedFault.name))).all()

    async def lock_all(self) -> None:
        """Let nobody else name a fault until the transaction ends: two that are counted at once would both find room."""
        await lock_tables(self.db, "named faults", NamedFault.__table__)

    async def count_others(self, name: str) -> int:
        """Return how many faults have another name."""
        others = select(func.count()).select_from(NamedFault).where(NamedFault.name != name)
        return int(await self.db.scalar(others) or 0)

    async def put(self, values: Mapping[str, Any]) -> NamedFault:
        """Keep a named fault, all columns of it, in the place of the one that had its name."""
        adding = upsert(NamedFault).values(**values)
        put = adding.on_conflict_do_update(index_elements=["name"], set_=dict(values)).returning(NamedFault)
        return (await self.db.scalars(put, execution_options={"populate_existing": True})).one()

    async def delete(self, name: str | None) -> Sequence[str]:
        """Delete the fault of a name, or all; return the names."""
        removed = delete(NamedFault).returning(NamedFault.name).execution_options(synchronize_session=False)
        return (
            await self.db.scalars(removed if name is None else removed.where(NamedFault.name == name))
        ).all()

    async def note(self, lines: Sequence[Mapping[str, Any]]) -> None:
        """Add lines to the log."""
        await self.db.execute(insert(StruckFault), lines)

    async def page(self, selection: Selection, window: Window) -> Page[StruckFault]:
        """Return a part of the selected lines, newest first."""
        page = await self.paged(select(StruckFault).where(*_conditions(selection)), window, _NEWEST_FIRST)
        return page.mapped(itemgetter(0))

    async def delete_older(self, *, kept: int, limit: int) -> int:
        """Delete at most ``limit`` of the lines before the newest ``kept``; return their number."""
        newest = await self.db.scalar(select(func.max(StruckFault.id)))
        old = select(StruckFault.id).where(StruckFault.id <= (newest or 0) - kept).limit(limit)
        gone = delete(StruckFault).where(StruckFault.id.in_(old)).returning(StruckFault.id)
        return len((await self.db.scalars(gone.execution_options(synchronize_session=False))).all())


def _conditions(selection: Selection) -> list[ColumnElement[bool]]:
    equal = (
        (StruckFault.kind, selection.kind),
        (StruckFault.name, selection.name),
        (StruckFault.request_id, selection.request_id),
    )
    conditions: list[ColumnElement[bool]] = [column == value for column, value in equal if value is not None]
    if selection.after_id is not None:
        conditions.append(StruckFault.id > selection.after_id)
    return conditions
