"""Online steps of a migration: what a revision does outside of its transaction, so that writers go on beside it.

A revision is one transaction. These helpers commit it and begin another one after their work, and the number of the
revision is written in the last one. A process that is killed in between leaves the database at the revision before, and the
next migrator runs the revision again from its first line: so a revision that calls one of them calls nothing else, and
each of them knows what it has done already. What needs both (a column, and values for it) is two revisions.
"""

import asyncio
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, TypeVar

import sqlalchemy as sa
from alembic import op
from sqlalchemy import Connection, event, exc, text
from sqlalchemy.util import await_only

from tradepost.core.database.faults import UNDONE_STATES, violation_code

PASSING: Final = frozenset({*UNDONE_STATES, "55P03"})
"""What another transaction's locks do to a step: it is taken back and tried again."""
PAUSE: Final = 1.0
"""Seconds until a step that found a lock taken is tried again: those who queued up behind it go first."""
PATIENCE: Final = 600.0
"""Seconds after which a step that never gets its locks is given up."""
ROWS: Final = 1000
"""Rows of the first batch of a back-fill."""
MOST_ROWS: Final = 50_000
BATCH_SECONDS: Final = 0.2
"""How long a batch should take: on SQLite every other writer waits for it."""
PROGRESS: Final = sa.table(
    "migration_progress", sa.column("step", sa.String()), sa.column("done_to", sa.BigInteger())
)
"""How far the back-fills of the revision under way have come; it is gone when the revision is done."""

_STATE: Final = "tradepost_migration"
_DROP_TRIGGER: Final = re.compile(
    r"\s*DROP\s+TRIGGER\s+(IF\s+EXISTS\s+)?[\"`\[]?(?P<name>\w+)", re.IGNORECASE
)

T = TypeVar("T")


@dataclass
class _Part:
    """What is known of SQLite's file at the beginning of one of a migration's transactions."""

    sequences: Sequence[tuple[str, int]] = ()
    changes: int = 0
    pages: frozenset[tuple[str, int]] = frozenset()
    virtual: int = 0
    triggers: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """By name: the table, and the statement that makes it."""
    dropped: set[str] = field(default_factory=set)
    """Triggers that the migration drops by their names."""


def begin_part(connection: Connection) -> None:
    """Begin one of a migration's transactions."""
    connection.begin()
    if connection.dialect.name != "sqlite":
        return
    pages = _pages(connection)
    numbered = any(name == "sqlite_sequence" for name, _ in pages)
    sequences = connection.execute(text("SELECT name, seq FROM sqlite_sequence")).all() if numbered else []
    connection.info[_STATE] = _Part(
        sequences=[(name, number) for name, number in sequences],
        changes=connection.scalar(text("SELECT total_changes()")) or 0,
        pages=pages,
        virtual=sum(page == 0 for _, page in pages),
        triggers=_triggers(connection),
    )
    if not event.contains(connection, "before_cursor_execute", _note_dropped):
        event.listen(connection, "before_cursor_execute", _note_dropped)


def end_part(connection: Connection) -> None:
    """Commit one of a migration's transactions.

    On SQLite, a table that it rebuilt must not hand out the ids of deleted rows again, and gets back its triggers; and
    foreign keys are off, or rebuilding a table would delete what hangs on it, so they are checked if a row was written or a
    table went.
    """
    if connection.dialect.name == "sqlite":
        part: _Part = connection.info.pop(_STATE)
        pages = _pages(connection)
        changes = connection.scalar(text("SELECT total_changes()")) or 0
        # One row is the revision's own, and each virtual table for full-text search writes three when it is made.
        allowed = 1 + 3 * max(0, sum(page == 0 for _, page in pages) - part.virtual)
        touched = changes - part.changes > allowed or not part.pages <= pages
        if touched and connection.execute(text("PRAGMA foreign_key_check")).first() is not None:
            message = "the migration left rows that refer to nothing; it was taken back"
            raise RuntimeError(message)
        for name, number in part.sequences if touched else ():
            connection.execute(
                text("UPDATE sqlite_sequence SET seq = max(seq, :number) WHERE name = :name"),
                {"name": name, "number": number},
            )
        _restore_triggers(connection, part, pages)
    connection.commit()


def _note_dropped(connection: Connection, _cursor: Any, statement: str, *_rest: Any) -> None:
    part: _Part | None = connection.info.get(_STATE)
    found = _DROP_TRIGGER.match(statement)
    if part is not None and found is not None:
        part.dropped.add(found["name"])


def _triggers(connection: Connection) -> dict[str, tuple[str, str]]:
    found = connection.execute(text("SELECT name, tbl_name, sql FROM sqlite_master WHERE type = 'trigger'"))
    return {name: (table, statement) for name, table, statement in found}


def _restore_triggers(connection: Connection, part: _Part, pages: frozenset[tuple[str, int]]) -> None:
    """Make the triggers of rebuilt tables again: SQLite drops them with the old table.

    Not those that the migration dropped itself, nor those that speak of a table that is gone, which went with it.
    """
    names = {name for name, _ in pages}
    rebuilt = names & {name for name, _ in part.pages - pages}
    gone = {name for name, _ in part.pages} - names
    left = _triggers(connection)
    for name, (table, statement) in part.triggers.items():
        is_wanted = name not in left and name not in part.dropped and table in rebuilt
        if is_wanted and not gone & set(re.findall(r"\w+", statement)):
            connection.exec_driver_sql(statement)


def _pages(connection: Connection) -> frozenset[tuple[str, int]]:
    """Return every table with the page at which it begins: one that is rebuilt begins at another."""
    found = connection.execute(text("SELECT name, rootpage FROM sqlite_master WHERE type = 'table'"))
    return frozenset((name, page) for name, page in found)


