"""The statements on idempotency keys."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, cast

from sqlalchemy import (
    LargeBinary,
    Row,
    String,
    Table,
    bindparam,
    column,
    delete,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from tradepost.core.database.elements import upsert
from tradepost.core.database.locks import LockIfFree, lock_for_update, trying_advisory
from tradepost.core.database.models import BigId, UtcDateTime
from tradepost.core.database.repository import Repository
from tradepost.core.idempotency.claim import Kept
from tradepost.core.idempotency.models import DIGEST_SIZE, IdempotencyKey, IdempotentPiece

KeyRow = Row[
    tuple[bytes, bytes | None, int | None, list[Any] | None, bytes | None, str | None, datetime, datetime]
]

_TABLE: Final = cast("Table", IdempotencyKey.__table__)
_COLUMNS: Final = (
    IdempotencyKey.digest,
    IdempotencyKey.fingerprint,
    IdempotencyKey.status,
    IdempotencyKey.headers,
    IdempotencyKey.answer,
    IdempotencyKey.lease,
    IdempotencyKey.lease_until,
    IdempotencyKey.created_at,
)
_FIND: Final = select(*_COLUMNS).where(IdempotencyKey.digest == bindparam("digest"))
_CLAIMED: Final[Mapping[str, Any]] = {
    "digest": LargeBinary(),
    "user_id": BigId,
    "fingerprint": LargeBinary(),
    "lease": String(),
    "lease_until": UtcDateTime(),
    "created_at": UtcDateTime(),
}
# One statement, so that nothing can come between the lock and the row. The lock is only asked for: those who would wait for a
# row that another transaction is inserting would hold a connection each.
_CLAIM: Final = (
    upsert(_TABLE)
    .from_select(
        list(_CLAIMED),
        trying_advisory(
            select(*(bindparam(name, type_=kind) for name, kind in _CLAIMED.items())).where(
                LockIfFree(bindparam("digest", type_=LargeBinary()))
            ),
            "idempotency keys",
        ),
        include_defaults=False,
    )
    .on_conflict_do_nothing()
    .returning(_TABLE.c.digest)
)


class _AskedDigests(FunctionElement[Any]):
    """The digests in the parameter ``digests``, one after the other in one string of bytes, as a table of one column.

    SQLite has no arrays, and its JSON holds no bytes.
    """

    inherit_cache = True

    def __init__(self) -> None:
        super().__init__(bindparam("digests", type_=LargeBinary()))


@compiles(_AskedDigests, "postgresql")
def _cut_by_series(element: _AskedDigests, compiler: SQLCompiler, **options: Any) -> str:
    (digests,) = (compiler.process(clause, **options) for clause in element.clauses)
    places = f"generate_series(1, length({digests}), {DIGEST_SIZE})"
    return f"(SELECT substring({digests} FROM place FOR {DIGEST_SIZE}) AS digest FROM {places} AS place)"  # noqa: S608 - a parameter


@compiles(_AskedDigests, "sqlite")
def _cut_by_recursion(element: _AskedDigests, compiler: SQLCompiler, **options: Any) -> str:
    (digests,) = (compiler.process(clause, **options) for clause in element.clauses)
    following = f"SELECT at + {DIGEST_SIZE} FROM places WHERE at + {DIGEST_SIZE} < length({digests})"  # noqa: S608 - likewise
    return (
        f"(WITH RECURSIVE places(at) AS (SELECT 1 UNION ALL {following})"  # noqa: S608 - likewise
        f" SELECT substr({digests}, at, {DIGEST_SIZE}) AS digest FROM places)"
    )


_ASKED: Final = _AskedDigests().table_valued(column("digest", LargeBinary()), name="asked")
_LOOK: Final = trying_advisory(
    select(
        _ASKED.c.digest.label("asked"), LockIfFree(_ASKED.c.digest).label("is_free"), *_COLUMNS
    ).outerjoin_from(_ASKED, IdempotencyKey, IdempotencyKey.digest == _ASKED.c.digest),
    "idempotency keys",
)


@dataclass(frozen=True, slots=True)
class Look:
    """What there is of a key: its row, and whether no other transaction is at work on it."""

    is_free: bool
    row: KeyRow | None


class KeyRepository(Repository):
    """Idempotency keys, each by its digest."""

    async def claim(self, row: Mapping[str, Any]) -> bool:
        """Insert a key without its answer; False when it is there, or another transaction is inserting it."""
        return bool(await self.db.scalar(_CLAIM, row))

    async def find(self, digest: bytes) -> KeyRow | None:
        """Return the row of a key."""
        rows = await self.rows(_FIND, {"digest": digest})
        return rows[0] if rows else None

    async def look(self, digests: Collection[bytes]) -> dict[bytes, Look]:
        """Return what there is of each of these keys, and take the locks of those that are free."""
        rows = await self.rows(_LOOK, {"digests": b"".join(sorted(digests))})
        return {row.asked: Look(row.is_free, None if row.digest is None else row) for row in rows}

    async def add(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert keys with their answers."""
        await self.db.execute(insert(_TABLE), rows)

    async def remove(self, digests: Collection[bytes]) -> None:
        """Delete these keys."""
        await self.db.execute(
            delete(IdempotencyKey)
            .where(IdempotencyKey.digest.in_(digests))
            .execution_options(synchronize_session=False)
        )

    async def take_over(self, seen: KeyRow, row: Mapping[str, Any]) -> bool:
        """Claim a key anew whose lease has ended, or which is too old to count; False when another was quicker."""
        taken = await self.db.scalar(
            update(IdempotencyKey)
            .where(
                IdempotencyKey.digest == seen.digest,
                IdempotencyKey.created_at == seen.created_at,
                IdempotencyKey.lease.is_not_distinct_from(seen.lease),
                IdempotencyKey.lease_until.is_not_distinct_from(seen.lease_until),
            )
            .values(
                fingerprint=row["fingerprint"],
                status=None,
                headers=None,
                answer=None,
                lease=row["lease"],
                lease_until=row["lease_until"],
                created_at=row["created_at"],
            )
            .returning(IdempotencyKey.digest)
            .execution_options(synchronize_session=False)
        )
        return taken is not None

    async def settle(self, digest: bytes, lease: str | None, *, fingerprint: bytes, kept: Kept) -> bool:
        """Keep the answer of a key that was claimed under this lease; False when another has taken it over."""
        settled = await self.db.scalar(
            update(IdempotencyKey)
            .where(IdempotencyKey.digest == digest, IdempotencyKey.lease == lease)
            .values(
                fingerprint=fingerprint,
                status=kept.status,
                headers=list(kept.headers),
                answer=kept.answer,
                lease=None,
                lease_until=None,
            )
            .returning(IdempotencyKey.digest)
            .execution_options(synchronize_session=False)
        )
        return settled is not None

    async def amend(self, digest: bytes, fingerprint: bytes | None, kept: Kept) -> None:
        """Keep another answer to the same request."""
        await self.db.execute(
            update(IdempotencyKey)
            .where(
                IdempotencyKey.digest == digest,
                IdempotencyKey.fingerprint == fingerprint,
                IdempotencyKey.status == kept.status,
            )
            .values(headers=list(kept.headers), answer=kept.answer)
            .execution_options(synchronize_session=False)
        )

    async def renew(self, digest: bytes, lease: str | None, *, until: datetime) -> bool:
        """Have a lease end later; False when it is none any more."""
        renewed = await self.db.scalar(
            update(IdempotencyKey)
            .where(IdempotencyKey.digest == digest, IdempotencyKey.lease == lease)
            .values(lease_until=until)
            .returning(IdempotencyKey.digest)
            .execution_options(synchronize_session=False)
        )
        return renewed is not None

    async def release(self, digest: bytes, lease: str | None) -> None:
        """Forget a key that was claimed under this lease."""
        await self.db.execute(
            delete(IdempotencyKey)
            .where(IdempotencyKey.digest == digest, IdempotencyKey.lease == lease)
            .execution_options(synchronize_session=False)
        )

    async def prune(self, *, before: datetime, limit: int) -> int:
        """Delete some of the keys that are older; return how many.

        A row that somebody else has locked waits for the next run: who deletes a person meets all that is theirs in an order
        of its own.
        """
        aged = lock_for_update(
            select(IdempotencyKey.digest)
            .where(IdempotencyKey.created_at < before)
            .order_by(IdempotencyKey.created_at)
            .limit(limit),
            IdempotencyKey,
            skip_locked=True,
        )
        digests: Sequence[bytes] = (await self.db.scalars(aged)).all()
        if digests:
            await self.remove(digests)
        return len(digests)


