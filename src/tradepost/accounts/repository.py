"""Every statement about users, their sessions and the tokens of their links."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Row, Select, bindparam, delete, func, insert, or_, select, update
from sqlalchemy.orm import InstrumentedAttribute, aliased

from tradepost.accounts.models import AccountToken, LoginSession, TokenPurpose, User
from tradepost.accounts.permissions import Role
from tradepost.core.database.elements import AmongIds, upsert
from tradepost.core.database.locks import lock_key_share, lock_no_key_update
from tradepost.core.database.repository import Repository
from tradepost.core.wire.pagination import Page, Window

SORTS: Final[dict[str, InstrumentedAttribute[Any]]] = {
    "created_at": User.created_at,
    "email": User.email,
    "first_name": User.first_name,
    "last_name": User.last_name,
}


IdentityRow = Row[*tuple[Any, ...]]
"""A session's ``session_id`` and ``session_end``, and every column of its user that somebody is shown."""

ProfileRow = Row[*tuple[Any, ...]]
"""Every column of a user that somebody is shown."""

PublicRow = Row[int, str, str, str | None]
"""What everybody may know of a user: ``id``, both names, ``avatar_url``."""

_SHOWN = [
    column for column in User.__table__.columns if column.name not in {"hashed_password", "email_verified_at"}
]


# What many requests ask is put together once: that takes as long as running it.
_IDENTITIES: Final[Select[*tuple[Any, ...]]] = (
    select(LoginSession.id.label("session_id"), LoginSession.expires_at.label("session_end"), *_SHOWN)
    .join(User, User.id == LoginSession.user_id)
    .where(AmongIds(LoginSession.id))
)
_PROFILES: Final[Select[*tuple[Any, ...]]] = select(*_SHOWN).where(AmongIds(User.id))
_REFERRED_TO: Final = lock_key_share(
    select(User.id, User.first_name, User.last_name, User.avatar_url)
    .where(AmongIds(User.id))
    .order_by(User.id),
    User,
)
_LIVING: Final = (
    select(LoginSession.id)
    .join(User, User.id == LoginSession.user_id)
    .where(
        AmongIds(LoginSession.id),
        LoginSession.expires_at > bindparam("now", type_=LoginSession.expires_at.type),
        User.is_active,
    )
)


