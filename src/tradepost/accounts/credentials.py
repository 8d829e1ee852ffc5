"""Registration and change of passwords: read, hash with no transaction open, write guarded by what was read."""

from datetime import datetime
from typing import Any

from tradepost.accounts.addresses import account_key, normalised_email
from tradepost.accounts.errors import EmailTaken, IncorrectPassword, UserNotFound
from tradepost.accounts.links import Links
from tradepost.accounts.messages import PasswordChanged, PasswordForgotten, UserRegistered
from tradepost.accounts.models import TokenPurpose, User
from tradepost.accounts.passwords import PasswordHasher
from tradepost.accounts.permissions import Role
from tradepost.accounts.repository.credentials import CredentialRepository
from tradepost.accounts.repository.sessions import SessionRepository
from tradepost.accounts.repository.tokens import AccountTokenRepository
from tradepost.accounts.repository.users import UserRepository
from tradepost.accounts.schemas import PasswordChange, UserRead, UserRegister
from tradepost.core.audit.trail import SYSTEM, AuditTrail, person
from tradepost.core.audit.trail import user as account
from tradepost.core.clock import Clock
from tradepost.core.database.engines import Database
from tradepost.core.database.faults import violations
from tradepost.core.database.sessions import ReadSession, WriteSession
from tradepost.core.errors import RuleBroken, Unauthenticated
from tradepost.core.idempotency.claim import CLAIM, settle
from tradepost.core.messaging.outbox import Outbox
from tradepost.core.principal import NOWHERE, Origin, Principal
from tradepost.core.wire.schemas import MAX_ID


async def is_taken(
    db: ReadSession | WriteSession, email: str, *, now: datetime, by_others_than: int = 0
) -> bool:
    """Tell whether an address is somebody's, or can still be taken back by whose it was.

    In this order: one that becomes the one thing or the other meanwhile is met as either.
    """
    owner = await CredentialRepository(db).find_by_email(email)
    if owner is not None:
        return owner.id != by_others_than
    return await AccountTokenRepository(db).is_reserved(email, now=now, but_for=by_others_than)


