"""The lock hierarchy: every lock that a transaction takes, its strength, and the one order in which all take them.

Two transactions that take locks in opposite orders wait for each other until PostgreSQL ends one of them (a deadlock).
With one order for all there is no circle. ``LOCKS`` is that order, from the first to the last, and this module is the only
one that locks: ``tests/architecture`` finds a lock that is taken anywhere else, and ``tests/lock_order.py`` watches each
transaction of the tests and fails those that take a lock too late.

Rows of one table are locked in the order of their ids, or two transactions could meet in them crosswise. Locks that are
held alone come before the one that is shared: two that shared a row and then both asked for it alone would wait for each
other.

On SQLite a transaction that writes is the only one, from BEGIN on. Its SELECTs carry no lock, and statements that only
lock are not sent.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, TypeVar

from sqlalchemy import Boolean, ColumnElement, FromClause, Select, TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from tradepost.core.database.models import Base


class Strength(StrEnum):
    """How strong a lock is, in PostgreSQL's words."""

    WRITER = "BEGIN IMMEDIATE"
    """SQLite's lock of the whole database: one writer at a time; readers go on."""
    CONNECTION = "pg_try_advisory_lock"
    """A lock on a number, which a connection holds however many transactions it has; asked for in none, and never waited for."""
    ADVISORY = "pg_try_advisory_xact_lock"
    """A lock on a number, which means what we agree on; never waited for."""
    SHARE_ROW_EXCLUSIVE = "SHARE ROW EXCLUSIVE"
    """A lock of a table against all who write it; readers and the checks of foreign keys go on."""
    UPDATE = "FOR UPDATE"
    """Waits for everybody who has the row, those too who only keep it from being deleted."""
    NO_KEY_UPDATE = "FOR NO KEY UPDATE"
    """Waits for everybody but those who only keep the row from being deleted."""
    KEY_SHARE = "FOR KEY SHARE"
    """Keeps the row from being deleted, or from getting another key; waits for those who do that alone."""


@dataclass(frozen=True, slots=True)
class Lock:
    """A lock that is taken somewhere: on what, how strongly, and why.

    ``written``: no SELECT takes it, but the statement that writes the rows. ``each_reaction``: the reactions to a group of
    messages take it one after the other, each after whatever the one before took; ``why`` says what makes that safe.
    """

    on: str
    strength: Strength
    why: str
    written: bool = False
    each_reaction: bool = False


