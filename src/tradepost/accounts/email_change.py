"""Another e-mail address: it is asked for with the password, proved by a link to it, and undone by a link to the one before."""

from datetime import datetime

from tradepost.accounts.credentials import is_taken
from tradepost.accounts.errors import EmailTaken, IncorrectPassword, InvalidToken
from tradepost.accounts.links import Links, hashed
from tradepost.accounts.messages import EmailChangeAsked, EmailChanged, EmailChangeUndone, PasswordForgotten
from tradepost.accounts.models import AccountToken, TokenPurpose, User
from tradepost.accounts.passwords import PasswordHasher
from tradepost.accounts.repository.credentials import CredentialRepository
from tradepost.accounts.repository.sessions import SessionRepository
from tradepost.accounts.repository.tokens import AccountTokenRepository
from tradepost.accounts.repository.users import UserRepository
from tradepost.core.audit.trail import AuditTrail, person
from tradepost.core.audit.trail import user as account
from tradepost.core.clock import Clock
from tradepost.core.database.engines import Database
from tradepost.core.database.faults import violations
from tradepost.core.database.sessions import WriteSession
from tradepost.core.errors import RuleBroken, Unauthenticated
from tradepost.core.messaging.outbox import Outbox
from tradepost.core.principal import NOWHERE, Origin, Principal


class EmailChangeService:
    """Changes addresses, each step in a short transaction of its own that locks the person first.

    So of a change beside a change, a reset or a deletion, one finds what the other has left.
    """

    def __init__(
        self,
        *,
        database: Database,
        hasher: PasswordHasher,
        links: Links,
        outbox: Outbox,
        audit: AuditTrail,
        clock: Clock,
    ) -> None:
        self._database = database
        self._hasher = hasher
        self._links = links
        self._outbox = outbox
        self._audit = audit
        self._clock = clock

    async def ask(self, new_email: str, password: str, principal: Principal) -> None:
        """Send a link to the new address, which may be somebody's: that is found out when the link is used."""
        async with self._database.read() as db:
            user = await UserRepository(db).get(principal.user_id)
        if user is None or principal.session_id is None:
            raise Unauthenticated
        seen = user.hashed_password
        if not await self._hasher.verify(seen, password):
            await self._audit.refused(
                self._database,
                "email.change_failed",
                by=principal,
                on=account(user.id),
                account=str(user.id),
            )
            raise IncorrectPassword
        if new_email == user.email:
            message = "The new e-mail address must differ from the current one"
            raise RuleBroken(message)
        async with self._database.transaction() as db:
            now = self._clock.now()
            if not await CredentialRepository(db).lock_password_no_key_update(user.id, seen=seen):
                raise IncorrectPassword
            # The link outlives the log-in: what a reset ends must leave none behind.
            if not await SessionRepository(db).lock_key_share(principal.session_id):
                raise Unauthenticated
            tokens = AccountTokenRepository(db)
            await tokens.void(user.id, TokenPurpose.CHANGE_EMAIL, now=now)
            row = self._links.fresh(TokenPurpose.CHANGE_EMAIL, user_id=user.id, email=new_email, now=now)
            (token_id,) = await tokens.add_all([row])
            await self._outbox.add(db, EmailChangeAsked(user.id, token_id))
            await self._audit.add(db, "email.change_asked", by=principal, on=account(user.id))

    async def confirm(self, token: str, origin: Origin = NOWHERE) -> None:
        """Give the account the address that the link was sent to; ``EmailTaken`` when it is somebody else's, and no more tries."""
        row = await self._usable(token, TokenPurpose.CHANGE_EMAIL)
        async with self._database.transaction() as db:
            now = self._clock.now()
            user = await self._use_up(db, row)
            taken = await is_taken(db, row.email, now=now, by_others_than=user.id)
            if not taken:
                before = user.email
                await self._set(db, user, row.email, proved_at=now)
                tokens = AccountTokenRepository(db)
                # Links to the address from before prove it no more. Those that undo stay.
                await tokens.void(user.id, TokenPurpose.RESET_PASSWORD, TokenPurpose.VERIFY_EMAIL, now=now)
                undo = self._links.fresh(TokenPurpose.UNDO_EMAIL, user_id=user.id, email=before, now=now)
                (token_id,) = await tokens.add_all([undo])
                await self._outbox.add(db, EmailChanged(user.id, token_id))
                await self._audit.add(db, "email.changed", by=person(user.id, origin), on=account(user.id))
        if taken:
            raise EmailTaken

    async def undo(self, token: str, origin: Origin = NOWHERE) -> None:
        """Give the account the address from before, and end all sessions: somebody else has changed it, who knew the password.

        The address counts as not proved, so that a new password by link, which is sent at once, is the first proof: it takes
        away what that somebody may have set up.
        """
        row = await self._usable(token, TokenPurpose.UNDO_EMAIL)
        async with self._database.transaction() as db:
            now = self._clock.now()
            user = await self._use_up(db, row)
            await self._set(db, user, row.email, proved_at=None)
            tokens = AccountTokenRepository(db)
            await tokens.void(
                user.id,
                TokenPurpose.CHANGE_EMAIL,
                TokenPurpose.RESET_PASSWORD,
                TokenPurpose.VERIFY_EMAIL,
                now=now,
            )
            await tokens.void_undoing(user.id, after=row.id, now=now)
            await SessionRepository(db).end_all_of(user.id)
            await self._outbox.add(db, EmailChangeUndone(user.id), PasswordForgotten(row.email))
            await self._audit.add(db, "email.change_undone", by=person(user.id, origin), on=account(user.id))

    async def _usable(self, token: str, purpose: TokenPurpose) -> AccountToken:
        async with self._database.read() as db:
            row = await AccountTokenRepository(db).find_usable(hashed(token), purpose, now=self._clock.now())
        if row is None:
            raise InvalidToken
        return row

    async def _use_up(self, db: WriteSession, row: AccountToken) -> User:
        """Lock the person, use the token up, and return the person; ``InvalidToken`` if it is too late."""
        user = await UserRepository(db).lock_no_key_update(row.user_id)
        if (
            user is None
            or not user.is_active
            or not await AccountTokenRepository(db).use(row.id, now=self._clock.now())
        ):
            raise InvalidToken
        return user

    async def _set(self, db: WriteSession, user: User, email: str, *, proved_at: datetime | None) -> None:
        user.email = email
        user.email_verified_at = proved_at
        user.updated_at = self._clock.now()
        # Two people may have passed the question whose it is; the constraint decides.
        with violations(unique=EmailTaken):
            await UserRepository(db).save()
