"""The operators' view of the outbox: pending and dead messages with their errors, retried or deleted on request."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import Final

from tradepost.core.audit.trail import SYSTEM, Asker, AuditTrail, Target
from tradepost.core.clock import Clock
from tradepost.core.database.sessions import WriteSession
from tradepost.core.messaging.outbox import MessageState
from tradepost.core.wire.pagination import Page, Window
from tradepost.outbox.errors import MessageNotDead, MessageNotFound
from tradepost.outbox.repository import StoredMessageRepository
from tradepost.outbox.schemas import MessageRead, Selection

REVIVED_FOR: Final = timedelta(days=3)
"""How long a revived message is retried before it is dead again."""


class OutboxService:
    """Works in the caller's session. ``wake`` signals channels with due messages to the dispatchers."""

    def __init__(
        self,
        messages: StoredMessageRepository,
        audit: AuditTrail,
        clock: Clock,
        wake: Callable[[Sequence[str]], None],
    ) -> None:
        self._messages = messages
        self._audit = audit
        self._clock = clock
        self._wake = wake

    async def page(self, selection: Selection, window: Window) -> Page[MessageRead]:
        """List messages."""
        page = await self._messages.page(selection, window)
        return page.mapped(MessageRead.model_validate)

    async def get(self, message_id: int) -> MessageRead:
        """Return a message, or raise ``MessageNotFound``."""
        message = await self._messages.get(message_id)
        if message is None:
            raise MessageNotFound
        return MessageRead.model_validate(message)

    async def retry(self, message_id: int, *, by: Asker = SYSTEM) -> MessageRead:
        """Revive a dead message; ``MessageNotDead`` when it is not dead."""
        if not await self.retry_all(Selection(ids=[message_id]), by=by):
            await self.get(message_id)
            raise MessageNotDead
        return await self.get(message_id)

    async def retry_all(self, selection: Selection, *, limit: int | None = None, by: Asker = SYSTEM) -> int:
        """Revive every selected message that is dead, or the oldest ``limit`` of them; return their number."""
        now = self._clock.now()
        channels = await self._messages.revive(selection, limit=limit, now=now, expires_at=now + REVIVED_FOR)
        if channels and isinstance(self._messages.db, WriteSession):
            self._messages.db.after_commit(lambda: self._wake(sorted(set(channels))))
        await self._note("messages.retried", len(channels), selection, by)
        return len(channels)

    async def delete(self, message_id: int, *, by: Asker = SYSTEM) -> None:
        """Delete a dead message; ``MessageNotDead`` when it is not dead."""
        dead = Selection(state=MessageState.DEAD, ids=[message_id])
        if not await self.purge(dead, limit=1, by=by):
            await self.get(message_id)
            raise MessageNotDead

    async def purge(self, selection: Selection, *, limit: int, by: Asker = SYSTEM) -> int:
        """Delete at most ``limit`` of the selected messages that are done or dead; return how many it were."""
        number = await self._messages.delete_settled(selection, limit=limit)
        await self._note("messages.purged", number, selection, by)
        return number

    async def _note(self, action: str, number: int, selection: Selection, by: Asker) -> None:
        if number and isinstance(self._messages.db, WriteSession):
            told = {name: value for name, value in asdict(selection).items() if value}
            on = Target("message", selection.ids[0] if len(selection.ids) == 1 else None, None)
            await self._audit.add(self._messages.db, action, by=by, on=on, details={**told, "number": number})