LOCKS: Final = (
    Lock(
        "sqlite",
        Strength.WRITER,
        "A transaction that reads before it writes would fail, not wait, when another has written in between.",
    ),
    Lock(
        "migrations",
        Strength.CONNECTION,
        "One process migrates at a time, however many start at once. Those that wait have no transaction open: building an "
        "index CONCURRENTLY waits for every older transaction.",
    ),
    Lock(
        "reactions",
        Strength.ADVISORY,
        "One dispatcher runs reactions at a time: they run in the order of their messages.",
    ),
    Lock(
        "idempotency keys",
        Strength.ADVISORY,
        "A request that is sent twice at once is done by one transaction; the other is told at once that it is under way.",
    ),
    Lock(
        "seeded tables",
        Strength.SHARE_ROW_EXCLUSIVE,
        "Many rows are written with ids that nobody else may take between them. The only thing locked in its transaction.",
    ),
    Lock(
        "named faults",
        Strength.SHARE_ROW_EXCLUSIVE,
        "No more than so many of all have names: they are counted before one is written, which admins do now and then.",
    ),
    Lock(
        "messages",
        Strength.UPDATE,
        "Who takes messages is alone with them. Always with SKIP LOCKED: nobody waits for a message.",
    ),
    Lock(
        "users",
        Strength.NO_KEY_UPDATE,
        "A role, an address or a password is changed in the light of what was read. Those who only refer to the user go on.",
    ),
    Lock(
        "users",
        Strength.UPDATE,
        "Nothing refers to a user any more who is to be deleted: what they take part in is found, left and handed on. After "
        "the lock on all admins, which one transaction at a time holds.",
    ),
    Lock(
        "users",
        Strength.KEY_SHARE,
        "The user whom a new row refers to is not deleted before the row is there. It waits for a deletion alone, and all "
        "that a deletion locks afterwards hangs on the user, whom a reaction has locked before anything of theirs, or is "
        "an event, which no reaction locks.",
        each_reaction=True,
    ),
    Lock(
        "second_factors",
        Strength.NO_KEY_UPDATE,
        "Wrong codes are counted one after the other, however many come at once. The only thing locked in its transaction.",
    ),
    Lock(
        "sessions",
        Strength.KEY_SHARE,
        "What outlives a session is written before the session is ended, or is refused.",
    ),
    Lock(
        "api_keys",
        Strength.NO_KEY_UPDATE,
        "Uses of many keys are noted in the order of their ids. Always with SKIP LOCKED: the deletion of a person locks all "
        "their keys.",
    ),
    Lock(
        "api_keys",
        Strength.KEY_SHARE,
        "What outlives a key is written before the key is revoked, or is refused.",
    ),
    Lock(
        "tree of categories",
        Strength.SHARE_ROW_EXCLUSIVE,
        "Rules about the whole tree (no circle, so many levels, unique slugs) hold only while nobody else changes it.",
    ),
    Lock(
        "categories",
        Strength.UPDATE,
        "An item that is being put into a category that is deleted is there by then, and moves too, or finds it gone.",
    ),
    Lock("categories", Strength.KEY_SHARE, "The category of an item that is written stays until it is."),
    Lock(
        "tags",
        Strength.UPDATE,
        "A tag that is renamed, merged or deleted reaches every item that bears it, those too that are written now.",
    ),
    Lock("tags", Strength.KEY_SHARE, "The tags of an item that is written keep their names until it is."),
    Lock(
        "items",
        Strength.UPDATE,
        "An item is changed in the light of what was read: its owner, its prices, its pictures.",
    ),
    Lock(
        "items",
        Strength.NO_KEY_UPDATE,
        "Many items are written at once: an UPDATE takes rows as they lie, so they are locked before it by their ids.",
    ),
    Lock(
        "events",
        Strength.UPDATE,
        "Seats are given out, and an event is changed, in the light of its counters, which agree with its participants.",
    ),
    Lock(
        "event_reminders",
        Strength.UPDATE,
        "A reminder that is being sent is sent by nobody else. Always with SKIP LOCKED: who cancels an event or changes its "
        "start waits for nothing but the end of that.",
    ),
    Lock(
        "webhooks",
        Strength.NO_KEY_UPDATE,
        "What became of several attempts at a webhook, and a change by its owner, are written one after the other.",
    ),
    Lock(
        "webhooks",
        Strength.KEY_SHARE,
        "A webhook that a delivery is planned for stays until that is written. It waits for a deletion alone, as with users.",
        each_reaction=True,
    ),
    Lock(
        "files",
        Strength.UPDATE,
        "A picture that a variant is made of is not doomed before the variant is counted among what goes with it, and "
        "many files are doomed in the order of their ids. A reaction dooms those of items and people that are gone: an "
        "upload that keeps such a file has ended before the item went, or waits for no usage, which went with the person.",
        each_reaction=True,
    ),
    Lock(
        "file_usage",
        Strength.NO_KEY_UPDATE,
        "The check of a quota and its use are one statement. A reaction that frees room waits for uploads, which take "
        "nothing after it, and for the deletion of the owner, who is locked before anything of theirs.",
        written=True,
        each_reaction=True,
    ),
    Lock(
        "idempotency_keys",
        Strength.UPDATE,
        "Keys that are too old are deleted many at once. Always with SKIP LOCKED: who deletes a person meets their keys in "
        "an order of its own. Whoever else changes a key has the only claim to it, or has locked the person before.",
    ),
    Lock(
        "inboxes",
        Strength.UPDATE,
        "Notifications that are counted as surplus are deleted before more are added. Always with SKIP LOCKED: who "
        "deletes a person locks all that is theirs, and might be the one whom a deadlock ends.",
    ),
    Lock(
        "inboxes",
        Strength.NO_KEY_UPDATE,
        "Numbers are given out without a gap, to one transaction at a time.",
        written=True,
    ),
    Lock(
        "notifications",
        Strength.UPDATE,
        "Two that mark the same rows as read would meet them in the order in which they lie.",
    ),
    Lock(
        "item_count_changes",
        Strength.UPDATE,
        "Differences are folded by one alone. Always with SKIP LOCKED: two that fold take each what the other left.",
    ),
    Lock(
        "item_counts",
        Strength.UPDATE,
        "A repair drops the counts of what has no items. Always with SKIP LOCKED: it has added to others already.",
    ),
    Lock(
        "item_counts",
        Strength.NO_KEY_UPDATE,
        "Counts are added to in the order of their keys. A job and a repair lock nothing after them. A writer whose trigger "
        "folds differences may, and no other writer waits for it: one folds at a time, and the others leave it alone.",
        written=True,
    ),
)
"""Every lock, in the order in which transactions take them; those held alone before the shared one of a table."""

ADVISORY_KEYS: Final[Mapping[str, int]] = {
    "reactions": 0x7472_6164_6570_7265,
    "migrations": 0x7472_6164_6570_6F73,
}
"""The numbers on which a PostgreSQL database knows the advisory locks."""

TAKEN: Final = "tradepost_locks"
"""The execution option in which a statement carries its locks, for those who watch their order."""
WAITS: Final = "tradepost_waits"
"""The execution option that tells whether a statement waits for its locks."""

S = TypeVar("S", bound=Select[*tuple[Any, ...]])

_BY_NAME: Final = {(lock.on, lock.strength): lock for lock in LOCKS}


