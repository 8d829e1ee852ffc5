"""Group commit for people who join and leave: those who come while a transaction is under way share the next one."""

from collections.abc import Callable, Sequence
from typing import Final

from tradepost.core.batching.coalescer import Observe
from tradepost.core.batching.group_writer import GroupWriter
from tradepost.core.database.engines import Database
from tradepost.core.database.sessions import WriteSession
from tradepost.core.errors import TradepostError
from tradepost.core.idempotency.claim import CLAIM, KeepsKeys, Kept
from tradepost.core.idempotency.groups import Keeping, Keyed, each_once
from tradepost.core.idempotency.keys import IdempotencyKeys
from tradepost.core.principal import Principal
from tradepost.events.seats import Joined, Joining, Leaving, SeatService

KEEPING: Final[Keeping[Joined]] = Keeping(
    keep=lambda joined: Kept(201 if joined.is_new else 200, joined.body),
    read=lambda kept: Joined(kept.answer, is_new=kept.status == 201),  # noqa: PLR2004 - as above
)


class JoinIntake(KeepsKeys):
    """Hands ``SeatService.join_many`` the people of many requests, in one transaction. Lives as long as the process.

    When seats are given out, all want the same row: one transaction for each would have them wait for as many commits.
    """

    def __init__(
        self,
        database: Database,
        keys: IdempotencyKeys,
        *,
        seats: Callable[[WriteSession], SeatService],
        observe: Observe | None = None,
    ) -> None:
        self._database = database
        self._keys = keys
        self._seats = seats
        self._writer: GroupWriter[Keyed[Joining], Joined] = GroupWriter(self._join, observe=observe)

    async def join(self, event_id: int, principal: Principal) -> Joined:
        """Join a person to an event; returns where they stand once it is committed."""
        return await self._writer.submit(Keyed(Joining(event_id, principal.user_id), CLAIM.get()))

    async def _join(self, wanted: Sequence[Keyed[Joining]]) -> list[Joined | TradepostError]:
        async with self._database.transaction() as db:
            return await each_once(self._keys, db, wanted, self._seats(db).join_many, KEEPING)


class LeaveIntake:
    """Hands ``SeatService.leave_many`` the people of many requests likewise."""

    def __init__(
        self,
        database: Database,
        *,
        seats: Callable[[WriteSession], SeatService],
        observe: Observe | None = None,
    ) -> None:
        self._database = database
        self._seats = seats
        self._writer: GroupWriter[Leaving, None] = GroupWriter(self._leave, observe=observe)

    async def leave(self, event_id: int, principal: Principal) -> None:
        """Take a person out of an event; returns once it is committed."""
        await self._writer.submit(Leaving(event_id, principal.user_id))

    async def _leave(self, wanted: Sequence[Leaving]) -> list[TradepostError | None]:
        async with self._database.transaction() as db:
            return await self._seats(db).leave_many(wanted)
