"""The short way of a statement against SQLAlchemy's own: the same rows, the same errors, and a connection that stays good."""

import asyncio
import gc
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import (
    BigInteger,
    Boolean,
    Integer,
    Numeric,
    Select,
    String,
    bindparam,
    cast,
    func,
    insert,
    literal,
    null,
    select,
    text,
)
from sqlalchemy.exc import DBAPIError, IntegrityError

from tests.conftest import Person, World, forget_all
from tests.items.test_statement_counts import ENDPOINTS, fill
from tests.lock_order import LockWatch, WrongOrder
from tradepost.accounts.models import User
from tradepost.core.database import short_way
from tradepost.core.database.engines import Database
from tradepost.core.database.faults import translate, violation_code
from tradepost.core.database.locks import lock_for_update, lock_key_share
from tradepost.core.database.models import UtcDateTime
from tradepost.core.database.repository import ByKeys, Repository
from tradepost.core.database.sessions import ReadSession, WriteSession
from tradepost.core.database.short_way import Step
from tradepost.core.deadlines import Deadline, DeadlineExceeded, deadline
from tradepost.core.errors import DatabaseUnavailable
from tradepost.core.wire.folding import sort_key
from tradepost.tags.models import Tag


@pytest_asyncio.fixture
async def own(database: Database) -> AsyncIterator[Database]:
    """Connections, and statements that are known, of the test's own."""
    own = Database(database.options)
    yield own
    await own.close()


MOMENT = datetime(2026, 2, 3, 4, 5, 6, 789000, tzinfo=UTC)
VALUES = select(
    literal(7, Integer()).label("seven"),
    bindparam("text", type_=String()).label("text"),
    cast(bindparam("price", type_=Numeric(10, 2)), Numeric(10, 2)).label("price"),
    bindparam("moment", type_=UtcDateTime()).label("moment"),
    cast(bindparam("flag", type_=Boolean()), Boolean()).label("flag"),
    cast(null(), String).label("missing"),
    (bindparam("big", type_=BigInteger()) + literal(1, BigInteger())).label("one_more"),
)
GIVEN: dict[str, Any] = {"text": "a", "price": Decimal("1.50"), "moment": MOMENT, "flag": True, "big": 2**40}
OTHER: dict[str, Any] = {
    "text": "ß'\"\\",
    "price": Decimal("-0.01"),
    "moment": MOMENT.replace(year=1),
    "flag": False,
    "big": -1,
}


async def both_ways(
    own: Database, statement: Select[*tuple[Any, ...]], first: Any, second: Any
) -> list[list[Any]]:
    """Return the rows of the same question by SQLAlchemy's way and by the short one."""
    async with own.read() as db:
        await Repository(db).rows(statement, first)
        assert statement in own._executions  # type: ignore[operator]
        short = await Repository(db).rows(statement, second)
    async with ReadSession(own.read_engine, None) as db:
        return [list(await Repository(db).rows(statement, second)), list(short)]


async def test_values_of_every_kind(own: Database) -> None:
    theirs, ours = await both_ways(own, VALUES, GIVEN, OTHER)
    assert ours == theirs
    assert [type(value) for value in ours[0]] == [type(value) for value in theirs[0]]
    assert ours[0]._fields == theirs[0]._fields
    assert (ours[0].price, ours[0].moment, ours[0].flag) == (OTHER["price"], OTHER["moment"], OTHER["flag"])


@pytest.mark.parametrize("number", [0, 1, 3])
async def test_reads_by_keys(own: Database, number: int) -> None:
    now = datetime.now(UTC)
    async with own.transaction() as db:
        tags = [Tag(name=name, created_at=now, updated_at=now) for name in ("a", "b")]
        db.add_all(tags)
        await db.flush()
        keys = [*(tag.id for tag in tags), 2**40][:number]
    statement, values = ByKeys(select(Tag.id, Tag.name, Tag.created_at), Tag.id).asked(keys)
    theirs, ours = await both_ways(own, statement, values, values)
    assert sorted(ours) == sorted(theirs)
    assert [row.id for row in sorted(ours)] == keys[:2]


async def test_the_text_of_a_list_in_the_statement_is_never_kept(own: Database) -> None:
    statement = select(Tag.id).where(Tag.id.in_(bindparam("ids", expanding=True)))
    async with own.read() as db:
        await Repository(db).rows(statement, {"ids": [1]})
        assert statement not in own._executions  # type: ignore[operator]
        assert await Repository(db).rows(statement, {"ids": [1, 2, 3]}) == []


async def test_a_value_that_is_spelt_out_in_the_statement_is_never_kept(own: Database) -> None:
    statement = select(func.aggregate_strings(Tag.name, ", ")).where(Tag.name != bindparam("name"))
    async with own.read() as db:
        for _ in range(2):
            assert [tuple(row) for row in await Repository(db).rows(statement, {"name": ""})] == [(None,)]
        assert statement not in own._executions  # type: ignore[operator]


