"""Proof of addresses and reset of passwords, by one-time links in e-mails."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from tradepost.accounts.errors import InvalidToken
from tradepost.accounts.grants import AccountGrants
from tradepost.accounts.links import Links, hashed
from tradepost.accounts.messages import (
    ApiKeysRevoked,
    GrantsRevoked,
    PasswordChanged,
    PasswordForgotten,
    PasswordResetRequested,
    VerificationAsked,
    VerificationRequested,
)
from tradepost.accounts.models import AccountToken, TokenPurpose, User
from tradepost.accounts.passwords import PasswordHasher
from tradepost.accounts.repository.api_keys import ApiKeyRepository
from tradepost.accounts.repository.credentials import CredentialRepository
from tradepost.accounts.repository.sessions import SessionRepository
from tradepost.accounts.repository.tokens import AccountTokenRepository
from tradepost.accounts.repository.users import UserRepository
from tradepost.accounts.second_factor import SecondFactorService
from tradepost.core.audit.trail import Actor, AuditTrail, person
from tradepost.core.audit.trail import user as account
from tradepost.core.clock import Clock
from tradepost.core.database.engines import Database
from tradepost.core.database.sessions import WriteSession
from tradepost.core.errors import Unauthenticated
from tradepost.core.messaging.messages import Envelope, Message
from tradepost.core.messaging.outbox import Outbox
from tradepost.core.principal import NOWHERE, Origin, Principal

ELSEWHERE: Final = frozenset({TokenPurpose.CHANGE_EMAIL, TokenPurpose.UNDO_EMAIL})
"""Purposes whose links go to another address than the account's."""


@dataclass(frozen=True, slots=True)
class Addressee:
    """The recipient of an e-mail, where it goes, and its link while that is still good.

    ``is_proved``: the person reads what is sent to that address, and not somebody else whose address was typed in.
    """

    user: User
    email: str
    is_proved: bool
    link: str | None = None


