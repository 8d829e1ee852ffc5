"""Several at once, and processes that end in the middle: what is sent, and what is written down, then."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, text, update

from tests.conftest import NewPerson, Person, World
from tests.webhooks.conftest import Hook, NewHook, sell
from tests.webhooks.receiver import OK, Received, Receiver, answer, receiving, saying
from tradepost.core.database.locks import lock_for_update
from tradepost.core.messaging.dispatcher import Dispatcher
from tradepost.core.messaging.messages import Envelope, Postponed, Subscriptions
from tradepost.core.messaging.outbox import StoredMessage
from tradepost.items.messages import ItemCreated, ItemUpdated
from tradepost.webhooks.delivery import WebhookDeliverer
from tradepost.webhooks.dependencies import build_webhook_deliverer
from tradepost.webhooks.messages import WebhookDue
from tradepost.webhooks.models import WebhookDelivery


def due(line: dict[str, Any]) -> Envelope[WebhookDue]:
    return Envelope(1, WebhookDue(line["id"]), datetime.now(UTC))


async def ended(tasks: Sequence[asyncio.Task[None]], count: int) -> None:
    """Wait until so many of these tasks have ended."""
    running = set(tasks)
    while len(tasks) - len(running) < count:
        _, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)


class Gate:
    """A behaviour that holds requests until it is opened."""

    def __init__(self, said: bytes = OK) -> None:
        self.said = said
        self.arrived = asyncio.Semaphore(0)
        self.opened = asyncio.Event()

    async def __call__(self, _request: Received, writer: asyncio.StreamWriter) -> None:
        self.arrived.release()
        await self.opened.wait()
        writer.write(self.said)

    async def holds(self, count: int) -> None:
        """Wait until so many requests have come."""
        for _ in range(count):
            await self.arrived.acquire()


@pytest.fixture
def deliverers(world: World) -> Callable[[], WebhookDeliverer]:
    """Make what delivers, as several processes have it."""
    return lambda: build_webhook_deliverer(world.resources)


@pytest.fixture
def planned(world: World) -> Callable[[Hook, int], Any]:
    """Have deliveries planned, and leave them waiting."""

    async def plan(hook: Hook, count: int) -> list[dict[str, Any]]:
        for _ in range(count):
            await hook.post("/test")
        async with world.database.transaction() as db:
            await db.execute(
                update(WebhookDelivery)
                .where(WebhookDelivery.webhook_id == hook.id)
                .values(event_type="items.created")
            )
        lines = await hook.log()
        assert len(lines) == count
        return lines

    return plan


async def test_a_receiver_that_hangs_takes_no_place_of_another(
    new_person: NewPerson, new_hook: NewHook, deliverers: Any, planned: Any, receiver: Receiver
) -> None:
    gate = receiver.behaviour = Gate()
    hanging = await planned(await new_hook(await new_person("Alice"), receiver), 10)
    deliverer = deliverers()
    tasks = [asyncio.create_task(deliverer.deliver(due(line))) for line in hanging]
    await gate.holds(4)
    await ended(tasks, 6)
    async with receiving() as quick:
        hook = await new_hook(await new_person("Bob"), quick)
        for line in await planned(hook, 3):
            await deliverer.deliver(due(line))
        assert [line["state"] for line in await hook.log()] == ["delivered"] * 3
    gate.opened.set()
    ends = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(end) for end in ends].count(Postponed) == 6
    assert len(receiver.requests) == 4
    for line in hanging:
        await deliverer.deliver(due(line))
    assert len(receiver.requests) == 10


async def test_one_person_takes_no_more_places_with_many_receivers(
    alice: Person, new_hook: NewHook, deliverers: Any, planned: Any
) -> None:
    gate = Gate()
    async with receiving() as one, receiving() as two, receiving() as three:
        lines = []
        for receiver in (one, two, three):
            receiver.behaviour = gate
            lines += await planned(await new_hook(alice, receiver), 4)
        deliverer = deliverers()
        tasks = [asyncio.create_task(deliverer.deliver(due(line))) for line in lines]
        await gate.holds(8)
        await ended(tasks, 4)
        gate.opened.set()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(end) for end in ends].count(Postponed) == 4


async def test_it_is_switched_off_once_however_many_find_out(
    world: World, alice: Person, new_hook: NewHook, deliverers: Any, planned: Any
) -> None:
    async def find_out(receiver: Receiver, status: int, reason: str) -> None:
        gate = receiver.behaviour = Gate(answer(status))
        hook = await new_hook(alice, receiver)
        lines = await planned(hook, 6)
        await hook.set_attempts(9)
        await hook.age(failing_since=datetime.now(UTC) - timedelta(days=6))
        one, other = deliverers(), deliverers()
        tasks = [
            asyncio.create_task(deliverer.deliver(due(line)))
            for line, deliverer in zip(lines, (one, other) * 3, strict=True)
        ]
        await gate.holds(6)
        gate.opened.set()
        await asyncio.gather(*tasks)
        off = await hook.read()
        assert (off["is_active"], off["disabled_reason"]) == (False, reason)
        assert {line["state"] for line in await hook.log()} <= {"failed", "cancelled"}

    async with receiving() as receiver:
        await find_out(receiver, 410, "gone")
        await find_out(receiver, 500, "failing")
    async with world.database.read() as db:
        told = await db.scalar(
            select(func.count())
            .select_from(StoredMessage)
            .where(StoredMessage.type == "webhooks.disabled.v1")
        )
    assert told == 2
    await world.resources[Dispatcher].drain()
    inbox = (await alice.api.get("/api/v1/notifications/")).json()
    found = [entry for entry in inbox["notifications"] if entry["kind"] == "webhook_disabled"]
    assert len(found) == 2


async def test_a_process_that_ends_before_it_could_say_so_repeats_the_same_message(
    alice: Person, new_hook: NewHook, deliverers: Any, planned: Any, receiver: Receiver
) -> None:
    gate = receiver.behaviour = Gate()
    hook = await new_hook(alice, receiver)
    (line,) = await planned(hook, 1)
    task = asyncio.create_task(deliverers().deliver(due(line)))
    await gate.holds(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await hook.log())[0]["state"] == "pending"
    receiver.behaviour = saying(OK)
    await deliverers().deliver(due(line))
    first, second = receiver.requests
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.body == second.body
    (after,) = await hook.log()
    assert (after["state"], after["attempts"]) == ("delivered", 1)
    await deliverers().deliver(due(line))
    assert len(receiver.requests) == 2, "what was settled is not sent again"


async def test_two_at_the_same_delivery_settle_it_once(
    alice: Person, new_hook: NewHook, deliverers: Any, planned: Any, receiver: Receiver
) -> None:
    gate = receiver.behaviour = Gate()
    hook = await new_hook(alice, receiver)
    (line,) = await planned(hook, 1)
    tasks = [asyncio.create_task(deliverers().deliver(due(line))) for _ in range(2)]
    await gate.holds(2)
    gate.opened.set()
    await asyncio.gather(*tasks)
    (after,) = await hook.log()
    assert (after["state"], after["attempts"]) == ("delivered", 1)


async def test_changes_while_a_request_is_under_way(
    alice: Person, new_hook: NewHook, deliverers: Any, planned: Any, receiver: Receiver
) -> None:
    ways: list[tuple[str, dict[str, Any] | None]] = [
        ("PATCH", {"is_active": False}),
        ("PATCH", {"url": "https://other.example.com/"}),
        ("DELETE", None),
    ]
    for method, body in ways:
        gate = receiver.behaviour = Gate(answer(410))
        hook = await new_hook(alice, receiver)
        (line,) = await planned(hook, 1)
        task = asyncio.create_task(deliverers().deliver(due(line)))
        await gate.holds(1)
        assert (await alice.api.request(method, hook.address, json=body)).status_code == 200
        gate.opened.set()
        await task
        if body == {"is_active": False}:
            assert (await hook.read())["disabled_reason"] == "owner"
            assert [line["state"] for line in await hook.log()] == ["cancelled"]
        elif body:
            assert (await hook.read())["is_active"], "it was another receiver that is gone"


async def test_facts_about_webhooks_and_people_that_go_meanwhile(
    world: World, admin: Person, new_person: NewPerson, new_hook: NewHook, receiver: Receiver
) -> None:
    """Planning, deleting and switching off at the same time: nothing fails, and nobody waits for ever."""
    people = [await new_person("Passing") for _ in range(4)]
    hooks = [await new_hook(person, receiver) for person in people for _ in range(3)]
    await asyncio.gather(*(sell(person) for person in people for _ in range(3)))

    async def drain() -> None:
        await world.resources[Dispatcher].drain()

    answers = await asyncio.gather(
        drain(),
        *(hook.owner.api.patch(hook.address, json={"is_active": False}) for hook in hooks[::3]),
        *(hook.owner.api.delete(hook.address) for hook in hooks[1::3]),
        *(admin.api.delete(f"/api/v1/users/{person.id}") for person in people[:1]),
    )
    assert {found.status_code for found in answers[1:] if found is not None} <= {200, 401, 404}
    await drain()


async def test_the_log_goes_back_thirty_days(
    alice: Person, new_hook: NewHook, deliverers: Any, planned: Any, receiver: Receiver
) -> None:
    hook = await new_hook(alice, receiver)
    old, stuck, fresh = await planned(hook, 3)
    now = datetime.now(UTC)
    async with hook.world.database.transaction() as db:
        for line, days in ((old, 31), (stuck, 9)):
            await db.execute(
                update(WebhookDelivery)
                .where(WebhookDelivery.id == line["id"])
                .values(created_at=now - timedelta(days=days))
            )
    await deliverers().clear_up()
    assert [(line["id"], line["state"]) for line in await hook.log()] == [
        (stuck["id"], "failed"),
        (fresh["id"], "pending"),
    ]


async def test_a_person_is_deleted_while_facts_about_them_are_planned(
    world: World, new_person: NewPerson, new_hook: NewHook, admin: Person
) -> None:
    if world.database.is_sqlite:
        pytest.skip("whoever writes is alone there")
    zoe = await new_person("Zoe")
    await new_hook(zoe, "https://hooks.example.com/")
    subscriptions = world.resources[Subscriptions].by_name
    plan_webhooks = subscriptions["webhooks.items.updated"].react
    tell = subscriptions["notifications.item_created"].react
    assert plan_webhooks is not None
    assert tell is not None
    now = datetime.now(UTC)
    async with world.database.transaction() as db:
        # As a group of reactions does, which is what their locks may be taken under.
        await db.execute(lock_for_update(select(StoredMessage.id), StoredMessage, skip_locked=True))
        await plan_webhooks(db, [Envelope(1, ItemUpdated(1, zoe.id, "Lamp", 2), now)])
        deletion = asyncio.create_task(admin.api.delete(f"/api/v1/users/{zoe.id}"))
        # Of this database only: others' tests share the server.
        waits = text(
            "SELECT count(*) FROM pg_locks WHERE NOT granted AND pid IN (SELECT pid FROM pg_locks JOIN pg_database "
            "ON pg_database.oid = pg_locks.database WHERE datname = current_database())"
        )
        while not await db.scalar(waits):  # noqa: ASYNC110 - only the database knows
            await asyncio.sleep(0.01)
        # One of the two would be ended as a deadlock if they had locked the person and the webhook in different orders.
        await tell(db, [Envelope(2, ItemCreated(2, zoe.id, "Lamp"), now)])
    assert (await deletion).status_code == 200
