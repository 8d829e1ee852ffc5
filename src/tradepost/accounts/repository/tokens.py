"""Every statement about the tokens of one-time links."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import delete, exists, insert, select, update

from tradepost.accounts.models import AccountToken, TokenPurpose
from tradepost.core.database.repository import Repository


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

    async def is_reserved(self, email: str, *, now: datetime, but_for: int = 0) -> bool:
        """Tell whether somebody can still take this address back, whose account's it was; ``but_for`` one user."""
        kept = exists().where(
            AccountToken.email == email,
            AccountToken.purpose == TokenPurpose.UNDO_EMAIL,
            AccountToken.used_at.is_(None),
            AccountToken.expires_at > now,
            AccountToken.user_id != but_for,
        )
        return bool(await self.db.scalar(select(kept)))

    async def void_undoing(self, user_id: int, *, after: int, now: datetime) -> None:
        """Use up the tokens that would undo changes of a user's address that came after that of a token."""
        later = update(AccountToken).where(
            AccountToken.user_id == user_id,
            AccountToken.purpose == TokenPurpose.UNDO_EMAIL,
            AccountToken.id > after,
            AccountToken.used_at.is_(None),
        )
        await self.db.execute(later.values(used_at=now).execution_options(synchronize_session=False))

    async def void(self, user_id: int, *purposes: TokenPurpose, now: datetime) -> None:
        """Use up the tokens that a user still has for these purposes, or for any."""
        statement = update(AccountToken).where(
            AccountToken.user_id == user_id, AccountToken.used_at.is_(None)
        )
        if purposes:
            statement = statement.where(AccountToken.purpose.in_(purposes))
        await self.db.execute(statement.values(used_at=now).execution_options(synchronize_session=False))

    async def delete_expired(self, now: datetime) -> None:
        """Delete the tokens that have run out, used or not."""
        await self.db.execute(delete(AccountToken).where(AccountToken.expires_at <= now))
