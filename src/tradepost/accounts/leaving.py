"""Ending one's own account: by password, and by a code where there is a second factor."""

from collections.abc import Callable
from functools import partial

from tradepost.accounts.errors import CodeNeeded, IncorrectCode, IncorrectPassword, SecondFactorNotFound
from tradepost.accounts.passwords import PasswordHasher
from tradepost.accounts.repository.users import UserRepository
from tradepost.accounts.second_factor import Proof, SecondFactorService
from tradepost.accounts.service import UserService
from tradepost.core.audit.trail import AuditTrail
from tradepost.core.audit.trail import user as account
from tradepost.core.database.engines import Database
from tradepost.core.database.sessions import WriteSession
from tradepost.core.errors import Unauthenticated
from tradepost.core.principal import Principal
from tradepost.core.wire.representations import ANY_VERSION, Expected


class LeavingService:
    """Judges password and code with no transaction open, and ends the account in one."""

    def __init__(
        self,
        *,
        database: Database,
        people: Callable[[WriteSession], UserService],
        hasher: PasswordHasher,
        second_factor: SecondFactorService,
        audit: AuditTrail,
    ) -> None:
        self._database = database
        self._people = people
        self._hasher = hasher
        self._second_factor = second_factor
        self._audit = audit

    async def leave(
        self, password: str, code: str, principal: Principal, expected: Expected = ANY_VERSION
    ) -> None:
        """Delete the account of whoever asks, as staff would; never that of the last admin."""
        user_id = principal.user_id
        async with self._database.read() as db:
            user = await UserRepository(db).get(user_id)
        if user is None:
            raise Unauthenticated
        seen = user.hashed_password
        if not await self._hasher.verify(seen, password):
            await self._audit.refused(
                self._database,
                "user.delete_failed",
                by=principal,
                on=account(user_id),
                account=str(user_id),
            )
            raise IncorrectPassword
        proof = await self._proof(user_id, code, principal) if code else None
        async with self._database.transaction() as db:
            settle = partial(self._settle, db, proof, principal)
            await self._people(db).end_own(principal, expected, seen=seen, settle=settle)

    async def _settle(self, db: WriteSession, proof: Proof | None, principal: Principal) -> None:
        if proof is None and await self._second_factor.is_active(db, principal.user_id):
            raise CodeNeeded
        if not await self._second_factor.settle(db, proof, by=principal):
            raise IncorrectCode

    async def _proof(self, user_id: int, code: str, principal: Principal) -> Proof | None:
        try:
            return await self._second_factor.prove(user_id, code, by=principal)
        except SecondFactorNotFound:
            return None
