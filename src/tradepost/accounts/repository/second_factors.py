"""Every statement about second factors, and the recovery codes that stand in for them."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import delete, func, insert, select, update

from tradepost.accounts.models import RecoveryCode, SecondFactor
from tradepost.core.database.elements import AmongIds, upsert
from tradepost.core.database.locks import lock_no_key_update
from tradepost.core.database.repository import Repository

_CONFIRMED = select(SecondFactor.user_id).where(
    AmongIds(SecondFactor.user_id), SecondFactor.confirmed_at.is_not(None)
)


class SecondFactorRepository(Repository):
    """Second factors, one for each person at the most."""

    async def begin(self, user_id: int, *, secret: str, now: datetime) -> bool:
        """Keep a sealed secret that is yet to be confirmed, in place of another such; False when one is in force."""
        statement = upsert(SecondFactor).values(
            user_id=user_id, secret=secret, last_step=0, failures=[], created_at=now
        )
        statement = statement.on_conflict_do_update(
            index_elements=["user_id"],
            set_={"secret": secret, "created_at": now},
            where=SecondFactor.confirmed_at.is_(None),
        )
        return await self.db.scalar(statement.returning(SecondFactor.user_id)) is not None

    async def lock_no_key_update(self, user_id: int) -> SecondFactor | None:
        """Return a person's second factor, confirmed or not, locked until the transaction ends."""
        held = select(SecondFactor).where(SecondFactor.user_id == user_id)
        return await self.db.scalar(lock_no_key_update(held, SecondFactor))

    async def is_confirmed(self, user_id: int) -> bool:
        """Tell whether a person has a second factor in force."""
        return bool(await self.find_confirmed([user_id]))

    async def find_confirmed(self, user_ids: Sequence[int]) -> Sequence[int]:
        """Return which of these people have a second factor in force."""
        return (await self.db.scalars(_CONFIRMED, {"ids": list(user_ids)})).all()

    async def get_state(self, user_id: int) -> tuple[datetime | None, int]:
        """Return since when a person has a second factor in force, None without one, and how many recovery codes are left."""
        left = select(func.count()).where(RecoveryCode.user_id == user_id).scalar_subquery()
        found = await self.db.execute(
            select(SecondFactor.confirmed_at, left).where(SecondFactor.user_id == user_id)
        )
        row = found.one_or_none()
        return (None, 0) if row is None else (row[0], row[1])

    async def note_failures(self, user_id: int, failures: Sequence[int]) -> None:
        """Keep the moments of wrong codes; the row is locked."""
        await self.db.execute(
            update(SecondFactor).where(SecondFactor.user_id == user_id).values(failures=list(failures))
        )

    async def use_step(self, user_id: int, step: int, *, seen: str, secret: str) -> bool:
        """Use up the code of a step, and all before it; tell whether it was still good.

        The sealed secret has to be the one that was ``seen``, and is kept anew as ``secret``.
        """
        good = update(SecondFactor).where(
            SecondFactor.user_id == user_id,
            SecondFactor.secret == seen,
            SecondFactor.confirmed_at.is_not(None),
            SecondFactor.last_step < step,
        )
        good = good.values(last_step=step, secret=secret, failures=[]).returning(SecondFactor.user_id)
        return await self.db.scalar(good.execution_options(synchronize_session=False)) is not None

    async def confirm(self, user_id: int, step: int, *, seen: str, now: datetime) -> bool:
        """Put the secret that was ``seen`` in force and use up the code of a step; tell whether it was still to be confirmed."""
        pending = update(SecondFactor).where(
            SecondFactor.user_id == user_id,
            SecondFactor.secret == seen,
            SecondFactor.confirmed_at.is_(None),
        )
        pending = pending.values(last_step=step, confirmed_at=now, failures=[]).returning(
            SecondFactor.user_id
        )
        return await self.db.scalar(pending.execution_options(synchronize_session=False)) is not None

    async def delete(self, user_id: int) -> bool:
        """Delete a person's second factor with its recovery codes; tell whether it was in force."""
        gone = delete(SecondFactor).where(SecondFactor.user_id == user_id)
        gone = gone.execution_options(synchronize_session=False)
        return await self.db.scalar(gone.returning(SecondFactor.confirmed_at)) is not None

    async def add_codes(self, user_id: int, hashes: Sequence[str]) -> None:
        """Keep the hashes of recovery codes."""
        await self.db.execute(
            insert(RecoveryCode), [{"user_id": user_id, "code_hash": each} for each in hashes]
        )

    async def find_code_hashes(self, user_id: int) -> Sequence[str]:
        """Return the hashes of the recovery codes that are left."""
        left = select(RecoveryCode.code_hash).where(RecoveryCode.user_id == user_id)
        return (await self.db.scalars(left)).all()

    async def use_code(self, user_id: int, code_hash: str) -> int | None:
        """Use a recovery code up; return how many are left, None when this is none."""
        of_person = RecoveryCode.user_id == user_id
        used = delete(RecoveryCode).where(of_person, RecoveryCode.code_hash == code_hash)
        used = used.execution_options(synchronize_session=False)
        if await self.db.scalar(used.returning(RecoveryCode.user_id)) is None:
            return None
        await self.note_failures(user_id, [])
        return int(await self.db.scalar(select(func.count()).select_from(RecoveryCode).where(of_person)) or 0)