def end_revision(connection: Connection) -> None:
    """Commit what a revision did, with its number."""
    if connection.info.pop(PROGRESS.name, False):
        op.drop_table(PROGRESS.name, if_exists=True)
    end_part(connection)


@contextmanager
def outside_transaction() -> Iterator[Connection]:
    """Commit the revision's transaction so far, and begin the next one after the block."""
    connection = op.get_bind()
    end_part(connection)
    # Rows are written here, and nothing is rebuilt: the database itself keeps them right, without a check of all.
    _foreign_keys(connection, "ON")
    try:
        yield connection
    except BaseException:
        connection.rollback()
        raise
    finally:
        _foreign_keys(connection, "OFF")
    begin_part(connection)


def _foreign_keys(connection: Connection, state: str) -> None:
    if connection.dialect.name == "sqlite":
        # To the driver: SQLAlchemy would begin a transaction, in which this does nothing.
        cursor: Any = connection.connection.cursor()
        cursor.execute(f"PRAGMA foreign_keys = {state}")
        cursor.close()


def create_index_online(name: str, table: str, columns: list[str | sa.TextClause], **options: Any) -> None:
    """Make an index while rows are written: CONCURRENTLY on PostgreSQL, in a transaction of its own on SQLite.

    One that a killed process left half-made is invalid: it costs every write and answers no question, so it is dropped and
    made again. ``options`` are those of Alembic's ``create_index``.
    """
    with outside_transaction() as connection:
        if connection.dialect.name == "sqlite":
            with connection.begin():
                op.create_index(name, table, columns, if_not_exists=True, **options)
            return
        with _autocommitting(connection):
            is_valid = connection.scalar(
                text("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(:name)"), {"name": name}
            )
            if is_valid:
                return
            if is_valid is not None:
                op.drop_index(name, table, postgresql_concurrently=True)
            op.create_index(name, table, columns, postgresql_concurrently=True, **options)


def drop_index_online(name: str, table: str) -> None:
    """Drop an index, if it is there, while rows are written."""
    with outside_transaction() as connection:
        if connection.dialect.name == "sqlite":
            with connection.begin():
                op.drop_index(name, table, if_exists=True)
            return
        with _autocommitting(connection):
            op.drop_index(name, table, postgresql_concurrently=True, if_exists=True)


@contextmanager
def _autocommitting(connection: Connection) -> Iterator[None]:
    """Run each statement by itself, however long it waits for older transactions: nobody queues up behind it."""
    usual = connection.default_isolation_level
    connection.execution_options(isolation_level="AUTOCOMMIT")
    limit = connection.scalar(text("SHOW lock_timeout"))
    connection.execute(text("SET lock_timeout = 0"))
    try:
        yield
    finally:
        connection.rollback()
        connection.execute(text(f"SET lock_timeout = '{limit}'"))
        connection.rollback()
        connection.execution_options(isolation_level=usual)


Fill = Callable[[Connection, int, int], object]
"""Writes the values of a batch: it gets the connection, and the batch's first and last id."""


def back_fill(step: str, table: str, fill: Fill) -> None:
    """Write values into the rows that exist, in batches: each a short transaction over a range of ids.

    How far it has come is written with each batch, under the name ``step``, so a killed migration goes on where it was. Rows
    that others add meanwhile have higher ids, or were not committed when their range was read: either the release that
    adds them writes the values too, or something has to find such rows later.
    """
    time = asyncio.get_running_loop().time
    with outside_transaction() as connection:
        with connection.begin():
            op.create_table(
                PROGRESS.name,
                sa.Column("step", sa.String(100), primary_key=True),
                sa.Column("done_to", sa.BigInteger(), nullable=False),
                if_not_exists=True,
            )
            done = connection.scalar(sa.select(PROGRESS.c.done_to).where(PROGRESS.c.step == step))
            if done is None:
                connection.execute(PROGRESS.insert().values(step=step, done_to=0))
        ids = sa.table(table, sa.column("id", sa.BigInteger())).c.id
        rows = ROWS
        while True:
            began = time()
            following = sa.select(ids).where(ids > (done or 0)).order_by(ids).limit(rows)
            done = patiently(connection, partial(_batch, connection, step, following.subquery(), fill))
            if done is None:
                break
            took = time() - began
            if took < BATCH_SECONDS / 2:
                rows = min(rows * 2, MOST_ROWS)
            elif took > BATCH_SECONDS:
                rows = max(rows // 2, 100)
            # SQLite's other writers ask for their turn now and then; without a pause they would hardly find one.
            await_only(asyncio.sleep(took / 2))
    op.get_bind().info[PROGRESS.name] = True


def _batch(connection: Connection, step: str, batch: sa.Subquery, fill: Fill) -> int | None:
    """Fill the rows of a batch; return the last one's id, None when there is none."""
    with connection.begin():
        ends = sa.select(sa.func.min(batch.c.id), sa.func.max(batch.c.id))
        first, last = connection.execute(ends).one()
        if last is None:
            return None
        fill(connection, first, last)
        connection.execute(PROGRESS.update().where(PROGRESS.c.step == step).values(done_to=last))
    return int(last)


def patiently(connection: Connection, work: Callable[[], T]) -> T:
    """Do ``work``, again and again while others' locks are in its way; nobody waits behind it in the pauses."""
    time = asyncio.get_running_loop().time
    give_up = time() + PATIENCE
    while True:
        try:
            return work()
        except exc.DBAPIError as error:
            connection.rollback()
            if violation_code(error) not in PASSING or time() > give_up:
                raise
        await_only(asyncio.sleep(PAUSE))