async def test_a_statement_that_is_made_for_one_use_takes_along_what_is_known_of_it(own: Database) -> None:
    async def ask() -> None:
        statement = select(Tag.id.label("of_one_use")).where(Tag.name == bindparam("name"))
        for opened in (own.read, own.transaction):
            async with opened() as db:
                for _ in range(2):
                    assert await Repository(db).rows(statement, {"name": "a"}) == []
        assert statement in own._executions  # type: ignore[operator]

    await ask()
    for engine in (own.engine, own.read_engine):
        # SQLAlchemy's own memory, which holds the first statement of each kind until others take its place.
        engine.sync_engine._compiled_cache.clear()  # type: ignore[union-attr]
    gc.collect()
    assert not own._executions


async def test_every_endpoint_answers_the_same_again(
    world: World, client: Any, alice: Person, admin: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first answer is by SQLAlchemy's way wherever a statement was not known, the second by the short one."""
    ids = await fill(world, alice, 3)
    callers = {"stranger": client, "owner": alice.api, "admin": admin.api}
    short: list[str] = []
    read = short_way.read

    async def counted(pooled: Any, engine: Any, execution: Any, given: Any, **options: Any) -> Any:
        short.append(execution.text)
        return await read(pooled, engine, execution, given, **options)

    monkeypatch.setattr(short_way, "read", counted)
    for who, path, _ in ENDPOINTS:
        known = world.database._executions
        assert known is not None
        known.clear()
        answers = []
        for _ in range(2):
            forget_all(world.resources)
            answers.append(await callers[who].get(path.format(**ids)))
        assert answers[0].status_code == 200
        assert answers[1].content == answers[0].content, path
    assert len(short) > len(ENDPOINTS) / 2


class TestErrors:
    """They are SQLAlchemy's, whichever way the statement went."""

    BROKEN: Select[Any] = select(
        (literal(1, Integer()) / cast(bindparam("by", type_=Integer()), Integer())).label("x")
    )

    async def test_of_a_statement(self, own: Database) -> None:
        if own.is_sqlite:
            statement: Select[Any] = select(func.json(bindparam("by", type_=String())))
            good: dict[str, Any] = {"by": "1"}
            bad: dict[str, Any] = {"by": "{"}
        else:
            statement, good, bad = self.BROKEN, {"by": 1}, {"by": 0}
        raised = []
        async with ReadSession(own.read_engine, None) as db:
            with pytest.raises(DBAPIError) as caught:
                await Repository(db).rows(statement, bad)
            raised.append(caught.value)
        async with own.read() as db:
            await Repository(db).rows(statement, good)
        async with own.read() as db:
            assert statement in own._executions  # type: ignore[operator]
            with pytest.raises(DBAPIError) as caught:
                await Repository(db).rows(statement, bad)
            raised.append(caught.value)
            assert len(await Repository(db).rows(statement, good)) == 1
        theirs, ours = raised
        assert type(ours) is type(theirs)
        assert type(ours.orig) is type(theirs.orig)
        assert getattr(ours.orig, "sqlstate", None) == getattr(theirs.orig, "sqlstate", None)
        assert not ours.connection_invalidated

    async def test_of_a_connection_that_broke_off(self, own: Database) -> None:
        if own.is_sqlite:
            pytest.skip("there is no connection that could break off")
        statement = select(func.pg_backend_pid().label("pid"))
        async with own.read() as db:
            ((pid,),) = await Repository(db).rows(statement)
            assert await Repository(db).rows(statement) == [(pid,)]
            async with own.engine.connect() as other:
                await other.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})
            with pytest.raises(DBAPIError) as caught:
                await Repository(db).rows(statement)
        assert isinstance(translate(caught.value), DatabaseUnavailable)
        assert caught.value.connection_invalidated
        async with own.read() as db:
            assert await Repository(db).rows(statement) != [(pid,)]

    async def test_a_deadline_is_no_error_of_the_database(self, own: Database) -> None:
        numbers = select(literal(1, Integer()).label("i")).cte("numbers", recursive=True)
        following = select(numbers.c.i + 1).where(numbers.c.i < bindparam("last", type_=Integer()))
        statement = select(func.count().label("n")).select_from(numbers.union_all(following))

        async def read(db: ReadSession) -> None:
            deadline.set(end)
            reading.set()
            await Repository(db).rows(statement, {"last": 2**30})

        async with own.read() as db, asyncio.timeout(20):
            assert await Repository(db).rows(statement, {"last": 3}) == [(3,)]
        async with own.read() as db, asyncio.timeout(20):
            assert statement in own._executions  # type: ignore[operator]
            end, reading = Deadline(), asyncio.Event()
            asked = end.task = asyncio.create_task(read(db))
            await reading.wait()
            await asyncio.sleep(0.1)
            end.end()
            with pytest.raises(DeadlineExceeded):
                await asked
            assert not db.is_broken
            assert await Repository(db).rows(statement, {"last": 3}) == [(3,)]

    async def test_a_cancelled_read_leaves_no_connection_behind(self, own: Database) -> None:
        if own.is_sqlite:
            pytest.skip("SQLite has no statement that takes its time")
        statement = select(func.pg_sleep(bindparam("seconds")).label("slept"))
        async with own.read() as db:
            await Repository(db).rows(statement, {"seconds": 0})

        async def read() -> None:
            async with own.read() as db:
                await Repository(db).rows(statement, {"seconds": 60})

        reading = asyncio.create_task(read())
        async with asyncio.timeout(10):
            while not own.read_gate.held:  # noqa: ASYNC110 - a gate tells nobody
                await asyncio.sleep(0)
            await asyncio.sleep(0.05)
            reading.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reading
            for _ in range(own.options.pool_size + 1):
                async with own.read() as db:
                    await Repository(db).rows(statement, {"seconds": 0})


