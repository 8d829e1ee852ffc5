"""Every statement of those who look after the messages."""

from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, delete, select, update
from sqlalchemy.orm import InstrumentedAttribute

from tradepost.core.database.repository import Repository
from tradepost.core.messaging.outbox import MessageState, StoredMessage
from tradepost.core.wire.pagination import Page, Window
from tradepost.outbox.schemas import Selection

SORTS: Final[dict[str, InstrumentedAttribute[Any]]] = {
    "created_at": StoredMessage.created_at,
    "due_at": StoredMessage.due_at,
    "settled_at": StoredMessage.settled_at,
}


class StoredMessageRepository(Repository):
    """Messages, as an operator sees them."""

    async def page(self, selection: Selection, window: Window) -> Page[StoredMessage]:
        """Return a part of the messages that are meant."""
        meant = select(StoredMessage).where(*_meant(selection))
        order = self.ordering(window.sort, SORTS, ties=StoredMessage.id)
        rows = meant.order_by(*order).limit(window.limit).offset(window.skip)
        return Page((await self.db.scalars(rows)).all(), await self.count(meant, window.total), window)

    async def get(self, message_id: int) -> StoredMessage | None:
        """Return a message."""
        found = select(StoredMessage).where(StoredMessage.id == message_id)
        return await self.db.scalar(found.execution_options(populate_existing=True))

    async def revive(self, selection: Selection, *, now: datetime, expires_at: datetime) -> list[str]:
        """Have dead messages that are meant delivered after all; return the channel of each."""
        revived = await self.db.execute(
            update(StoredMessage)
            .where(StoredMessage.state == MessageState.DEAD, *_meant(selection))
            .values(
                state=MessageState.PENDING,
                attempts=0,
                due_at=now,
                expires_at=expires_at,
                lease=None,
                settled_at=None,
            )
            .returning(StoredMessage.channel)
            .execution_options(synchronize_session=False)
        )
        return list(revived.scalars())

    async def delete_settled(self, selection: Selection, *, limit: int) -> int:
        """Delete, of the messages that are meant, at most ``limit`` that wait no longer; return how many it were."""
        meant = (
            select(StoredMessage.id)
            .where(StoredMessage.state != MessageState.PENDING, *_meant(selection))
            .limit(limit)
        )
        deleted = await self.db.execute(
            delete(StoredMessage)
            .where(StoredMessage.id.in_(meant))
            .returning(StoredMessage.id)
            .execution_options(synchronize_session=False)
        )
        return len(deleted.all())


def _meant(selection: Selection) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if selection.state is not None:
        conditions.append(StoredMessage.state == selection.state)
    if selection.channel is not None:
        conditions.append(StoredMessage.channel == selection.channel)
    if selection.type is not None:
        conditions.append(StoredMessage.type == selection.type)
    if selection.ids:
        conditions.append(StoredMessage.id.in_(selection.ids))
    return conditions
