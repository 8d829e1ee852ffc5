"""Every statement about API keys, and the identity that each stands for."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from operator import itemgetter
from typing import Any, Final

from sqlalchemy import Row, bindparam, delete, or_, select, update

from tradepost.accounts.models import ApiKey, User
from tradepost.accounts.repository.users import SHOWN
from tradepost.core.database.elements import AmongIds, upsert
from tradepost.core.database.keyset import Order
from tradepost.core.database.locks import has_one_writer, lock_key_share, lock_no_key_update
from tradepost.core.database.repository import ByKeys, Repository
from tradepost.core.wire.pagination import Page, Window

KeyIdentityRow = Row[*tuple[Any, ...]]
"""What is checked of a key, its columns prefixed with ``key_``, and every column of its user that somebody is shown."""

_CHECKED: Final = (
    ApiKey.id.label("key_id"),
    ApiKey.prefix.label("key_prefix"),
    ApiKey.secret_hash.label("key_secret_hash"),
    ApiKey.permissions.label("key_permissions"),
    ApiKey.rate_limit.label("key_rate_limit"),
    ApiKey.load_test.label("key_load_test"),
    ApiKey.expires_at.label("key_end"),
    ApiKey.last_used_at.label("key_last_used_at"),
)
_IDENTITIES: Final = ByKeys(select(*_CHECKED, *SHOWN).join(User, User.id == ApiKey.user_id), ApiKey.prefix)
_LIVING: Final = (
    select(ApiKey.id)
    .join(User, User.id == ApiKey.user_id)
    .where(
        AmongIds(ApiKey.id),
        or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > bindparam("now", type_=ApiKey.expires_at.type)),
        User.is_active,
    )
)
_NEWEST_FIRST: Final = Order("-id", {"id": ApiKey.id}, ties=ApiKey.id)


class ApiKeyRepository(Repository):
    """API keys."""

    async def find_identities(self, prefixes: Sequence[str]) -> Sequence[KeyIdentityRow]:
        """Return the keys with these prefixes, and their users."""
        return await self.rows(*_IDENTITIES.asked(prefixes))

    async def find_living(self, key_ids: Collection[int], *, now: datetime) -> Sequence[int]:
        """Return which of these keys still hold."""
        return (await self.db.scalars(_LIVING, {"ids": list(key_ids), "now": now})).all()

    async def find_slots(self, user_id: int) -> Sequence[int]:
        """Return which of a person's slots are taken."""
        return (await self.db.scalars(select(ApiKey.slot).where(ApiKey.user_id == user_id))).all()

    async def claim_slot(self, values: Mapping[str, Any]) -> ApiKey | None:
        """Insert a key unless its slot or its prefix is taken; a transaction that is taking it at this moment is waited for."""
        statement = upsert(ApiKey).values(**values).on_conflict_do_nothing().returning(ApiKey)
        return await self.db.scalar(statement)

    async def get(self, key_id: int, user_id: int) -> ApiKey | None:
        """Return a person's key of this id."""
        return await self.db.scalar(select(ApiKey).where(ApiKey.id == key_id, ApiKey.user_id == user_id))

    async def lock_key_share(self, key_id: int) -> bool:
        """Lock a key and its user FOR KEY SHARE until the transaction ends; False when the key was revoked."""
        held = select(ApiKey.id).join(User, User.id == ApiKey.user_id).where(ApiKey.id == key_id)
        return await self.db.scalar(lock_key_share(held, User, ApiKey)) is not None

    async def page_of(self, user_id: int, window: Window) -> Page[ApiKey]:
        """Return a part of a person's keys, newest first."""
        page = await self.paged(select(ApiKey).where(ApiKey.user_id == user_id), window, _NEWEST_FIRST)
        return page.mapped(itemgetter(0))

    async def delete(self, key_id: int, user_id: int) -> bool:
        """Delete a person's key of this id; tell whether there was one."""
        statement = delete(ApiKey).where(ApiKey.id == key_id, ApiKey.user_id == user_id)
        return await self.db.scalar(statement.returning(ApiKey.id)) is not None

    async def delete_all_of(self, user_id: int) -> int:
        """Delete every key of a person; return their number."""
        statement = delete(ApiKey).where(ApiKey.user_id == user_id).returning(ApiKey.id)
        return len((await self.db.scalars(statement)).all())

    async def delete_expired(self, before: datetime) -> None:
        """Delete the keys that ran out before a moment."""
        await self.db.execute(delete(ApiKey).where(ApiKey.expires_at < before))

    async def lock_free_no_key_update(self, key_ids: Collection[int]) -> Collection[int]:
        """Lock those of these keys that nobody else has locked, and return their ids; waits for nobody.

        On SQLite a transaction that writes is alone, and all ids are returned.
        """
        if has_one_writer(self.db):
            return key_ids
        wanted = select(ApiKey.id).where(AmongIds(ApiKey.id)).order_by(ApiKey.id)
        free = lock_no_key_update(wanted, ApiKey, skip_locked=True)
        return (await self.db.scalars(free, {"ids": list(key_ids)})).all()

    async def record_uses(self, uses: Mapping[int, datetime]) -> None:
        """Note when keys were last used; never an earlier moment than the one that is noted."""
        table = ApiKey.__table__
        at = bindparam("at", type_=ApiKey.last_used_at.type)
        statement = (
            update(table)  # type: ignore[arg-type]
            .where(table.c.id == bindparam("of_key"))
            .where(or_(table.c.last_used_at.is_(None), table.c.last_used_at < at))
            .values(last_used_at=at)
        )
        rows = [{"of_key": key_id, "at": moment} for key_id, moment in uses.items()]
        await (await self.db.connection()).execute(statement, rows)