class TestInATransaction:
    """A transaction takes the short way as well."""

    NEW = (
        insert(Tag)
        .values(
            name=bindparam("new", type_=String()),
            name_key=bindparam("new", type_=String()),
            created_at=bindparam("now", type_=UtcDateTime()),
            updated_at=bindparam("now", type_=UtcDateTime()),
            version=1,
        )
        .returning(Tag.name, Tag.created_at)
    )
    NAMES = select(Tag.name).order_by(Tag.name)

    async def test_what_it_writes_is_its_own_until_the_commit(self, own: Database) -> None:
        async with own.transaction() as db:
            (theirs,) = await Repository(db).rows(self.NEW, {"new": "a", "now": MOMENT})
            assert self.NEW in own._executions  # type: ignore[operator]
            (ours,) = await Repository(db).rows(self.NEW, {"new": "b", "now": MOMENT})
        assert theirs._fields == ours._fields
        assert [*theirs, *ours] == ["a", MOMENT, "b", MOMENT]

        async def fails() -> None:
            async with own.transaction() as db:
                await Repository(db).rows(self.NAMES)
                await Repository(db).rows(self.NEW, {"new": "c", "now": MOMENT})
                assert await Repository(db).rows(self.NAMES) == [("a",), ("b",), ("c",)]
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await fails()
        async with own.read() as reading:
            assert await Repository(reading).rows(self.NAMES) == [("a",), ("b",)]

    async def test_a_value_that_is_made_for_a_column_is_made_each_time(self, own: Database) -> None:
        new = insert(Tag).returning(Tag.name_key)
        async with own.transaction() as db:
            for name in "ab":
                values = {"name": name, "created_at": MOMENT, "updated_at": MOMENT, "version": 1}
                ((key,),) = await Repository(db).rows(new, values)
                assert key == sort_key(name)
        assert new not in own._executions  # type: ignore[operator]

    async def test_a_broken_constraint_takes_it_back(self, own: Database) -> None:
        async with own.transaction() as db:
            await Repository(db).rows(self.NEW, {"new": "a", "now": MOMENT})

        async def fails(name: str, *, short: bool) -> None:
            async with own.transaction() as db:
                await Repository(db).rows(self.NEW, {"new": name, "now": MOMENT})
                if not short:
                    own._executions.clear()  # type: ignore[union-attr]
                await Repository(db).rows(self.NEW, {"new": "a", "now": MOMENT})

        with pytest.raises(IntegrityError) as theirs:
            await fails("b", short=False)
        with pytest.raises(IntegrityError) as ours:
            await fails("c", short=True)
        assert type(ours.value.orig) is type(theirs.value.orig)
        assert violation_code(ours.value) == violation_code(theirs.value)
        assert (ours.value.statement, ours.value.connection_invalidated) == (theirs.value.statement, False)
        async with own.transaction() as db:
            assert await Repository(db).rows(self.NAMES) == [("a",)]

    async def test_a_savepoint_takes_it_back(self, own: Database) -> None:
        async with own.transaction() as db:
            await Repository(db).rows(self.NEW, {"new": "a", "now": MOMENT})
            async with db.begin_nested() as point:
                await Repository(db).rows(self.NEW, {"new": "b", "now": MOMENT})
                await point.rollback()
            async with db.begin_nested():
                await db.take([Step("UPDATE tags SET version = 2", ())])
                await Repository(db).rows(self.NEW, {"new": "c", "now": MOMENT})
            assert await Repository(db).rows(self.NAMES) == [("a",), ("c",)]
        async with own.read() as reading:
            assert await Repository(reading).rows(self.NAMES) == [("a",), ("c",)]

    async def test_a_broken_connection_is_dropped(self, own: Database) -> None:
        if own.is_sqlite:
            pytest.skip("there is no connection that could break off")
        statement = select(func.pg_backend_pid().label("pid"))
        lost: list[int] = []

        async def fails() -> None:
            async with own.transaction() as db:
                lost.extend((await Repository(db).rows(statement))[0])
                assert await Repository(db).rows(statement) == [tuple(lost)]
                async with own.engine.connect() as other:
                    await other.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": lost[0]})
                await Repository(db).rows(statement)

        with pytest.raises(DBAPIError) as caught:
            await fails()
        assert isinstance(translate(caught.value), DatabaseUnavailable)
        assert caught.value.connection_invalidated
        async with own.transaction() as db:
            assert await Repository(db).rows(statement) != [tuple(lost)]

    async def test_a_deadline_ends_its_statement_and_takes_it_back(self, own: Database) -> None:
        if own.is_sqlite:
            pytest.skip("SQLite has no statement that takes its time")
        statement = select(func.pg_sleep(bindparam("seconds")).label("slept"))
        begun, end = asyncio.Event(), Deadline()

        async def write() -> None:
            deadline.set(end)
            async with own.transaction() as db:
                await Repository(db).rows(self.NEW, {"new": "a", "now": MOMENT})
                await Repository(db).rows(statement, {"seconds": 0})
                begun.set()
                await Repository(db).rows(statement, {"seconds": 60})

        async with asyncio.timeout(20):
            asked = end.task = asyncio.create_task(write())
            await begun.wait()
            await asyncio.sleep(0.1)
            end.end()
            with pytest.raises(DeadlineExceeded):
                await asked
            async with own.transaction() as db:
                assert await Repository(db).rows(self.NAMES) == []

    async def test_its_locks_are_watched(self, own: Database, lock_watch: LockWatch) -> None:
        people, tags = lock_key_share(select(User.id), User), lock_for_update(select(Tag.id), Tag)

        async def lock(*statements: Select[int]) -> None:
            async with own.transaction() as db:
                for statement in (self.NAMES, *statements):
                    await Repository(db).rows(statement)

        await lock(people, tags)
        with lock_watch.expecting() as violations, pytest.raises(WrongOrder):
            await lock(tags, people)
        assert violations == ["FOR KEY SHARE on users is waited for while FOR UPDATE on tags is held"]