class UserRepository(Repository):
    """People."""

    async def find_profiles(self, user_ids: Sequence[int]) -> Sequence[ProfileRow]:
        """Return what is shown of the users of these ids."""
        return await self.rows(_PROFILES, {"ids": list(user_ids)})

    async def get(self, user_id: int) -> User | None:
        """Return the user of this id."""
        return await self.db.get(User, user_id)

    async def lock_no_key_update(self, user_id: int) -> User | None:
        """Return the user of this id, with the row locked until the transaction ends.

        Not so strongly that it would wait for those who only refer to the user: none of these locks is for deleting.
        """
        return await self.db.scalar(lock_no_key_update(select(User).where(User.id == user_id), User))

    async def find_by_email(self, email: str) -> User | None:
        """Return the user of this normalised address."""
        return await self.db.scalar(select(User).where(User.email == email))

    async def lock_active_key_share(self, emails: Collection[str]) -> Sequence[User]:
        """Return the active users of these normalised addresses, and keep them from being deleted until the transaction ends."""
        found = select(User).where(User.email.in_(emails), User.is_active).order_by(User.id)
        return (await self.db.scalars(lock_key_share(found, User))).all()

    async def exists_email(self, email: str) -> bool:
        """Tell whether somebody has this normalised address."""
        return await self.any(User.email, email)

    async def exists_admin(self) -> bool:
        """Tell whether there is an admin, active or not."""
        return await self.any(User.role, Role.ADMIN)

    async def page(self, window: Window) -> Page[User]:
        """Return a part of all users."""
        order = self.ordering(window.sort, SORTS, ties=User.id)
        rows = select(User).order_by(*order).limit(window.limit).offset(window.skip)
        return Page((await self.db.scalars(rows)).all(), await self.count(select(User), window.total), window)

    async def add(self, user: User) -> User:
        """Insert ``user`` and give it its id."""
        self.db.add(user)
        await self.db.flush()
        return user

    async def add_unless_taken(self, values: dict[str, Any]) -> bool:
        """Insert a user unless the address is taken; tell whether it was inserted."""
        statement = upsert(User).values(**values).on_conflict_do_nothing(index_elements=["email"])
        return await self.db.scalar(statement.returning(User.id)) is not None

    async def lock_admins_no_key_update(self) -> Sequence[int]:
        """Lock all active admins, in one order for everybody, and return their ids: who takes one away waits here.

        Items may be put up for sale by them meanwhile: who does so holds several users, in an order of their own.
        """
        admins = select(User.id).where(User.role == Role.ADMIN, User.is_active).order_by(User.id)
        return (await self.db.scalars(lock_no_key_update(admins, User))).all()

    async def replace_password(self, user_id: int, *, seen: str, hashed: str, now: datetime) -> bool:
        """Set a new hash if the one in force is still the one that was ``seen``; tell whether it was."""
        statement = (
            update(User)
            .where(User.id == user_id, User.hashed_password == seen, User.is_active)
            .values(hashed_password=hashed, updated_at=now)
            .returning(User.id)
        )
        return await self.db.scalar(statement) is not None

    async def lock_address_no_key_update(self, user_id: int, email: str) -> bool:
        """Tell whether the user is active and has this address, and keep it so until the transaction ends."""
        held = select(User.id).where(User.id == user_id, User.email == email, User.is_active)
        return await self.db.scalar(lock_no_key_update(held, User)) is not None

    async def reset_password(self, user_id: int, *, hashed: str, now: datetime) -> None:
        """Set a new hash for somebody who has just shown that the address is theirs."""
        proved = func.coalesce(User.email_verified_at, now)
        changed = update(User).where(User.id == user_id)
        await self.db.execute(
            changed.values(hashed_password=hashed, updated_at=now, email_verified_at=proved)
        )

    async def verify_email(self, user_id: int, *, now: datetime) -> None:
        """Note when the address was proved, unless it was before."""
        await self.db.execute(
            update(User)
            .where(User.id == user_id, User.email_verified_at.is_(None))
            .values(email_verified_at=now)
        )

    async def rehash(self, user_id: int, *, seen: str, hashed: str) -> None:
        """Keep the same password under newer parameters, unless it was changed meanwhile."""
        await self.db.execute(
            update(User)
            .where(User.id == user_id, User.hashed_password == seen)
            .values(hashed_password=hashed)
        )

    async def set_avatar(
        self, user_id: int, url: str | None, *, seen: str | None = None, now: datetime
    ) -> bool:
        """Set a user's picture, if ``seen`` is given only in place of that one; tell whether it was."""
        statement = update(User).where(User.id == user_id)
        if seen is not None:
            statement = statement.where(User.avatar_url == seen)
        statement = statement.values(avatar_url=url, updated_at=now)
        return await self.db.scalar(statement.returning(User.id)) is not None

    async def lock_password_no_key_update(self, user_id: int, *, seen: str) -> bool:
        """Tell whether the user is active with the hash that was ``seen``, and keep it so until the transaction ends.

        A lock for one at a time: two that shared it and then both wrote the row would wait for each other for ever.
        """
        unchanged = select(User.id).where(User.id == user_id, User.hashed_password == seen, User.is_active)
        return await self.db.scalar(lock_no_key_update(unchanged, User)) is not None

    async def lock_key_share(self, user_ids: Collection[int]) -> Sequence[PublicRow]:
        """Return the public columns of these users, and keep the users from being deleted until the transaction ends."""
        return await self.rows(_REFERRED_TO, {"ids": sorted(user_ids)})

    async def delete(self, user_id: int) -> bool:
        """Delete the user, and by the database all that hangs on them; tell whether there was one."""
        return await self.db.scalar(delete(User).where(User.id == user_id).returning(User.id)) is not None


