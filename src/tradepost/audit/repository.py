"""The SQL of the audit trail as it is read, and of its end after a year."""

from collections.abc import Sequence
from datetime import datetime
from operator import itemgetter
from typing import Final

from sqlalchemy import ColumnElement, delete, select, union

from tradepost.audit.schemas import Selection
from tradepost.core.audit.models import AuditLine
from tradepost.core.database.keyset import Order, Sorts
from tradepost.core.database.repository import Repository
from tradepost.core.wire.pagination import Page, Window

_SORTS: Final[Sorts] = {"at": AuditLine.at}
_NEWEST_FIRST: Final = Order("-at", _SORTS, ties=AuditLine.id)


class AuditLineRepository(Repository):
    """Lines of the audit trail."""

    async def page(self, selection: Selection, window: Window) -> Page[AuditLine]:
        """Return a part of the selected lines, newest first."""
        page = await self.paged(select(AuditLine).where(*_conditions(selection)), window, _NEWEST_FIRST)
        return page.mapped(itemgetter(0))

    async def page_of(self, user_id: int, selection: Selection, window: Window) -> Page[AuditLine]:
        """Return a part of the selected lines about what a person did, or that are about the person, newest first."""
        # Gathered by two indexes: an OR of the two would be checked on everybody's lines.
        theirs = union(
            select(AuditLine.id).where(AuditLine.actor_id == user_id),
            select(AuditLine.id).where(AuditLine.subject_id == user_id),
        )
        lines = select(AuditLine).where(AuditLine.id.in_(theirs), *_conditions(selection))
        page = await self.paged(lines, window, _NEWEST_FIRST)
        return page.mapped(itemgetter(0))

    async def find_after(
        self, selection: Selection, *, after: tuple[datetime, int] | None, limit: int
    ) -> Sequence[AuditLine]:
        """Return the selected lines that follow a place, oldest first."""
        order = Order("at", _SORTS, ties=AuditLine.id)
        lines = select(AuditLine).where(*_conditions(selection)).order_by(*order.by()).limit(limit)
        if after is None:
            return (await self.db.scalars(lines)).all()
        return (await self.db.scalars(lines.where(order.after()), order.parameters(after))).all()

    async def delete_before(self, moment: datetime, *, limit: int) -> int:
        """Delete at most ``limit`` of the lines from before a moment; return their number."""
        old = select(AuditLine.id).where(AuditLine.at < moment).order_by(AuditLine.at).limit(limit)
        deleted = delete(AuditLine).where(AuditLine.id.in_(old)).returning(AuditLine.id)
        return len((await self.db.scalars(deleted.execution_options(synchronize_session=False))).all())


def _conditions(selection: Selection) -> list[ColumnElement[bool]]:
    equal = (
        (AuditLine.actor_id, selection.actor_id),
        (AuditLine.action, selection.action),
        (AuditLine.target_type, selection.target_type),
        (AuditLine.target_id, selection.target_id),
    )
    conditions: list[ColumnElement[bool]] = [column == value for column, value in equal if value is not None]
    if selection.since is not None:
        conditions.append(AuditLine.at >= selection.since)
    if selection.until is not None:
        conditions.append(AuditLine.at < selection.until)
    return conditions