class TestSteps:
    """Statements that are sent together."""

    @pytest.mark.parametrize("sent", ["SELECT nothing", "INSERT INTO tags (name) VALUES (NULL)"])
    async def test_an_error_is_sqlalchemys(self, own: Database, sent: str) -> None:
        raised = []
        for executions in (None, own._executions):
            with pytest.raises(DBAPIError) as caught:
                async with WriteSession(own.engine, executions) as db:
                    await db.take([Step(sent, ())])
            raised.append(caught.value)
        theirs, ours = raised
        assert type(ours) is type(theirs)
        assert type(ours.orig) is type(theirs.orig)
        assert getattr(ours.orig, "sqlstate", None) == getattr(theirs.orig, "sqlstate", None)
        assert not ours.connection_invalidated
        async with own.transaction() as db:
            assert await db.take([Step("SELECT 1", ()), Step("SELECT 2", ())]) == [[(1,)], [(2,)]]

    async def test_a_connection_that_broke_off(self, own: Database) -> None:
        if own.is_sqlite:
            pytest.skip("there is no connection that could break off")
        asks = Step("SELECT pg_backend_pid()", ())
        async with own.transaction() as db:
            ((pid,),) = (await db.take([asks]))[0]
            async with own.engine.connect() as other:
                await other.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})
            with pytest.raises(DBAPIError) as caught:
                await db.take([asks])
            await db.rollback()
        assert isinstance(translate(caught.value), DatabaseUnavailable)
        assert caught.value.connection_invalidated
        async with own.transaction() as db:
            assert await db.take([asks]) != [[(pid,)]]

    async def test_a_deadline_ends_the_statement_and_not_the_connection(self, own: Database) -> None:
        endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"

        async def write() -> None:
            async with own.transaction() as db:
                await db.take([Step("SELECT 1", ())])
                deadline.set(end)
                writing.set()
                await db.take([Step("SELECT 2", ()), Step(endless, ())])

        end, writing = Deadline(), asyncio.Event()
        asked = end.task = asyncio.create_task(write())
        async with asyncio.timeout(20):
            await writing.wait()
            await asyncio.sleep(0.1)
            end.end()
            with pytest.raises(DeadlineExceeded):
                await asked
            async with own.transaction() as db:
                assert await db.take([Step("SELECT 1", ())]) == [[(1,)]]