class SessionRepository(Repository):
    """Log-ins."""

    async def add(self, login: LoginSession) -> LoginSession:
        """Insert ``login`` and give it its id."""
        self.db.add(login)
        await self.db.flush()
        return login

    async def find_identities(self, session_ids: Sequence[int]) -> Sequence[IdentityRow]:
        """Return the sessions of these ids with their users; ended ones and those of nobody are left out."""
        return await self.rows(_IDENTITIES, {"ids": list(session_ids)})

    async def find_living(self, session_ids: Collection[int], *, now: datetime) -> Sequence[int]:
        """Return which of these sessions have not ended."""
        return (await self.db.scalars(_LIVING, {"ids": list(session_ids), "now": now})).all()

    async def get(self, session_id: int) -> LoginSession | None:
        """Return the session of this id."""
        return await self.db.get(LoginSession, session_id)

    async def lock_key_share(self, session_id: int) -> bool:
        """Lock a session and its user FOR KEY SHARE until the transaction ends; False when the session has ended.

        The user first, as a deletion locks them: the other order would deadlock with it.
        """
        living = select(LoginSession.id).join(User, User.id == LoginSession.user_id)
        locked = lock_key_share(living.where(LoginSession.id == session_id), User, LoginSession)
        return await self.db.scalar(locked) is not None

    async def rotate(self, session_id: int, *, counter: int, now: datetime) -> bool:
        """Put the next refresh token in force if ``counter`` still is; tell whether it was."""
        statement = (
            update(LoginSession)
            .where(
                LoginSession.id == session_id,
                LoginSession.counter == counter,
                LoginSession.expires_at > now,
                LoginSession.user_id.in_(select(User.id).where(User.is_active)),
            )
            .values(counter=LoginSession.counter + 1, rotated_at=now)
            .returning(LoginSession.id)
            .execution_options(synchronize_session=False)
        )
        return await self.db.scalar(statement) is not None

    async def page_of(self, user_id: int, window: Window, *, now: datetime) -> Page[LoginSession]:
        """Return a part of a user's living sessions, newest first."""
        living = select(LoginSession).where(LoginSession.user_id == user_id, LoginSession.expires_at > now)
        rows = living.order_by(LoginSession.id.desc()).limit(window.limit).offset(window.skip)
        return Page((await self.db.scalars(rows)).all(), await self.count(living, window.total), window)

    async def end(self, session_id: int, *, user_id: int | None = None) -> bool:
        """End a session, of this user if one is given; tell whether there was one."""
        statement = delete(LoginSession).where(LoginSession.id == session_id)
        if user_id is not None:
            statement = statement.where(LoginSession.user_id == user_id)
        return await self.db.scalar(statement.returning(LoginSession.id)) is not None

    async def end_all_of(self, user_id: int) -> None:
        """End every session of a user."""
        await self.db.execute(delete(LoginSession).where(LoginSession.user_id == user_id))

    async def make_room_for(self, user_id: int, *, keep: int, now: datetime) -> None:
        """Delete a user's sessions that have run out, and all but the ``keep`` newest of those that have not."""
        other = aliased(LoginSession)
        living = select(other.id).where(other.user_id == user_id, other.expires_at > now)
        newest_surplus = living.order_by(other.id.desc()).offset(keep).limit(1).scalar_subquery()
        surplus = or_(LoginSession.expires_at <= now, LoginSession.id <= newest_surplus)
        await self.db.execute(
            delete(LoginSession)
            .where(LoginSession.user_id == user_id, surplus)
            .execution_options(synchronize_session=False)
        )


class AccountTokenRepository(Repository):
    """Tokens of links."""

    async def add_all(self, rows: Sequence[dict[str, Any]]) -> Sequence[int]:
        """Insert tokens and return their ids, in the order of ``rows``."""
        if not rows:
            return []
        inserted = insert(AccountToken).returning(AccountToken.id, sort_by_parameter_order=True)
        return (await self.db.scalars(inserted, rows)).all()

    async def get(self, token_id: int) -> AccountToken | None:
        """Return the token of this id, whatever has become of it."""
        return await self.db.get(AccountToken, token_id)

    async def find_usable(
        self, token_hash: str, purpose: TokenPurpose, *, now: datetime
    ) -> AccountToken | None:
        """Return the token with this hash if it is for this purpose and still good."""
        found = select(AccountToken).where(AccountToken.token_hash == token_hash)
        good = found.where(
            AccountToken.purpose == purpose, AccountToken.used_at.is_(None), AccountToken.expires_at > now
        )
        return await self.db.scalar(good)

    async def use(self, token_id: int, *, now: datetime) -> bool:
        """Use a token up if it is still good; tell whether it was."""
        statement = (
            update(AccountToken)
            .where(AccountToken.id == token_id, AccountToken.used_at.is_(None), AccountToken.expires_at > now)
            .values(used_at=now)
            .returning(AccountToken.id)
            .execution_options(synchronize_session=False)
        )
        return await self.db.scalar(statement) is not None

    async def void(self, user_id: int, purpose: TokenPurpose | None = None, *, now: datetime) -> None:
        """Use up the tokens that a user still has for a purpose, or for any."""
        statement = update(AccountToken).where(
            AccountToken.user_id == user_id, AccountToken.used_at.is_(None)
        )
        if purpose is not None:
            statement = statement.where(AccountToken.purpose == purpose)
        await self.db.execute(statement.values(used_at=now).execution_options(synchronize_session=False))

    async def delete_expired(self, now: datetime) -> None:
        """Delete the tokens that have run out, used or not."""
        await self.db.execute(delete(AccountToken).where(AccountToken.expires_at <= now))
