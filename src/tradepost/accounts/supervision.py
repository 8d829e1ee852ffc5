"""What admins see, and end, of somebody else's access: log-ins, and API keys."""

from tradepost.accounts.errors import ApiKeyNotFound, SessionNotFound
from tradepost.accounts.models import ApiKey, LoginSession
from tradepost.accounts.reader import UserReader
from tradepost.accounts.repository.api_keys import ApiKeyRepository
from tradepost.accounts.repository.second_factors import SecondFactorRepository
from tradepost.accounts.repository.sessions import SessionRepository
from tradepost.accounts.second_factor_schemas import SecondFactorState
from tradepost.core.audit.trail import AuditTrail, Target
from tradepost.core.audit.trail import user as account
from tradepost.core.clock import Clock
from tradepost.core.database.engines import Database
from tradepost.core.principal import Principal
from tradepost.core.wire.pagination import Page, Window


class Supervision:
    """Lists and ends the access of a person, each in a short transaction of its own; ``UserNotFound`` if there is none.

    What is ended counts from the next request on, and leaves a line in the audit trail.
    """

    def __init__(self, database: Database, *, people: UserReader, audit: AuditTrail, clock: Clock) -> None:
        self._database = database
        self._people = people
        self._audit = audit
        self._clock = clock

    async def second_factor(self, user_id: int) -> SecondFactorState:
        """Tell whether the person has a second factor in force."""
        await self._people.get(user_id)
        async with self._database.read() as db:
            since, left = await SecondFactorRepository(db).get_state(user_id)
        return SecondFactorState(enabled=since is not None, enabled_at=since, recovery_codes_left=left)

    async def sessions(self, user_id: int, window: Window) -> Page[LoginSession]:
        """List the person's living sessions, newest first."""
        await self._people.get(user_id)
        async with self._database.read() as db:
            return await SessionRepository(db).page_of(user_id, window, now=self._clock.now())

    async def end_session(self, session_id: int, user_id: int, *, by: Principal) -> None:
        """End one of the person's sessions; ``SessionNotFound`` for anybody else's."""
        await self._people.get(user_id)
        async with self._database.transaction() as db:
            if not await SessionRepository(db).end(session_id, user_id=user_id):
                raise SessionNotFound
            await self._audit.add(db, "session.revoked", by=by, on=Target("session", session_id, user_id))

    async def end_sessions(self, user_id: int, *, by: Principal) -> None:
        """End every session of the person."""
        await self._people.get(user_id)
        async with self._database.transaction() as db:
            await SessionRepository(db).end_all_of(user_id)
            await self._audit.add(db, "session.all_revoked", by=by, on=account(user_id))

    async def keys(self, user_id: int, window: Window) -> Page[ApiKey]:
        """List the person's API keys, newest first."""
        await self._people.get(user_id)
        async with self._database.read() as db:
            return await ApiKeyRepository(db).page_of(user_id, window)

    async def delete_key(self, key_id: int, user_id: int, *, by: Principal) -> None:
        """Revoke one of the person's API keys; ``ApiKeyNotFound`` for anybody else's."""
        await self._people.get(user_id)
        async with self._database.transaction() as db:
            if not await ApiKeyRepository(db).delete(key_id, user_id):
                raise ApiKeyNotFound
            await self._audit.add(db, "api_key.deleted", by=by, on=Target("api_key", key_id, user_id))
