"""Identities: the user behind each session, read anew for each request, in batches that many requests share."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from tradepost.accounts.permissions import PERMISSIONS
from tradepost.accounts.reader import profile_json
from tradepost.accounts.repository.sessions import IdentityRow, SessionRepository
from tradepost.core.batching.coalescer import Observe, ReadCoalescer
from tradepost.core.database.engines import Database
from tradepost.core.database.sessions import ReadSession
from tradepost.core.principal import Principal


@dataclass(frozen=True, slots=True)
class Identity:
    """A session and its user as the database has them now."""

    row: IdentityRow

    @property
    def session_end(self) -> datetime:
        """When the session ends at the latest."""
        return self.row.session_end  # type: ignore[no-any-return]

    @property
    def principal(self) -> Principal:
        """The principal that domains are handed, with the permissions of the moment."""
        return Principal(self.row.id, PERMISSIONS[self.row.role], self.row.session_id)

    def profile(self) -> bytes:
        """Return the user as the user sees it: the JSON of ``UserRead``."""
        return profile_json(self.row)


class Identities:
    """A coalescer of identities. Nothing is cached, so a revoked session is refused from the next request on."""

    def __init__(self, database: Database, *, observe: Observe | None = None) -> None:
        self._database = database
        self._reads = ReadCoalescer(database, self._load, observe=observe)

    async def find(self, *, session_id: int, user_id: int, now: datetime) -> Identity | None:
        """Return the living session of this active user."""
        found = await self._reads.find(session_id)
        if found is None or found.row.id != user_id or not found.row.is_active or found.session_end <= now:
            return None
        return found

    async def find_living(self, session_ids: Collection[int], *, now: datetime) -> Collection[int]:
        """Return which of these sessions have not ended, for answers that go on for longer than a request."""
        async with self._database.read() as db:
            return await SessionRepository(db).find_living(session_ids, now=now)

    async def _load(self, db: ReadSession, session_ids: Sequence[int]) -> Mapping[int, Identity]:
        rows = await SessionRepository(db).find_identities(session_ids)
        return {row.session_id: Identity(row) for row in rows}
