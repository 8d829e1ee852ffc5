"""Group commit for people who join: those who come while a transaction is under way share the next one."""

from collections.abc import Callable, Sequence

from tradepost.core.batching.coalescer import Observe
from tradepost.core.batching.group_writer import GroupWriter
from tradepost.core.database.engines import Database
from tradepost.core.database.sessions import WriteSession
from tradepost.core.errors import TradepostError
from tradepost.core.principal import Principal
from tradepost.events.seats import Joined, Joining, SeatService


class JoinIntake:
    """Hands ``SeatService.join_many`` the people of many requests, in one transaction. Lives as long as the process.

    When seats are given out, all want the same row: one transaction for each would have them wait for as many commits.
    """

    def __init__(
        self,
        database: Database,
        *,
        seats: Callable[[WriteSession], SeatService],
        observe: Observe | None = None,
    ) -> None:
        self._database = database
        self._seats = seats
        self._writer: GroupWriter[Joining, Joined] = GroupWriter(self._join, observe=observe)

    async def join(self, event_id: int, principal: Principal) -> Joined:
        """Join a person to an event; returns where they stand once it is committed."""
        return await self._writer.submit(Joining(event_id, principal.user_id))

    async def _join(self, wanted: Sequence[Joining]) -> list[Joined | TradepostError]:
        async with self._database.transaction() as db:
            return await self._seats(db).join_many(wanted)
