"""Reads that a standby may answer where the asker can have written nothing, and else, or when it fails, the primary."""

from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from typing import Generic, TypeVar

from sqlalchemy.exc import SQLAlchemyError

from tradepost.core.batching.read_coalescer import ReadCoalescer
from tradepost.core.database.engines import Database
from tradepost.core.database.replica import Replica
from tradepost.core.database.sessions import ReadSession
from tradepost.core.errors import DatabaseUnavailable
from tradepost.core.observability.tallies import REPLICA_READS

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class ReplicatedReads(Generic[K, V]):
    """Two coalescers of the same read, one on each database; without a replica, one."""

    def __init__(
        self,
        database: Database,
        replica: Replica | None,
        load: Callable[[ReadSession, Sequence[K]], Awaitable[Mapping[K, V]]],
        *,
        lanes: int,
        max_batch: int,
    ) -> None:
        self._primary: ReadCoalescer[K, V] = ReadCoalescer(database, load, lanes=lanes, max_batch=max_batch)
        self._replica = replica
        self._standby: ReadCoalescer[K, V] | None = None
        if replica is not None:
            self._standby = ReadCoalescer(replica.database, load, lanes=lanes, max_batch=max_batch)

    async def get(self, key: K, *, may_be_old: bool) -> V:
        """Return the answer to ``key``; one that ``may_be_old`` is as it was some seconds ago, at most."""
        replica, standby = self._replica, self._standby
        if may_be_old and standby is not None and replica is not None and replica.is_good:
            try:
                found = await standby.get(key)
            except (DatabaseUnavailable, SQLAlchemyError) as error:
                if not replica.failed(error):
                    raise
                REPLICA_READS.add("failed")
            else:
                REPLICA_READS.add("answered")
                return found
        return await self._primary.get(key)
