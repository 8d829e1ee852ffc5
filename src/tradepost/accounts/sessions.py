"""Logging in, staying in, and out."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from tradepost.accounts.addresses import normalised_email
from tradepost.accounts.errors import (
    InactiveUser,
    IncorrectCode,
    LoginFailed,
    SecondFactorNotFound,
    SecondFactorRefused,
    SecondFactorRequired,
    SessionNotFound,
)
from tradepost.accounts.identities import Identities, Identity
from tradepost.accounts.models import LoginSession, User
from tradepost.accounts.passwords import PasswordHasher
from tradepost.accounts.repository.credentials import CredentialRepository
from tradepost.accounts.repository.sessions import SessionRepository
from tradepost.accounts.second_factor import Proof, SecondFactorService
from tradepost.accounts.session_schemas import RenewedTokens, TokenPair
from tradepost.accounts.tokens import Tokens
from tradepost.core.audit.trail import SYSTEM, Actor, AuditTrail, Target, person, user
from tradepost.core.clock import Clock
from tradepost.core.database.engines import Database
from tradepost.core.database.sessions import WriteSession
from tradepost.core.errors import KeyNotAllowed, Unauthenticated
from tradepost.core.principal import Origin, Principal
from tradepost.core.wire.pagination import Page, Window

REFRESH_GRACE: Final = timedelta(seconds=10)
"""How long the refresh token before the current one is still taken for an honest parallel refresh, by the database's clock:
those of two replicas may be minutes apart."""
SESSIONS_KEPT: Final = 100
"""How many sessions a person may have; one log-in more ends the oldest."""


class SessionService:
    """Opens short transactions of its own: a hash must not hold one open, and the end of a session must outlive a 401."""

    def __init__(
        self,
        *,
        database: Database,
        identities: Identities,
        hasher: PasswordHasher,
        second_factor: SecondFactorService,
        tokens: Tokens,
        audit: AuditTrail,
        clock: Clock,
        lifetime: timedelta,
    ) -> None:
        self._database = database
        self._identities = identities
        self._hasher = hasher
        self._second_factor = second_factor
        self._tokens = tokens
        self._audit = audit
        self._clock = clock
        self._lifetime = lifetime

    async def login(self, email: str, password: str, origin: Origin, *, otp: str = "") -> TokenPair:
        """Open a session. ``LoginFailed`` in the same time and words for an unknown address and a wrong password.

        After a right one, ``SecondFactorRequired`` and ``SecondFactorRefused`` of accounts that have a second factor.
        """
        try:
            address = normalised_email(email)
        except ValueError:
            address = ""
        # What was read before the hash may have changed since, as when another log-in renewed the hash of the same
        # password, or used the same code: a log-in that was overtaken once reads and verifies anew.
        opened = await self._open(address, password, origin, otp) or await self._open(
            address, password, origin, otp
        )
        if opened is None:
            raise LoginFailed
        return self._pair(opened)

    async def open_for(self, user_ids: Sequence[int]) -> list[str]:
        """Open a session for each of these people, past their passwords, and return the access tokens: for load tests."""
        now, made = self._clock.now(), []
        async with self._database.transaction() as db:
            sessions = SessionRepository(db)
            for user_id in user_ids:
                await sessions.make_room_for(user_id, keep=SESSIONS_KEPT - 1, now=now)
                opened = await sessions.add(
                    LoginSession(
                        user_id=user_id,
                        counter=0,
                        created_at=now,
                        rotated_at=now,
                        expires_at=now + self._lifetime,
                        user_agent="tradepost tokens",
                    )
                )
                await self._audit.add(db, "auth.login", by=SYSTEM, on=Target("session", opened.id, user_id))
                made.append((user_id, opened.id))
        end = now + self._lifetime
        return [self._tokens.access(user_id=user, session_id=one, session_end=end)[0] for user, one in made]

    async def _open(self, address: str, password: str, origin: Origin, otp: str) -> LoginSession | None:
        """Open a session; None if the user was changed while the password was verified."""
        async with self._database.read() as db:
            found = await CredentialRepository(db).find_by_email(address)
        seen = found.hashed_password if found else None
        if not await self._hasher.verify(seen, password) or found is None or seen is None:
            # With the same statement for an unknown address: what takes longer would tell which are known.
            await self._note_failure(found, "password" if found else "address", address, origin)
            raise LoginFailed
        if not found.is_active:
            await self._note_failure(found, "inactive", address, origin)
            raise InactiveUser
        by = person(found.id, origin)
        proof = await self._proof(found.id, otp, by) if otp else None
        newer = await self._hasher.hash(password) if self._hasher.is_outdated(seen) else None
        now = self._clock.now()
        async with self._database.transaction() as db:
            credentials, sessions = CredentialRepository(db), SessionRepository(db)
            if not await credentials.lock_password_no_key_update(found.id, seen=seen):
                return None
            if proof is None and await self._second_factor.is_active(db, found.id):
                raise SecondFactorRequired
            if not await self._second_factor.settle(db, proof, by=by):
                return None
            if newer is not None:
                await credentials.rehash(found.id, seen=seen, hashed=newer)
            await sessions.make_room_for(found.id, keep=SESSIONS_KEPT - 1, now=now)
            opened = await sessions.add(
                LoginSession(
                    user_id=found.id,
                    counter=0,
                    created_at=now,
                    rotated_at=now,
                    expires_at=now + self._lifetime,
                    user_agent=origin.user_agent or None,
                    ip_address=origin.ip,
                )
            )
            await self._audit.add(db, "auth.login", by=by, on=Target("session", opened.id, found.id))
        return opened

    async def _proof(self, user_id: int, otp: str, by: Actor) -> Proof | None:
        """Return what a code proves; None of an account without a second factor, which a code does no harm."""
        try:
            return await self._second_factor.prove(user_id, otp, by=by)
        except SecondFactorNotFound:
            return None
        except IncorrectCode:
            raise SecondFactorRefused from None

    async def _note_failure(self, found: User | None, reason: str, address: str, origin: Origin) -> None:
        # The address is in no line: people type passwords into the wrong field.
        await self._audit.refused(
            self._database,
            "auth.login_failed",
            by=person(None, origin),
            on=user(None if found is None else found.id),
            account=address,
            details={"reason": reason},
        )

    async def identify(self, token: str) -> Identity:
        """Return the session and user of an access token, as the database has them now."""
        now = self._clock.now()
        claims = self._tokens.read_access(token, now)
        identity = await self._identities.find(session_id=claims.session_id, user_id=claims.user_id, now=now)
        if identity is None:
            raise Unauthenticated
        return identity

    async def refresh(self, refresh_token: str, origin: Origin) -> TokenPair:
        """Exchange a refresh token for the next pair.

        The token before the current one gets the current one again for a while, so that parallel refreshes of an honest
        client all succeed. An older one was copied: its session ends, and stays ended although this raises.
        """
        session_id, counter = self._tokens.read_refresh(refresh_token)
        now = self._clock.now()
        async with self._database.transaction() as db:
            sessions = SessionRepository(db)
            rotated = await sessions.rotate(session_id, counter=counter, now=now)
            login = await sessions.get(session_id)
            living = login is not None and login.expires_at > now
            if login is not None and not rotated and counter < login.counter:
                age = await sessions.age_of_token(session_id)
                honest = counter == login.counter - 1 and age is not None and age <= REFRESH_GRACE
                if not honest:
                    await sessions.end(session_id)
                    await self._audit.add(
                        db,
                        "session.ended_by_reuse",
                        by=person(None, origin),
                        on=Target("session", session_id, login.user_id),
                    )
                    living = False
        if login is None or not living or counter > login.counter:
            raise Unauthenticated
        return self._pair(login)

    async def renew(self, principal: Principal) -> RenewedTokens:
        """Give the session another access token, never good past the session's end; its refresh token stays."""
        async with self._database.read() as db:
            login = await SessionRepository(db).get(_session_of(principal))
        if login is None:
            raise Unauthenticated
        token, expires_in = self._access(login)
        return RenewedTokens(access_token=token, expires_in=expires_in)

    async def logout(self, principal: Principal) -> None:
        """End the session that asks."""
        async with self._database.transaction() as db:
            session_id = _session_of(principal)
            if await SessionRepository(db).end(session_id):
                await self._record(db, "auth.logout", principal, session_id)

    async def logout_all(self, principal: Principal) -> None:
        """End every session of the person that asks."""
        async with self._database.transaction() as db:
            await SessionRepository(db).end_all_of(principal.user_id)
            await self._audit.add(db, "auth.logout_all", by=principal, on=user(principal.user_id))

    async def page(self, principal: Principal, window: Window) -> Page[LoginSession]:
        """List the person's living sessions, newest first."""
        async with self._database.read() as db:
            return await SessionRepository(db).page_of(principal.user_id, window, now=self._clock.now())

    async def revoke(self, session_id: int, principal: Principal) -> None:
        """End one session of the person's own; ``SessionNotFound`` for anybody else's."""
        async with self._database.transaction() as db:
            if not await SessionRepository(db).end(session_id, user_id=principal.user_id):
                raise SessionNotFound
            await self._record(db, "session.revoked", principal, session_id)

    async def _record(self, db: WriteSession, action: str, principal: Principal, session_id: int) -> None:
        target = Target("session", session_id, principal.user_id)
        await self._audit.add(db, action, by=principal, on=target)

    def _access(self, login: LoginSession) -> tuple[str, int]:
        """Return an access token and the seconds for which it is good."""
        return self._tokens.access(user_id=login.user_id, session_id=login.id, session_end=login.expires_at)

    def _pair(self, login: LoginSession) -> TokenPair:
        token, expires_in = self._access(login)
        return TokenPair(
            access_token=token,
            expires_in=expires_in,
            refresh_token=self._tokens.refresh(session_id=login.id, counter=login.counter),
            refresh_expires_in=int((login.expires_at - self._clock.now()).total_seconds()),
        )


def _session_of(principal: Principal) -> int:
    if principal.session_id is None:
        # The routes ask for a log-in: this is where a new one that forgets to is found out.
        raise KeyNotAllowed
    return principal.session_id