class PieceRepository(Repository):
    """The pieces of work that is done in many transactions."""

    async def sums(self, digest: bytes) -> tuple[int, int, int]:
        """Return how many pieces there are, the last line in them, and how many things they made."""
        number, last, made = (
            await self.db.execute(
                select(
                    func.count(),
                    func.coalesce(func.max(IdempotentPiece.last), 0),
                    func.coalesce(func.sum(IdempotentPiece.made), 0),
                ).where(IdempotentPiece.digest == digest)
            )
        ).one()
        return number, last, int(made)

    async def answer(self, digest: bytes, number: int) -> bytes | None:
        """Return the answer of a piece, counted from 0."""
        return await self.db.scalar(
            select(IdempotentPiece.answer).where(
                IdempotentPiece.digest == digest, IdempotentPiece.number == number
            )
        )

    async def add(self, digest: bytes, number: int, answer: bytes, *, last: int, made: int) -> None:
        """Insert a piece."""
        piece = {
            "digest": digest,
            "number": number,
            "last": last,
            "made": made,
            "is_told": False,
            "answer": answer,
        }
        await self.db.execute(insert(cast("Table", IdempotentPiece.__table__)), piece)

    async def tell(self, digest: bytes) -> int:
        """Mark all pieces as told of; return how many things those made that were not."""
        told = await self.db.scalars(
            update(IdempotentPiece)
            .where(IdempotentPiece.digest == digest, IdempotentPiece.is_told.is_(False))
            .values(is_told=True)
            .returning(IdempotentPiece.made)
            .execution_options(synchronize_session=False)
        )
        return sum(told)

    async def remove(self, digest: bytes) -> None:
        """Delete the pieces of a key."""
        await self.db.execute(
            delete(IdempotentPiece)
            .where(IdempotentPiece.digest == digest)
            .execution_options(synchronize_session=False)
        )