def lock_of(on: str, strength: Strength) -> Lock:
    """Return the lock of this strength on this; it must be in the table, or nobody knows its place."""
    try:
        return _BY_NAME[on, strength]
    except KeyError:
        raise LookupError(f"{strength} on {on} has no place in the order of locks: add it to LOCKS") from None


def lock_for_update(rows: S, *models: type[Base], skip_locked: bool = False) -> S:
    """Lock what ``rows`` selects of these tables FOR UPDATE, until the transaction ends."""
    return _locked(rows, Strength.UPDATE, models, skip_locked=skip_locked)


def lock_no_key_update(rows: S, *models: type[Base], skip_locked: bool = False) -> S:
    """Lock what ``rows`` selects of these tables FOR NO KEY UPDATE, until the transaction ends."""
    return _locked(rows, Strength.NO_KEY_UPDATE, models, skip_locked=skip_locked, key_share=True)


def lock_key_share(rows: S, *models: type[Base]) -> S:
    """Lock what ``rows`` selects of these tables FOR KEY SHARE, until the transaction ends."""
    return _locked(rows, Strength.KEY_SHARE, models, read=True, key_share=True)


def _locked(
    rows: S, strength: Strength, models: tuple[type[Base], ...], *, skip_locked: bool = False, **options: bool
) -> S:
    locks = tuple(lock_of(model.__tablename__, strength) for model in models)
    locking = rows.with_for_update(of=models, skip_locked=skip_locked, **options)
    return locking.execution_options(**{TAKEN: locks, WAITS: not skip_locked})


async def lock_tables(db: AsyncSession, on: str, *tables: FromClause) -> None:
    """Let nobody else write these tables until the transaction ends; single rows can still be locked FOR KEY SHARE."""
    if has_one_writer(db):
        return
    lock = lock_of(on, Strength.SHARE_ROW_EXCLUSIVE)
    names = ", ".join(str(table) for table in tables)
    await db.execute(_carrying(text(f"LOCK TABLE {names} IN {lock.strength} MODE"), lock))


async def try_hold_advisory(connection: AsyncConnection, on: str) -> bool:
    """Have this advisory lock for the connection, without waiting and with no transaction open; on PostgreSQL only."""
    key = ADVISORY_KEYS[lock_of(on, Strength.CONNECTION).on]
    held = bool(await connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": key}))
    await connection.rollback()
    return held


async def let_go_of_advisory(connection: AsyncConnection, on: str) -> None:
    """Let go of what ``try_hold_advisory`` took."""
    await connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": ADVISORY_KEYS[on]})
    await connection.rollback()


async def try_hold_name(connection: Any, name: str) -> bool:
    """Have a name for a connection of asyncpg, until that is closed; held alone, beside no other lock, and without waiting."""
    return bool(await connection.fetchval("SELECT pg_try_advisory_lock(hashtextextended($1, 0))", name))


async def try_lock_advisory(db: AsyncSession, on: str) -> bool:
    """Be the only transaction with this advisory lock, without waiting; False when another has it."""
    if has_one_writer(db):
        return True
    lock = lock_of(on, Strength.ADVISORY)
    statement = _carrying(text("SELECT pg_try_advisory_xact_lock(:key)"), lock, waits=False)
    return bool(await db.scalar(statement, {"key": ADVISORY_KEYS[on]}))


class LockIfFree(FunctionElement[bool]):
    """Takes the advisory lock whose number a digest begins with, and tells whether it was free; for ``trying_advisory``."""

    type = Boolean()
    inherit_cache = True

    def __init__(self, digest: ColumnElement[bytes]) -> None:
        super().__init__(digest)


@compiles(LockIfFree, "postgresql")
def _tried(element: LockIfFree, compiler: SQLCompiler, **options: Any) -> str:
    (digest,) = (compiler.process(clause, **options) for clause in element.clauses)
    number = f"('x' || encode(substring({digest} FROM 1 FOR 8), 'hex'))::bit(64)::bigint"
    return f"pg_try_advisory_xact_lock({number})"


@compiles(LockIfFree, "sqlite")
def _alone(element: LockIfFree, compiler: SQLCompiler, **options: Any) -> str:
    (digest,) = (compiler.process(clause, **options) for clause in element.clauses)
    # Whoever writes is alone.
    return f"{digest} IS NOT NULL"


def trying_advisory(rows: S, on: str) -> S:
    """Have a statement with ``LockIfFree`` in it carry the lock that it takes."""
    return rows.execution_options(**{TAKEN: (lock_of(on, Strength.ADVISORY),), WAITS: False})


def _carrying(statement: TextClause, lock: Lock, *, waits: bool = True) -> TextClause:
    return statement.execution_options(**{TAKEN: (lock,), WAITS: waits})


def has_one_writer(db: AsyncSession) -> bool:
    """Tell whether a transaction that writes is alone on this engine, as on SQLite: a statement that only locks is idle."""
    return db.get_bind().dialect.name == "sqlite"