class RecoveryService:
    """Opens short transactions of its own: a password is hashed in between.

    What a stranger may ask for by address only leaves a message with that address, whether it is anybody's or not:
    the same statements, the same time. A reaction to the message looks whose it is.
    """

    def __init__(
        self,
        *,
        database: Database,
        hasher: PasswordHasher,
        links: Links,
        grants: AccountGrants,
        second_factor: SecondFactorService,
        outbox: Outbox,
        audit: AuditTrail,
        clock: Clock,
    ) -> None:
        self._database = database
        self._hasher = hasher
        self._links = links
        self._grants = grants
        self._second_factor = second_factor
        self._outbox = outbox
        self._audit = audit
        self._clock = clock

    async def forgot(self, email: str) -> None:
        """Have a link for a new password sent to this normalised address, if an active account has it."""
        async with self._database.transaction() as db:
            await self._outbox.add(db, PasswordForgotten(email))

    async def resend(self, email: str) -> None:
        """Have another link to prove this normalised address sent, if an active account has yet to prove it."""
        async with self._database.transaction() as db:
            await self._outbox.add(db, VerificationAsked(email))

    async def resend_to(self, principal: Principal) -> None:
        """Do as ``resend`` for the person's own address."""
        async with self._database.read() as db:
            user = await UserRepository(db).get(principal.user_id)
        if user is None:
            raise Unauthenticated
        await self.resend(user.email)

    async def reset(self, token: str, new_password: str, origin: Origin = NOWHERE) -> None:
        """Set a new password with the token of a link, and end all sessions. ``InvalidToken`` for one that is not good.

        The link proves the address. When that is for the first time, the account may have been registered by a stranger,
        who keeps nothing: API keys, what was granted to programs under it, and a second factor, which would lock its person
        out, go in the same transaction.
        """
        row = await self._usable(token, TokenPurpose.RESET_PASSWORD)
        encoded = await self._hasher.hash(new_password)
        async with self._database.transaction() as db:
            now = self._clock.now()
            await self._use_up(db, row, now)
            user = await UserRepository(db).get(row.user_id)
            is_first_proof = user is not None and user.email_verified_at is None
            await CredentialRepository(db).reset_password(row.user_id, hashed=encoded, now=now)
            # Somebody else may have asked for it, who knew the password.
            await AccountTokenRepository(db).void(row.user_id, TokenPurpose.CHANGE_EMAIL, now=now)
            await SessionRepository(db).end_all_of(row.user_id)
            await self._outbox.add(db, PasswordChanged(row.user_id))
            by, on = person(row.user_id, origin), account(row.user_id)
            await self._audit.add(db, "password.reset", by=by, on=on)
            if is_first_proof:
                await self._second_factor.remove(db, row.user_id, by=by)
                await self._revoke_grants(db, row.user_id, by, now)

    async def verify(self, token: str, origin: Origin = NOWHERE) -> None:
        """Take the address of an account for proved, with the token of a link. ``InvalidToken`` for one that is not good."""
        row = await self._usable(token, TokenPurpose.VERIFY_EMAIL)
        async with self._database.transaction() as db:
            now = self._clock.now()
            await self._use_up(db, row, now)
            await CredentialRepository(db).verify_email(row.user_id, now=now)
            await self._audit.add(
                db, "email.verified", by=person(row.user_id, origin), on=account(row.user_id)
            )

    async def addressee(self, user_id: int, *, token_id: int | None = None) -> Addressee | None:
        """Return the recipient, with the link of a token; None when the account is gone or switched off.

        What changes an address, or undoes that, goes to the address of the token, everything else to that of the account.
        """
        async with self._database.read() as db:
            user = await UserRepository(db).get(user_id)
            if user is None or not user.is_active:
                return None
            row = token_id and await AccountTokenRepository(db).get(token_id)
        at_account = Addressee(user, user.email, is_proved=user.email_verified_at is not None)
        if not row or row.used_at is not None or row.expires_at <= self._clock.now():
            return at_account
        if row.purpose in ELSEWHERE:
            return Addressee(user, row.email, is_proved=False, link=self._links.url(row))
        return replace(at_account, link=self._links.url(row)) if row.email == user.email else at_account

    async def prune(self) -> None:
        """Delete the tokens that have run out."""
        async with self._database.transaction() as db:
            await AccountTokenRepository(db).delete_expired(self._clock.now())

    async def on_forgotten(self, db: WriteSession, envelopes: Sequence[Envelope[PasswordForgotten]]) -> None:
        """Make a token for each active account that a password was forgotten of."""
        users = await CredentialRepository(db).lock_active_key_share({one.message.email for one in envelopes})
        await self._make_tokens(db, TokenPurpose.RESET_PASSWORD, users, PasswordResetRequested)

    async def on_asked(self, db: WriteSession, envelopes: Sequence[Envelope[VerificationAsked]]) -> None:
        """Make a token for each active account whose address is still to be proved."""
        users = await CredentialRepository(db).lock_active_key_share({one.message.email for one in envelopes})
        unproved = [user for user in users if user.email_verified_at is None]
        await self._make_tokens(db, TokenPurpose.VERIFY_EMAIL, unproved, VerificationRequested)

    async def _make_tokens(
        self,
        db: WriteSession,
        purpose: TokenPurpose,
        users: Sequence[User],
        fact: Callable[[int, int], Message],
    ) -> None:
        now = self._clock.now()
        rows = [self._links.fresh(purpose, user_id=user.id, email=user.email, now=now) for user in users]
        ids = await AccountTokenRepository(db).add_all(rows)
        await self._outbox.add(
            db, *(fact(user.id, token_id) for user, token_id in zip(users, ids, strict=True))
        )

    async def _usable(self, token: str, purpose: TokenPurpose) -> AccountToken:
        async with self._database.read() as db:
            row = await AccountTokenRepository(db).find_usable(hashed(token), purpose, now=self._clock.now())
        if row is None:
            raise InvalidToken
        return row

    async def _revoke_grants(self, db: WriteSession, user_id: int, by: Actor, now: datetime) -> None:
        # After the sessions were deleted: that waited for requests of theirs that were still granting something.
        keys = await ApiKeyRepository(db).delete_all_of(user_id)
        if keys:
            await self._outbox.add(db, ApiKeysRevoked(user_id, keys))
        number = await self._grants.revoke_all(db, user_id=user_id, now=now)
        if number:
            await self._outbox.add(db, GrantsRevoked(user_id, number))
        if keys or number:
            details = {"api_keys": keys, "webhooks": number}
            await self._audit.add(db, "grants.revoked", by=by, on=account(user_id), details=details)

    async def _use_up(self, db: WriteSession, row: AccountToken, now: datetime) -> None:
        """Use the token, and make the person's others for the same purpose void; ``InvalidToken`` if it is too late.

        The person is locked first, as everywhere: two links of one person, used at once, would else wait for each other.
        """
        tokens = AccountTokenRepository(db)
        if not await CredentialRepository(db).lock_address_no_key_update(row.user_id, row.email):
            raise InvalidToken
        if not await tokens.use(row.id, now=now):
            raise InvalidToken
        await tokens.void(row.user_id, row.purpose, now=now)
