"""People's profiles, and what admins do to accounts."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any

from tradepost.accounts.errors import IncorrectPassword, LastAdmin, OwnAddress, SelfDelete, UserNotFound
from tradepost.accounts.farewells import Farewells
from tradepost.accounts.messages import UserDeleted
from tradepost.accounts.models import User
from tradepost.accounts.permissions import Role
from tradepost.accounts.phones import parsed_phone
from tradepost.accounts.reader import profile_shown
from tradepost.accounts.repository.api_keys import ApiKeyRepository
from tradepost.accounts.repository.sessions import SessionRepository
from tradepost.accounts.repository.tokens import AccountTokenRepository
from tradepost.accounts.repository.users import PublicRow, UserRepository
from tradepost.accounts.schemas import EVERYBODY, ProfileUpdate, UserSelection
from tradepost.core.audit.trail import SYSTEM, Actor
from tradepost.core.audit.trail import user as account
from tradepost.core.clock import Clock
from tradepost.core.errors import KeyNotAllowed, PreconditionFailed, Unauthenticated
from tradepost.core.principal import CredentialKind, Principal
from tradepost.core.wire.pagination import Page, Window
from tradepost.core.wire.representations import ANY_VERSION, Expected


class UserService:
    """Profiles and the switches of accounts, within the caller's transaction."""

    def __init__(
        self,
        users: UserRepository,
        sessions: SessionRepository,
        keys: ApiKeyRepository,
        tokens: AccountTokenRepository,
        *,
        record: Callable[..., Awaitable[None]],
        announce: Callable[..., Awaitable[None]],
        farewells: Farewells,
        depart: Callable[..., Awaitable[None]],
        clock: Clock,
        phone_region: str,
    ) -> None:
        self._users = users
        self._sessions = sessions
        self._keys = keys
        self._tokens = tokens
        self._record = record
        self._announce = announce
        self._farewells = farewells
        self._depart = depart
        self._clock = clock
        self._phone_region = phone_region

    async def page(self, window: Window, selection: UserSelection = EVERYBODY) -> Page[User]:
        """List the selected users."""
        return await self._users.page(window, selection)

    async def lock_key_share(self, user_ids: Collection[int]) -> dict[int, PublicRow]:
        """Return the public columns of those of these users that exist, and keep those until the transaction ends."""
        return {row.id: row for row in await self._users.lock_key_share(user_ids)}

    async def lock_credential_key_share(self, principal: Principal) -> None:
        """Keep the session or the API key of a request from being ended until the transaction ends.

        ``Unauthenticated`` when it has ended. For what outlives it: a reset that ends it waits for the commit and then sees
        what was written, or this waits for the reset and is refused. Without the lock a request that was let in before the
        reset could write after it.
        """
        kind, number = principal.credential
        held: SessionRepository | ApiKeyRepository = (
            self._keys if kind is CredentialKind.KEY else self._sessions
        )
        if not await held.lock_key_share(number):
            raise Unauthenticated

    async def update(
        self,
        user_id: int,
        changes: ProfileUpdate,
        expected: Expected = ANY_VERSION,
        *,
        by: Principal | Actor = SYSTEM,
    ) -> User:
        """Change the fields that were sent, of an expected version.

        Switching an account off ends its sessions and deletes its API keys; a change of role ends none. ``LastAdmin`` if nobody could administer
        the marketplace afterwards; ``KeyNotAllowed`` or ``OwnAddress`` for a word on an address by a key or on one's own.
        """
        sent = changes.model_dump(exclude_unset=True)
        demotes = sent.get("role", Role.ADMIN) is not Role.ADMIN or sent.get("is_active") is False
        admins = await self._users.lock_admins_no_key_update() if demotes else ()
        user = await self._users.lock_no_key_update(user_id)
        if user is None:
            raise UserNotFound
        expected.check_shown(profile_shown(user))
        if list(admins) == [user_id]:
            raise LastAdmin
        if sent.get("phone") is not None:
            sent["phone"] = parsed_phone(sent["phone"], self._phone_region)
        is_proved = sent.pop("email_verified", user.email_verified)
        if is_proved is not user.email_verified:
            _check_word(user_id, by)
            sent["email_verified_at"] = self._clock.now() if is_proved else None
        changed = {field: value for field, value in sent.items() if getattr(user, field) != value}
        if not changed:
            return user
        await self._tell(user, changed, by)
        for field, value in changed.items():
            setattr(user, field, value)
        user.updated_at = self._clock.now()
        await self._users.save()
        if changed.get("is_active") is False:
            # After the row itself: a log-in that is under way waits for it, and is then refused or ended.
            await self._sessions.end_all_of(user_id)
            await self._keys.delete_all_of(user_id)
            # A link that was sent before would work again once the account is switched on again.
            await self._tokens.void(user_id, now=user.updated_at)
        return user

    async def _tell(self, user: User, changed: Mapping[str, Any], by: Principal | Actor) -> None:
        """Record a change of role, a switch of the account, a word on the address, and which fields of another's profile changed."""
        rest = sorted(changed.keys() - {"role", "is_active", "email_verified_at"})
        if "role" in changed:
            details = {"from": user.role.value, "to": changed["role"].value}
            await self._record("user.role_changed", by=by, on=account(user.id), details=details)
        if "is_active" in changed:
            action = "user.activated" if changed["is_active"] else "user.deactivated"
            await self._record(action, by=by, on=account(user.id))
        if "email_verified_at" in changed:
            action = "email.verified" if changed["email_verified_at"] else "email.unverified"
            await self._record(action, by=by, on=account(user.id))
        if rest and not (isinstance(by, Principal) and by.user_id == user.id):
            await self._record("user.updated", by=by, on=account(user.id), details={"fields": rest})

    async def set_avatar(self, user_id: int, url: str) -> bool:
        """Have a person show this picture; tell whether there is such a person. Holds them until the transaction ends."""
        return await self._users.set_avatar(user_id, url, now=self._clock.now())

    async def remove_avatar(self, user_id: int, url: str) -> None:
        """Have a person show no picture any more, if it is this one that they show."""
        await self._users.set_avatar(user_id, None, seen=url, now=self._clock.now())

    async def delete(self, user_id: int, principal: Principal, expected: Expected = ANY_VERSION) -> None:
        """Delete somebody else's account; not one's own, and not the last admin's."""
        if user_id == principal.user_id:
            raise SelfDelete
        admins = await self._users.lock_admins_no_key_update()
        user = await self._users.lock_for_update(user_id)
        if user is None:
            raise UserNotFound
        await self._end(user, admins, expected, by=principal)

    async def end_own(
        self,
        principal: Principal,
        expected: Expected = ANY_VERSION,
        *,
        seen: str,
        settle: Callable[[], Awaitable[None]],
    ) -> None:
        """Delete the account of whoever asks, whose password still has the hash that was ``seen``; not the last admin's.

        ``settle`` uses up what else was proved, once the person is locked.
        """
        admins = await self._users.lock_admins_no_key_update()
        user = await self._users.lock_for_update(principal.user_id)
        if user is None:
            raise Unauthenticated
        if user.hashed_password != seen or not user.is_active:
            raise IncorrectPassword
        await settle()
        await self._end(user, admins, expected, by=principal)

    async def _end(self, user: User, admins: Sequence[int], expected: Expected, *, by: Principal) -> None:
        """Delete a locked account with its sessions and items.

        Before the row goes, the person leaves what higher domains keep for them: others are moved up into their seats.
        """
        expected.check_shown(profile_shown(user))
        if list(admins) == [user.id]:
            raise LastAdmin
        await self._depart(user_id=user.id, now=self._clock.now())
        if not await self._users.delete(user.id, version=user.version):
            raise PreconditionFailed
        await self._announce(UserDeleted(user.id), self._farewells.fact(user))
        await self._record("user.deleted", by=by, on=account(user.id))


def _check_word(user_id: int, by: Principal | Actor) -> None:
    """Refuse a word on an address that would be a way round the second factor: until one is proved, a link takes that away."""
    if not isinstance(by, Principal):
        return
    if by.credential.kind is CredentialKind.KEY:
        raise KeyNotAllowed
    if by.user_id == user_id:
        raise OwnAddress
