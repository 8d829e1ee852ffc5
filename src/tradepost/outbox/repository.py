"""The SQL of the operators' view of the outbox."""

from datetime import datetime
from operator import itemgetter
from typing import Final

from sqlalchemy import ColumnElement, delete, select, update

from tradepost.core.database.keyset import Order, Sorts
from tradepost.core.database.repository import Repository
from tradepost.core.messaging.outbox import MessageState, StoredMessage
from tradepost.core.wire.pagination import Page, Window
from tradepost.outbox.schemas import Selection

SORTS: Final[Sorts] = {
    "created_at": StoredMessage.created_at,
    "due_at": StoredMessage.due_at,
    "settled_at": StoredMessage.settled_at,
}


class StoredMessageRepository(Repository):
    """Stored messages as an operator sees, revives and deletes them."""

    async def page(self, selection: Selection, window: Window) -> Page[StoredMessage]:
        """Return a part of the selected messages."""
        selected = select(StoredMessage).where(*_conditions(selection))
        page = await self.paged(selected, window, Order(window.sort, SORTS, ties=StoredMessage.id))
        return page.mapped(itemgetter(0))

    async def get(self, message_id: int) -> StoredMessage | None:
        """Return a message."""
        found = select(StoredMessage).where(StoredMessage.id == message_id)
        return await self.db.scalar(found.execution_options(populate_existing=True))

    async def revive(
        self, selection: Selection, *, limit: int | None, now: datetime, expires_at: datetime
    ) -> list[str]:
        """Make the selected dead messages pending again, at most ``limit`` of them; return the channel of each."""
        dead = [StoredMessage.state == MessageState.DEAD, *_conditions(selection)]
        if limit is not None:
            # Said again outside: one that another request revives while this waits for its row is dead no more.
            first = select(StoredMessage.id).where(*dead).order_by(StoredMessage.id).limit(limit)
            dead = [StoredMessage.state == MessageState.DEAD, StoredMessage.id.in_(first)]
        revived = await self.db.execute(
            update(StoredMessage)
            .where(*dead)
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
        """Delete at most ``limit`` of the selected messages that are done or dead; return how many it were."""
        settled = (
            select(StoredMessage.id)
            .where(StoredMessage.state != MessageState.PENDING, *_conditions(selection))
            .limit(limit)
        )
        deleted = await self.db.execute(
            delete(StoredMessage)
            .where(StoredMessage.id.in_(settled))
            .returning(StoredMessage.id)
            .execution_options(synchronize_session=False)
        )
        return len(deleted.all())


def _conditions(selection: Selection) -> list[ColumnElement[bool]]:
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
