"""Every statement about sessions, and the identity that each stands for."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from operator import itemgetter
from typing import Any, Final

from sqlalchemy import Row, bindparam, delete, or_, select, update
from sqlalchemy.orm import aliased

from tradepost.accounts.models import LoginSession, User
from tradepost.accounts.repository.users import SHOWN
from tradepost.core.database.elements import AmongIds, DatabaseNow
from tradepost.core.database.keyset import Order
from tradepost.core.database.locks import lock_key_share
from tradepost.core.database.repository import ByKeys, Repository
from tradepost.core.wire.pagination import Page, Window

IdentityRow = Row[*tuple[Any, ...]]
"""A session's ``session_id`` and ``session_end``, and every column of its user that somebody is shown."""

_IDENTITIES: Final = ByKeys(
    select(LoginSession.id.label("session_id"), LoginSession.expires_at.label("session_end"), *SHOWN).join(
        User, User.id == LoginSession.user_id
    ),
    LoginSession.id,
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
_NEWEST_FIRST: Final = Order("-id", {"id": LoginSession.id}, ties=LoginSession.id)


class SessionRepository(Repository):
    """Log-ins."""

    async def add(self, login: LoginSession) -> LoginSession:
        """Insert ``login`` and give it its id."""
        self.db.add(login)
        await self.db.flush()
        return login

    async def find_identities(self, session_ids: Sequence[int]) -> Sequence[IdentityRow]:
        """Return the sessions of these ids with their users; ended ones and those of nobody are left out."""
        return await self.rows(*_IDENTITIES.asked(session_ids))

    async def find_living(self, session_ids: Collection[int], *, now: datetime) -> Sequence[int]:
        """Return which of these sessions have not ended."""
        return (await self.db.scalars(_LIVING, {"ids": list(session_ids), "now": now})).all()

    async def get(self, session_id: int) -> LoginSession | None:
        """Return the session of this id."""
        return await self.db.get(LoginSession, session_id)

    async def age_of_token(self, session_id: int) -> timedelta | None:
        """Return how long the refresh token in force has been so, by the database's clock at both ends."""
        found = await self.db.execute(
            select(LoginSession.rotated_at, DatabaseNow()).where(LoginSession.id == session_id)
        )
        moments = found.one_or_none()
        return None if moments is None else moments[1] - moments[0]

    async def lock_key_share(self, session_id: int) -> bool:
        """Lock a session and its user FOR KEY SHARE until the transaction ends; False when the session has ended.

        The user first, as a deletion locks them: the other order would deadlock with it.
        """
        living = select(LoginSession.id).join(User, User.id == LoginSession.user_id)
        locked = lock_key_share(living.where(LoginSession.id == session_id), User, LoginSession)
        return await self.db.scalar(locked) is not None

    async def rotate(self, session_id: int, *, counter: int, now: datetime) -> bool:
        """Put the next refresh token in force if ``counter`` still is; tell whether it was. The database's clock says when."""
        statement = (
            update(LoginSession)
            .where(
                LoginSession.id == session_id,
                LoginSession.counter == counter,
                LoginSession.expires_at > now,
                LoginSession.user_id.in_(select(User.id).where(User.is_active)),
            )
            .values(counter=LoginSession.counter + 1, rotated_at=DatabaseNow())
            .returning(LoginSession.id)
            .execution_options(synchronize_session=False)
        )
        return await self.db.scalar(statement) is not None

    async def page_of(self, user_id: int, window: Window, *, now: datetime) -> Page[LoginSession]:
        """Return a part of a user's living sessions, newest first."""
        living = select(LoginSession).where(LoginSession.user_id == user_id, LoginSession.expires_at > now)
        page = await self.paged(living, window, _NEWEST_FIRST)
        return page.mapped(itemgetter(0))

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