class CredentialService:
    """Registers people, makes accounts, and changes passwords, each in a short transaction of its own."""

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

    async def register(
        self,
        applicant: UserRegister,
        *,
        role: Role = Role.USER,
        is_active: bool = True,
        by: Principal | Origin = NOWHERE,
    ) -> User:
        """Make an account; ``EmailTaken`` if the address has one. ``by`` an admin, or from where somebody asks for oneself.

        The address is still to be proved, also when an admin makes the account: anybody can mistype one.
        """
        async with self._database.read() as db:
            if await is_taken(db, applicant.email, now=self._clock.now()):
                raise EmailTaken
        hashed = await self._hasher.hash(applicant.password)
        now = self._clock.now()
        user = User(
            email=applicant.email,
            hashed_password=hashed,
            first_name=applicant.first_name,
            last_name=applicant.last_name,
            role=role,
            is_active=is_active,
            created_at=now,
            updated_at=now,
        )
        async with self._database.transaction() as db:
            # Two may have passed the question above; the constraint decides.
            with violations(unique=EmailTaken):
                await UserRepository(db).add(user)
            token_id = None
            if is_active:
                row = self._links.fresh(TokenPurpose.VERIFY_EMAIL, user_id=user.id, email=user.email, now=now)
                (token_id,) = await AccountTokenRepository(db).add_all([row])
            await self._outbox.add(db, UserRegistered(user.id, token_id))
            if isinstance(by, Principal):
                details = {"role": role.value, "is_active": is_active}
                await self._audit.add(db, "user.created", by=by, on=account(user.id), details=details)
            else:
                await self._audit.add(db, "user.registered", by=person(user.id, by), on=account(user.id))
            await settle(db, CLAIM.get(), UserRead.model_validate(user).model_dump_json().encode, status=201)
        return user

    async def change_password(self, change: PasswordChange, principal: Principal) -> None:
        """Set a new password and end all sessions of the person, the current one too."""
        # As with a log-in: what was verified may have been overtaken by a log-in that renewed the hash of the same password.
        if not (await self._replace(change, principal) or await self._replace(change, principal)):
            raise IncorrectPassword

    async def _replace(self, change: PasswordChange, principal: Principal) -> bool:
        """Set a new password; False if the hash was changed while it was verified."""
        async with self._database.read() as db:
            user = await UserRepository(db).get(principal.user_id)
        if user is None:
            raise Unauthenticated
        seen = user.hashed_password
        if not await self._hasher.verify(seen, change.current_password):
            await self._audit.refused(
                self._database,
                "password.change_failed",
                by=principal,
                on=account(user.id),
                account=str(user.id),
            )
            raise IncorrectPassword
        if change.new_password == change.current_password:
            message = "The new password must differ from the current one"
            raise RuleBroken(message)
        hashed = await self._hasher.hash(change.new_password)
        async with self._database.transaction() as db:
            now = self._clock.now()
            if not await CredentialRepository(db).replace_password(
                user.id, seen=seen, hashed=hashed, now=now
            ):
                return False
            # A link that somebody else may have asked for is worth nothing any more.
            await AccountTokenRepository(db).void(
                user.id, TokenPurpose.RESET_PASSWORD, TokenPurpose.CHANGE_EMAIL, now=now
            )
            await SessionRepository(db).end_all_of(user.id)
            await self._outbox.add(db, PasswordChanged(user.id))
            await self._audit.add(db, "password.changed", by=principal, on=account(user.id))
        return True

    async def find(self, who: str) -> User:
        """Return the person of an e-mail address or a number; ``UserNotFound`` when there is none."""
        async with self._database.read() as db:
            if who.isascii() and who.isdecimal():
                found = await UserRepository(db).get(min(int(who), MAX_ID))
            else:
                found = await CredentialRepository(db).find_by_email(account_key(who))
        if found is None:
            raise UserNotFound
        return found

    async def set_password(self, user_id: int, password: str) -> None:
        """Give somebody another password on an operator's behalf: every session ends, and what was asked for by link is void.

        Nothing is proved of the address by that.
        """
        hashed = await self._hasher.hash(password)
        async with self._database.transaction() as db:
            now = self._clock.now()
            if not await CredentialRepository(db).set_password(user_id, hashed=hashed, now=now):
                raise UserNotFound
            await AccountTokenRepository(db).void(
                user_id, TokenPurpose.RESET_PASSWORD, TokenPurpose.CHANGE_EMAIL, now=now
            )
            await SessionRepository(db).end_all_of(user_id)
            await self._outbox.add(db, PasswordChanged(user_id))
            await self._audit.add(db, "password.set", by=SYSTEM, on=account(user_id))

    async def send_reset(self, user_id: int, by: Principal) -> None:
        """Have a link for a new password sent to somebody, if their account is active."""
        async with self._database.transaction() as db:
            user = await UserRepository(db).get(user_id)
            if user is None:
                raise UserNotFound
            await self._outbox.add(db, PasswordForgotten(user.email))
            await self._audit.add(db, "password.reset_sent", by=by, on=account(user_id))

    async def ensure_first_superuser(self, email: str, password: str) -> bool:
        """Make the first admin unless there is one; any number of processes may try at once. Tell whether it was made."""
        async with self._database.read() as db:
            if await UserRepository(db).exists_admin():
                return False
        return await self.create_admin(email, password)

    async def create_admin(self, email: str, password: str) -> bool:
        """Make an admin, unless the address is taken; tell whether it was made."""
        now = self._clock.now()
        values: dict[str, Any] = {
            "email": normalised_email(email),
            "hashed_password": await self._hasher.hash(password),
            "first_name": "Admin",
            "last_name": "User",
            "role": Role.ADMIN,
            "is_active": True,
            # Who runs the marketplace has said so.
            "email_verified_at": now,
            "created_at": now,
            "updated_at": now,
        }
        async with self._database.transaction() as db:
            user_id = await UserRepository(db).add_unless_taken(values)
            if user_id is not None:
                details = {"role": Role.ADMIN.value}
                await self._audit.add(db, "user.created", by=SYSTEM, on=account(user_id), details=details)
        return user_id is not None
