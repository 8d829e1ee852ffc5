"""Every statement about stored messages."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import (
    case,
    delete,
    func,
    literal,
    literal_column,
    select,
    union_all,
    update,
)

from tradepost.core.database.elements import AmongIds, AmongSelected
from tradepost.core.database.locks import lock_for_update, try_lock_advisory
from tradepost.core.database.repository import Repository
from tradepost.core.messaging.messages import REACTIONS
from tradepost.core.messaging.outbox import MessageState, StoredMessage
from tradepost.core.messaging.outcomes import Claimed, Outcome, Settlement
from tradepost.core.messaging.retry_policy import TAKEN_OVER

# Literals in the statement, not parameters: only then the database's planner can use the partial indexes.
_PENDING: Final = StoredMessage.state == literal_column("'pending'")
_REACTS: Final = StoredMessage.channel == literal_column(f"'{REACTIONS.name}'")
_UNTRACKED: Final = {"synchronize_session": False}


class MessageRepository(Repository):
    """Stored messages, as the dispatcher claims, settles and prunes them."""

    async def claim(
        self, channel: str, *, now: datetime, limit: int, lease: str, until: datetime
    ) -> list[Claimed]:
        """Claim at most ``limit`` due messages of a channel under ``lease``, which ends at ``until``.

        One statement on either engine. Rows that another process is claiming are skipped, never waited for.
        """
        some = (
            select(StoredMessage.id)
            .where(_PENDING, StoredMessage.channel == channel, StoredMessage.due_at <= now)
            .order_by(StoredMessage.due_at, StoredMessage.id)
            .limit(limit)
        )
        due = lock_for_update(some, StoredMessage, skip_locked=True).cte("due")
        taken = await self.db.execute(
            update(StoredMessage)
            .where(AmongSelected(StoredMessage.id, select(due.c.id)))
            .values(
                lease=lease,
                due_at=until,
                attempts=StoredMessage.attempts + 1,
                error=case((StoredMessage.lease.is_not(None), TAKEN_OVER), else_=StoredMessage.error),
            )
            .returning(*_CLAIMED, StoredMessage.error)
            .execution_options(**_UNTRACKED)
        )
        claimed = []
        for *values, error in taken:
            message = dict(zip(_NAMES, values, strict=True))
            claimed.append(Claimed(**message, lease=lease, taken_over=error == TAKEN_OVER))
        return sorted(claimed, key=lambda message: message.id)

    async def settle(self, settlements: Sequence[Settlement]) -> set[int]:
        """Settle claimed messages, each guarded by its lease; return the ids of those whose lease still held."""
        found: set[int] = set()
        done: dict[tuple[str | None, datetime], list[int]] = defaultdict(list)
        for settlement in settlements:
            if settlement.outcome is Outcome.DONE:
                done[settlement.message.lease, settlement.at].append(settlement.message.id)
            elif await self._settle_one(settlement):
                found.add(settlement.message.id)
        leases: dict[str | None, list[int]] = defaultdict(list)
        for (lease, _), ids in done.items():
            leases[lease] += ids
        at = max((moment for _, moment in done), default=None)
        for lease, ids in leases.items():
            settled = await self.db.execute(
                update(StoredMessage)
                .where(AmongIds(StoredMessage.id), StoredMessage.lease == lease)
                .values(state=MessageState.DONE, lease=None, error=None, settled_at=at, due_at=at)
                .returning(StoredMessage.id)
                .execution_options(**_UNTRACKED),
                {"ids": ids},
            )
            found.update(settled.scalars())
        return found

    async def _settle_one(self, settlement: Settlement) -> bool:
        message = settlement.message
        changed = await self.db.execute(
            update(StoredMessage)
            .where(StoredMessage.id == message.id, StoredMessage.lease == message.lease)
            .values(
                state=settlement.state,
                lease=None,
                due_at=settlement.due_at,
                attempts=StoredMessage.attempts - int(settlement.outcome is Outcome.RETURNED),
                settled_at=None if settlement.state is MessageState.PENDING else settlement.at,
                error=StoredMessage.error if settlement.outcome is Outcome.RETURNED else settlement.error,
            )
            .returning(StoredMessage.id)
            .execution_options(**_UNTRACKED)
        )
        return changed.first() is not None

    async def try_lock_reactions(self) -> bool:
        """Take the advisory lock of reactions until the transaction ends; False when another process holds it."""
        return await try_lock_advisory(self.db, "reactions")

    async def lock_due_reactions_for_update(self, *, now: datetime, limit: int) -> list[Claimed]:
        """Return the oldest due messages of reactions, locked FOR UPDATE until the transaction ends."""
        oldest = (
            select(*_CLAIMED)
            .where(_PENDING, _REACTS, StoredMessage.due_at <= now)
            .order_by(StoredMessage.id)
            .limit(limit)
        )
        rows = await self.db.execute(lock_for_update(oldest, StoredMessage, skip_locked=True))
        return [_of_reaction(row) for row in rows]

    async def lock_due_reaction_for_update(self, message_id: int, *, now: datetime) -> Claimed | None:
        """Return one due message of a reaction, locked FOR UPDATE, unless it has been settled or is locked."""
        due = select(*_CLAIMED).where(StoredMessage.id == message_id, _PENDING, StoredMessage.due_at <= now)
        row = (await self.db.execute(lock_for_update(due, StoredMessage, skip_locked=True))).first()
        return None if row is None else _of_reaction(row)

    async def reacted(self, ids: Sequence[int], *, now: datetime) -> None:
        """Settle reactions as done, in the transaction that ran them."""
        await self.db.execute(
            update(StoredMessage)
            .where(AmongIds(StoredMessage.id))
            .values(
                state=MessageState.DONE,
                attempts=StoredMessage.attempts + 1,
                error=None,
                settled_at=now,
                due_at=now,
            )
            .execution_options(**_UNTRACKED),
            {"ids": ids},
        )

    async def not_reacted(self, settlement: Settlement) -> None:
        """Settle a reaction that failed, unless another process has tried it meanwhile."""
        message = settlement.message
        await self.db.execute(
            update(StoredMessage)
            .where(
                StoredMessage.id == message.id,
                _PENDING,
                StoredMessage.attempts == message.attempts - 1,
                StoredMessage.lease.is_(None),
            )
            .values(
                state=settlement.state,
                due_at=settlement.due_at,
                attempts=message.attempts,
                settled_at=None if settlement.state is MessageState.PENDING else settlement.at,
                error=settlement.error,
            )
            .execution_options(**_UNTRACKED)
        )

    async def next_due(self, channels: Iterable[str]) -> dict[str, datetime]:
        """Return for each channel, one at least, when its first message is due, or when the first lease on one ends."""
        # One look into the index for each channel; GROUP BY would read every pending row.
        firsts = [
            select(
                literal(name).label("channel"),
                select(func.min(StoredMessage.due_at))
                .where(_PENDING, StoredMessage.channel == name)
                .scalar_subquery()
                .label("due_at"),
            )
            for name in channels
        ]
        rows = await self.db.execute(union_all(*firsts))
        return {row.channel: row.due_at for row in rows if row.due_at is not None}

    async def counts(self) -> dict[tuple[str, MessageState], int]:
        """Count pending and dead messages by channel."""
        rows = await self.db.execute(
            select(StoredMessage.channel, StoredMessage.state, func.count())
            .where(StoredMessage.state.in_([MessageState.PENDING, MessageState.DEAD]))
            .group_by(StoredMessage.channel, StoredMessage.state)
        )
        return {(channel, state): number for channel, state, number in rows}

    async def prune(self, state: MessageState, *, before: datetime, limit: int) -> int:
        """Delete at most ``limit`` messages that have been in ``state`` since before that; return how many it were."""
        some = (
            select(StoredMessage.id)
            .where(StoredMessage.state == state, StoredMessage.settled_at < before)
            .order_by(StoredMessage.settled_at)
            .limit(limit)
        )
        old = lock_for_update(some, StoredMessage, skip_locked=True).cte("old")
        deleted = await self.db.execute(
            delete(StoredMessage)
            .where(AmongSelected(StoredMessage.id, select(old.c.id)))
            .returning(StoredMessage.id)
            .execution_options(**_UNTRACKED)
        )
        return len(deleted.all())

    async def readdress(self, channels: Mapping[str, str]) -> None:
        """Move pending messages to the channels that their subscriptions have now, unless they are under a lease."""
        if not channels:
            return
        channel = case(dict(channels), value=StoredMessage.subscription)
        await self.db.execute(
            update(StoredMessage)
            .where(
                _PENDING,
                StoredMessage.subscription.in_(list(channels)),
                StoredMessage.channel != channel,
                StoredMessage.lease.is_(None),
            )
            .values(channel=channel)
            .execution_options(**_UNTRACKED)
        )

    async def bury_unknown_channels(
        self, channels: Iterable[str], *, now: datetime, longer: timedelta
    ) -> int:
        """Mark as dead the messages of other channels than these, ``longer`` after they expired; return their number."""
        buried = await self.db.execute(
            update(StoredMessage)
            .where(
                _PENDING,
                StoredMessage.channel.not_in(list(channels)),
                StoredMessage.expires_at < now - longer,
            )
            .values(
                state=MessageState.DEAD,
                lease=None,
                settled_at=now,
                error="no version that ran meanwhile has this channel",
            )
            .returning(StoredMessage.id)
            .execution_options(**_UNTRACKED)
        )
        return len(buried.all())


_CLAIMED: Final = (
    StoredMessage.id,
    StoredMessage.type,
    StoredMessage.subscription,
    StoredMessage.channel,
    StoredMessage.payload,
    StoredMessage.created_at,
    StoredMessage.expires_at,
    StoredMessage.attempts,
    StoredMessage.traceparent,
)
"""The columns of ``Claimed``, in its order."""


_NAMES: Final = tuple(column.key for column in _CLAIMED)


def _of_reaction(row: Any) -> Claimed:
    message = dict(zip(_NAMES, row, strict=True))
    return Claimed(**message | {"attempts": message["attempts"] + 1})
