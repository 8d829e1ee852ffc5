"""Every statement about what proves a person: the password's hash, and the address that reaches them."""

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import func, select, update

from tradepost.accounts.models import User
from tradepost.core.database.locks import lock_key_share, lock_no_key_update
from tradepost.core.database.repository import Repository


class CredentialRepository(Repository):
    """Addresses and passwords of users."""

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

    async def lock_address_no_key_update(self, user_id: int, email: str) -> bool:
        """Tell whether the user is active and has this address, and keep it so until the transaction ends."""
        held = select(User.id).where(User.id == user_id, User.email == email, User.is_active)
        return await self.db.scalar(lock_no_key_update(held, User)) is not None

    async def lock_password_no_key_update(self, user_id: int, *, seen: str) -> bool:
        """Tell whether the user is active with the hash that was ``seen``, and keep it so until the transaction ends.

        Exclusive: two transactions that shared it and then both wrote the row would deadlock.
        """
        unchanged = select(User.id).where(User.id == user_id, User.hashed_password == seen, User.is_active)
        return await self.db.scalar(lock_no_key_update(unchanged, User)) is not None

    async def replace_password(self, user_id: int, *, seen: str, hashed: str, now: datetime) -> bool:
        """Set a new hash if the one in force is still the one that was ``seen``; tell whether it was."""
        statement = (
            update(User)
            .where(User.id == user_id, User.hashed_password == seen, User.is_active)
            .values(hashed_password=hashed, updated_at=now, version=User.version + 1)
            .returning(User.id)
        )
        return await self.db.scalar(statement) is not None

    async def set_password(self, user_id: int, *, hashed: str, now: datetime) -> bool:
        """Set a new hash, whatever the one in force; tell whether there is such a user."""
        changed = update(User).where(User.id == user_id)
        changed = changed.values(hashed_password=hashed, updated_at=now, version=User.version + 1)
        return await self.db.scalar(changed.returning(User.id)) is not None

    async def reset_password(self, user_id: int, *, hashed: str, now: datetime) -> None:
        """Set a new hash, and note the address as proved: the link of a reset reached its reader."""
        proved = func.coalesce(User.email_verified_at, now)
        changed = update(User).where(User.id == user_id)
        await self.db.execute(
            changed.values(
                hashed_password=hashed, updated_at=now, version=User.version + 1, email_verified_at=proved
            )
        )

    async def rehash(self, user_id: int, *, seen: str, hashed: str) -> None:
        """Keep the same password under newer parameters, unless it was changed meanwhile."""
        await self.db.execute(
            update(User)
            .where(User.id == user_id, User.hashed_password == seen)
            .values(hashed_password=hashed)
        )

    async def verify_email(self, user_id: int, *, now: datetime) -> None:
        """Note when the address was proved, unless it was before."""
        await self.db.execute(
            update(User)
            .where(User.id == user_id, User.email_verified_at.is_(None))
            .values(email_verified_at=now, updated_at=now, version=User.version + 1)
        )
