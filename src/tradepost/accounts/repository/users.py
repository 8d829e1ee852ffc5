"""Every statement about users as such: profiles, lists, and who administers."""

import sys
from collections.abc import Collection, Sequence
from datetime import datetime
from operator import itemgetter
from typing import Any, Final, cast

from sqlalchemy import ColumnElement, Row, Table, and_, delete, or_, select, update
from sqlalchemy.orm import InstrumentedAttribute

from tradepost.accounts.models import User
from tradepost.accounts.permissions import Role
from tradepost.accounts.schemas import UserSelection
from tradepost.core.database.elements import upsert
from tradepost.core.database.keyset import Order, Sorts
from tradepost.core.database.locks import lock_for_update, lock_key_share, lock_no_key_update
from tradepost.core.database.repository import ByKeys, Repository
from tradepost.core.database.sort_keys import key_columns
from tradepost.core.wire.folding import sort_key
from tradepost.core.wire.pagination import Page, Window
from tradepost.core.wire.schemas import MAX_ID

SORTS: Final[Sorts] = {
    "created_at": User.created_at,
    "email": User.email_key,
    "first_name": User.first_name_key,
    "last_name": User.last_name_key,
}

ProfileRow = Row[*tuple[Any, ...]]
"""Every column of a user that somebody is shown."""

PublicRow = Row[int, str, str, str | None]
"""What everybody may know of a user: ``id``, both names, ``avatar_url``."""

_KEPT: Final = {"hashed_password", *key_columns(cast("Table", User.__table__))}
SHOWN = [column for column in User.__table__.columns if column.name not in _KEPT]
"""The columns of ``ProfileRow``: neither what proves a person nor what the service keeps for itself."""

# What many requests ask is put together once: that takes as long as running it.
_PROFILES: Final = ByKeys(select(*SHOWN), User.id)
_REFERRED_TO: Final = ByKeys(
    lock_key_share(select(User.id, User.first_name, User.last_name, User.avatar_url).order_by(User.id), User),
    User.id,
)


class UserRepository(Repository):
    """Users."""

    async def find_profiles(self, user_ids: Sequence[int]) -> Sequence[ProfileRow]:
        """Return what is shown of the users of these ids."""
        return await self.rows(*_PROFILES.asked(user_ids))

    async def get(self, user_id: int) -> User | None:
        """Return the user of this id."""
        return await self.db.get(User, user_id)

    async def lock_no_key_update(self, user_id: int) -> User | None:
        """Return the user of this id, with the row locked until the transaction ends.

        Rows that only refer to the user (FOR KEY SHARE) need not wait: this lock is not for deleting.
        """
        return await self.db.scalar(lock_no_key_update(select(User).where(User.id == user_id), User))

    async def lock_key_share(self, user_ids: Collection[int]) -> Sequence[PublicRow]:
        """Return the public columns of these users, and keep the users from being deleted until the transaction ends."""
        return await self.rows(*_REFERRED_TO.asked(sorted(user_ids)))

    async def lock_admins_no_key_update(self) -> Sequence[int]:
        """Lock all active admins, in the order of their ids, and return these: taking one admin away waits here.

        Items may still be put up for sale by them: a group of new items locks several users, in an order of its own.
        """
        admins = select(User.id).where(User.role == Role.ADMIN, User.is_active).order_by(User.id)
        return (await self.db.scalars(lock_no_key_update(admins, User))).all()

    async def exists_admin(self) -> bool:
        """Tell whether there is an admin, active or not."""
        return await self.any(User.role, Role.ADMIN)

    async def page(self, window: Window, selection: UserSelection) -> Page[User]:
        """Return a part of the selected users."""
        selected = select(User).where(*_conditions(selection))
        page = await self.paged(selected, window, Order(window.sort, SORTS, ties=User.id))
        return page.mapped(itemgetter(0))

    async def add(self, user: User) -> User:
        """Insert ``user`` and give it its id."""
        self.db.add(user)
        await self.db.flush()
        return user

    async def save(self) -> None:
        """Write the changes that were made to users of this session."""
        await self.db.flush()

    async def add_unless_taken(self, values: dict[str, Any]) -> int | None:
        """Insert a user and return the id; None when the address is taken."""
        statement = upsert(User).values(**values).on_conflict_do_nothing(index_elements=["email"])
        return await self.db.scalar(statement.returning(User.id))

    async def set_avatar(
        self, user_id: int, url: str | None, *, seen: str | None = None, now: datetime
    ) -> bool:
        """Set a user's picture, if ``seen`` is given only in place of that one; tell whether it was."""
        statement = update(User).where(User.id == user_id)
        if seen is not None:
            statement = statement.where(User.avatar_url == seen)
        statement = statement.values(avatar_url=url, updated_at=now, version=User.version + 1)
        return await self.db.scalar(statement.returning(User.id)) is not None

    async def lock_for_update(self, user_id: int) -> User | None:
        """Return the user of this id, who is to be deleted, locked so that nothing refers to them any more."""
        return await self.db.scalar(lock_for_update(select(User).where(User.id == user_id), User))

    async def delete(self, user_id: int, *, version: int | None = None) -> bool:
        """Delete the user, if ``version`` is given only as that one, and by cascades what belongs to them; tell whether it was."""
        gone = delete(User).where(User.id == user_id)
        if version is not None:
            gone = gone.where(User.version == version)
        gone = gone.execution_options(synchronize_session=False)
        return await self.db.scalar(gone.returning(User.id)) is not None


def _conditions(selection: UserSelection) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if selection.q is not None:
        conditions.append(_called(selection.q))
    if selection.role is not None:
        conditions.append(User.role == selection.role)
    if selection.is_active is not None:
        conditions.append(User.is_active == selection.is_active)
    return conditions


def _called(text: str) -> ColumnElement[bool]:
    """Match whose address or name begins with ``text``, or whose number it is; of two words the second is of the last name."""
    key = sort_key(text)
    ways = [_begins(column, key) for column in (User.email_key, User.first_name_key, User.last_name_key)]
    first, _, last = key.partition(" ")
    if last:
        ways.append(and_(_begins(User.first_name_key, first), _begins(User.last_name_key, last)))
    if text.isascii() and text.isdecimal() and int(text) <= MAX_ID:
        ways.append(User.id == int(text))
    return or_(*ways)


def _begins(column: InstrumentedAttribute[str], prefix: str) -> ColumnElement[bool]:
    # A range of the index, which goes by code points on both engines; LIKE has none on SQLite.
    return and_(column >= prefix, column < f"{prefix}{chr(sys.maxunicode)}")
