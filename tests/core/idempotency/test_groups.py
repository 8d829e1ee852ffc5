"""Keys in a group commit: a group does each key once, and one that meets trouble spoils nobody else's work."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import pytest
from sqlalchemy import func, select

from tests.conftest import Person, World
from tradepost.core.database.sessions import WriteSession
from tradepost.core.errors import Conflict, TradepostError
from tradepost.core.idempotency.claim import Claim, Kept
from tradepost.core.idempotency.errors import IdempotencyInFlight, IdempotencyKeyReused
from tradepost.core.idempotency.groups import Keeping, Keyed, each_once
from tradepost.core.idempotency.keys import IdempotencyKeys
from tradepost.core.idempotency.models import IdempotencyKey

KEEPING = Keeping[int](keep=lambda number: Kept(201, b"%d" % number), read=lambda kept: int(kept.answer))


class Squares:
    """Squares numbers, and remembers which; refuses negative ones."""

    def __init__(self, world: World) -> None:
        self.done: list[int] = []
        self._keys = world.resources[IdempotencyKeys]
        self._database = world.database

    async def of(self, *jobs: Keyed[int]) -> list[int | TradepostError]:
        async with self._database.transaction() as db:
            return await self.within(db, *jobs)

    async def within(self, db: WriteSession, *jobs: Keyed[int]) -> list[int | TradepostError]:
        return await each_once(self._keys, db, jobs, self._work, KEEPING)

    async def _work(self, numbers: Sequence[int]) -> list[int | TradepostError]:
        self.done += numbers
        return [Conflict() if number < 0 else number * number for number in numbers]


def claim(person: Person, key: str, body: bytes = b"") -> Claim:
    return Claim(key.encode().ljust(32), person.id, lambda: body.ljust(32))


async def kept(world: World) -> int:
    async with world.database.read() as db:
        return await db.scalar(select(func.count()).select_from(IdempotencyKey)) or 0


async def test_a_group_does_each_key_once(world: World, alice: Person, bob: Person) -> None:
    squares = Squares(world)
    twins = [claim(alice, "a"), claim(alice, "a")]
    other = claim(alice, "a", b"another body")

    outcomes = await squares.of(
        Keyed(2, None), Keyed(3, twins[0]), Keyed(3, twins[1]), Keyed(4, other), Keyed(5, claim(bob, "b"))
    )

    assert [*outcomes[:3], outcomes[4]] == [4, 9, 9, 25]
    assert isinstance(outcomes[3], IdempotencyKeyReused)
    assert squares.done == [2, 3, 5]
    assert [one.replayed for one in twins] == [False, True]
    assert await kept(world) == 2

    again, late = claim(alice, "a"), claim(alice, "a", b"another body")
    outcomes = await squares.of(Keyed(3, again), Keyed(7, None), Keyed(8, late))
    assert outcomes[:2] == [9, 49]
    assert isinstance(outcomes[2], IdempotencyKeyReused)
    assert again.replayed
    assert squares.done == [2, 3, 5, 7]


async def test_what_is_refused_leaves_the_key_free(world: World, alice: Person) -> None:
    squares = Squares(world)
    twins = [claim(alice, "a"), claim(alice, "a")]
    refused = await squares.of(*(Keyed(-1, one) for one in twins), Keyed(3, claim(alice, "b")))
    assert [type(one) for one in refused[:2]] == [Conflict, Conflict]
    assert refused[2] == 9
    assert await kept(world) == 1
    assert await squares.of(Keyed(6, claim(alice, "a"))) == [36]


async def test_what_is_rolled_back_leaves_the_key_free(world: World, alice: Person) -> None:
    squares = Squares(world)

    async def fail_after_it() -> None:
        async with world.database.transaction() as db:
            assert await squares.within(db, Keyed(2, claim(alice, "a"))) == [4]
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fail_after_it()
    assert await kept(world) == 0
    first = claim(alice, "a")
    assert await squares.of(Keyed(2, first)) == [4]
    assert not first.replayed


async def test_a_key_in_another_transaction_is_in_flight_and_holds_nobody_up(
    world: World, alice: Person
) -> None:
    if world.engine == "sqlite":
        pytest.skip("one writer at a time")
    squares = Squares(world)
    async with world.database.transaction() as db:
        await squares.within(db, Keyed(2, claim(alice, "a")))
        outcomes = await asyncio.wait_for(
            squares.of(Keyed(2, claim(alice, "a")), Keyed(3, claim(alice, "b")), Keyed(4, None)), 5
        )
    assert isinstance(outcomes[0], IdempotencyInFlight)
    assert outcomes[1:] == [9, 16]
    assert await squares.of(Keyed(2, claim(alice, "a"))) == [4]
    assert squares.done == [2, 3, 4]


async def test_an_old_row_counts_for_nothing(world: World, alice: Person) -> None:
    squares = Squares(world)
    await squares.of(Keyed(2, claim(alice, "a", b"old")))
    world.clock.move(timedelta(hours=24, seconds=1).total_seconds())
    again = claim(alice, "a", b"new")
    assert await squares.of(Keyed(3, again)) == [9]
    assert not again.replayed
    assert await kept(world) == 1


async def test_one_statement_looks_up_a_hundred_keys_and_one_keeps_them(
    world: World, alice: Person, statements: object
) -> None:
    squares = Squares(world)
    with statements() as sent:  # type: ignore[operator]
        await squares.of(*(Keyed(at, claim(alice, f"key {at}")) for at in range(100)))
    assert len([one for one in sent if "idempotency_keys" in one]) == 2
    assert await kept(world) == 100


async def test_without_keys_no_statement_is_sent_for_them(world: World, statements: object) -> None:
    squares = Squares(world)
    with statements() as sent:  # type: ignore[operator]
        await squares.of(Keyed(1, None), Keyed(2, None))
    assert not [one for one in sent if "idempotency" in one]
