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
from tradepost.core.database.models import BigId, PortableJson, UtcDateTime
from tradepost.core.database.repository import Repository
from tradepost.core.idempotency.claim import Claim, Kept
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
# Not joined: PostgreSQL might read the whole table, which it takes for small until it is analyzed, to find some dozen keys.
_LOOK: Final = trying_advisory(
    select(
        _ASKED.c.digest,
        LockIfFree(_ASKED.c.digest).label("is_free"),
        select(IdempotencyKey.created_at)
        .where(IdempotencyKey.digest == _ASKED.c.digest)
        .scalar_subquery()
        .label("since"),
    ),
    "idempotency keys",
)
_FIND_MANY: Final = select(*_COLUMNS).where(
    IdempotencyKey.digest.in_(bindparam("digests", expanding=True, type_=LargeBinary()))
)


class _KeptRows(FunctionElement[Any]):
    """New rows as a table, in two parameters: ``keys`` has digest and fingerprint of each, one after the other, and ``rows`` the
    rest, an array of arrays, with the answer as text.

    A statement for each row costs PostgreSQL a third more, and us as much again for its parameters.
    """

    inherit_cache = True

    def __init__(self) -> None:
        super().__init__(bindparam("keys", type_=LargeBinary()), bindparam("rows", type_=PortableJson))


@compiles(_KeptRows, "postgresql")
def _cut_by_ordinality(element: _KeptRows, compiler: SQLCompiler, **options: Any) -> str:
    keys, rows = (compiler.process(clause, **options) for clause in element.clauses)
    at = f"(({2 * DIGEST_SIZE} * (nth - 1))::int + 1)"
    return (
        f"(SELECT substring({keys} FROM {at} FOR {DIGEST_SIZE}) AS digest,"  # noqa: S608 - two parameters
        f" substring({keys} FROM {at} + {DIGEST_SIZE} FOR {DIGEST_SIZE}) AS fingerprint,"
        " (kept ->> 0)::bigint AS user_id, (kept ->> 1)::smallint AS status, kept -> 2 AS headers,"
        " convert_to(kept ->> 3, 'UTF8') AS answer"
        f" FROM jsonb_array_elements({rows}) WITH ORDINALITY AS row (kept, nth))"
    )


@compiles(_KeptRows, "sqlite")
def _cut_by_key(element: _KeptRows, compiler: SQLCompiler, **options: Any) -> str:
    keys, rows = (compiler.process(clause, **options) for clause in element.clauses)
    at = f"{2 * DIGEST_SIZE} * key + 1"
    return (
        f"(SELECT substr({keys}, {at}, {DIGEST_SIZE}) AS digest,"  # noqa: S608 - likewise
        f" substr({keys}, {at} + {DIGEST_SIZE}, {DIGEST_SIZE}) AS fingerprint,"
        " json_extract(value, '$[0]') AS user_id, json_extract(value, '$[1]') AS status,"
        " json_extract(value, '$[2]') AS headers, CAST(json_extract(value, '$[3]') AS BLOB) AS answer"
        f" FROM json_each({rows}))"
    )


_PARTS: Final = ("digest", "fingerprint", "user_id", "status", "headers", "answer")
_KEPT: Final = _KeptRows().table_valued(*(column(name) for name in _PARTS), name="kept")
_ADD: Final = insert(_TABLE).from_select(
    [*_PARTS, "created_at"],
    select(*(_KEPT.c[name] for name in _PARTS), bindparam("created_at", type_=UtcDateTime())),
    include_defaults=False,
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
        looks = await self.rows(_LOOK, {"digests": b"".join(sorted(digests))})
        known = [look.digest for look in looks if look.since is not None]
        # Few are sent again, and only what those have kept is read.
        rows = await self.rows(_FIND_MANY, {"digests": known}) if known else ()
        by_digest = {row.digest: row for row in rows}
        return {look.digest: Look(look.is_free, by_digest.get(look.digest)) for look in looks}

    async def add(self, answered: Sequence[tuple[Claim, Kept]], *, at: datetime) -> None:
        """Insert keys with their answers, which are text, as JSON is."""
        keys = b"".join(claim.digest + claim.whole_fingerprint() for claim, _ in answered)
        rows = [(claim.user_id, kept.status, kept.headers, kept.answer.decode()) for claim, kept in answered]
        parameters = {"keys": keys, "rows": rows, "created_at": at}
        # Past the session, which would look for entities to insert.
        await self.db.run_sync(lambda session: session.connection().execute(_ADD, parameters))

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
