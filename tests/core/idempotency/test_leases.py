"""Keys under a lease: who holds one is alone, who is silent loses it, and who has lost it settles nothing."""

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import func, select

from tests.conftest import Person, World
from tradepost.core.errors import Conflict
from tradepost.core.idempotency.claim import Claim, Kept, Replayed, settle
from tradepost.core.idempotency.errors import IdempotencyInFlight
from tradepost.core.idempotency.keys import LEASE, IdempotencyKeys
from tradepost.core.idempotency.leases import KeyLeases
from tradepost.core.idempotency.models import IdempotencyKey
from tradepost.tags.models import Tag

SILENT = LEASE + timedelta(seconds=1)
DONE = Kept(200, b"done", (("content-type", "application/json"),))


def claim(person: Person, body: bytes = b"") -> Claim:
    return Claim(b"a".ljust(32), person.id, lambda: body.ljust(32))


async def rows(world: World) -> int:
    async with world.database.read() as db:
        return await db.scalar(select(func.count()).select_from(IdempotencyKey)) or 0


async def refuse(leases: KeyLeases, wanted: Claim, *, with_error: type[Exception]) -> Exception:
    async def ask() -> None:
        async with leases.held(wanted):
            raise AssertionError("it was held")

    with pytest.raises(with_error) as refused:
        await ask()
    return refused.value


async def test_who_holds_a_key_is_alone(world: World, alice: Person) -> None:
    leases = world.resources[KeyLeases]
    async with leases.held(claim(alice)):
        refused = await refuse(leases, claim(alice), with_error=IdempotencyInFlight)
        assert refused.headers == {"Retry-After": "5"}  # type: ignore[attr-defined]
    assert await rows(world) == 0
    async with leases.held(claim(alice)):
        pass


async def test_what_fails_leaves_the_key_free(world: World, alice: Person) -> None:
    leases = world.resources[KeyLeases]

    async def fail() -> None:
        async with leases.held(claim(alice)):
            raise Conflict

    with pytest.raises(Conflict):
        await fail()
    held = asyncio.Event()
    task = asyncio.create_task(hold_for_ever(leases, claim(alice), held))
    await held.wait()
    assert await rows(world) == 1
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert await rows(world) == 0


async def hold_for_ever(leases: KeyLeases, wanted: Claim, held: asyncio.Event) -> None:
    async with leases.held(wanted):
        held.set()
        await asyncio.Event().wait()


async def test_a_settled_key_is_answered(world: World, alice: Person) -> None:
    leases, first = world.resources[KeyLeases], claim(alice)
    async with leases.held(first):
        async with world.database.transaction() as db:
            await settle(db, first, lambda: b"done")
        # The same once more costs no statement, more is kept in its place.
        await leases.complete(first, DONE)
        await leases.complete(first, Kept(200, b"done", (*DONE.headers, ("etag", '"1-a"'))))
    replayed = await refuse(leases, claim(alice), with_error=Replayed)
    assert isinstance(replayed, Replayed)
    assert dict(replayed.kept.headers)["etag"] == '"1-a"'
    assert (replayed.kept.status, replayed.kept.answer) == (200, b"done")


async def test_who_was_silent_for_too_long_settles_nothing(world: World, alice: Person) -> None:
    leases, first, second = world.resources[KeyLeases], claim(alice), claim(alice, b"another request")
    now = world.clock.now()

    async def work_too_late() -> None:
        async with world.database.transaction() as db:
            db.add(Tag(name="lamp", created_at=now, updated_at=now))
            await settle(db, first, lambda: b"late")

    async with leases.held(first):
        world.clock.move(SILENT.total_seconds())
        async with leases.held(second):
            with pytest.raises(IdempotencyInFlight):
                await work_too_late()
            async with world.database.transaction() as db:
                await settle(db, second, lambda: b"done")
        # What is kept already stays.
        await leases.complete(first, Kept(200, b"late"))
    async with world.database.read() as reading:
        assert await reading.scalar(select(IdempotencyKey.answer)) == b"done"
        assert await reading.scalar(select(func.count()).select_from(Tag)) == 0


async def test_a_sign_of_life_keeps_the_key(world: World, alice: Person) -> None:
    leases = KeyLeases(world.database, world.resources[IdempotencyKeys], renewal=timedelta(milliseconds=5))
    async with leases.held(claim(alice)):
        world.clock.move((SILENT / 2).total_seconds())
        # A renewal under way may have looked at the clock before: what counts is one that did so after.
        moved, until = world.clock.now(), None
        while until is None or until < moved + LEASE:
            await asyncio.sleep(0.005)
            async with world.database.read() as db:
                until = await db.scalar(select(IdempotencyKey.lease_until))
        world.clock.move((SILENT / 2).total_seconds())
        await refuse(leases, claim(alice), with_error=IdempotencyInFlight)


async def test_a_person_who_is_gone_holds_no_key(world: World, alice: Person, admin: Person) -> None:
    leases = world.resources[KeyLeases]
    mine = claim(alice)
    assert (await admin.api.delete(f"/api/v1/users/{alice.id}")).status_code == 200
    refused = await refuse(leases, mine, with_error=Exception)
    assert getattr(refused, "status", None) == 401
