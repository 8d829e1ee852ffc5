"""A stranger who registered somebody else's address keeps no webhook once its owner sets a new password by link."""

import asyncio

import httpx
from sqlalchemy import func, select, update

from tests.accounts.test_recovery import AUTH, NEW, asked
from tests.conftest import Person, World
from tests.notifications.inbox.test_inbox import INBOX
from tests.webhooks.conftest import WEBHOOKS, NewHook, sell
from tests.webhooks.receiver import Receiver
from tradepost.accounts.models import User
from tradepost.accounts.sessions import SessionService
from tradepost.core.messaging.dispatcher import Dispatcher
from tradepost.webhooks.dependencies import build_webhook_service
from tradepost.webhooks.models import Webhook
from tradepost.webhooks.schemas import WebhookCreate

URL = "http://127.0.0.1:65009/"
BODY = {"url": URL, "event_types": ["*"]}


async def reset(world: World, client: httpx.AsyncClient, person: Person) -> httpx.AsyncClient:
    """Set a new password by link, and return a client that is logged in with it."""
    token = (await asked(world, client, person.email))[-1]
    answer = await client.post(f"{AUTH}/password/reset", json={"token": token, "new_password": NEW})
    assert answer.status_code == 200, answer.text
    return await login(world, client, person)


async def login(world: World, client: httpx.AsyncClient, person: Person) -> httpx.AsyncClient:
    answer = await client.post(f"{AUTH}/login", data={"username": person.email, "password": NEW})
    assert answer.status_code == 200, answer.text
    client.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
    return client


async def active(world: World, person: Person) -> int:
    async with world.database.read() as db:
        found = select(func.count()).where(Webhook.user_id == person.id, Webhook.is_active)
        return await db.scalar(found) or 0


async def test_the_first_proof_switches_webhooks_off_and_tells(
    world: World, client: httpx.AsyncClient, alice: Person, new_hook: NewHook, receiver: Receiver
) -> None:
    hooks = [await new_hook(alice, receiver), await new_hook(alice, receiver)]
    await sell(alice)
    token = (await asked(world, client, alice.email))[0]
    before = len(receiver.requests)
    # Planned before the reset, and not sent yet.
    await sell(alice, "Vase")
    answer = await client.post(f"{AUTH}/password/reset", json={"token": token, "new_password": NEW})
    assert answer.status_code == 200
    assert (await alice.api.get(WEBHOOKS)).status_code == 401
    await world.resources[Dispatcher].drain()
    assert len(receiver.requests) == before, "nothing more reaches the stranger's receiver"
    owner = await login(world, client, alice)
    for hook in hooks:
        shown = (await owner.get(hook.address)).json()
        assert (shown["is_active"], shown["disabled_reason"]) == (False, "owner")
        assert shown["disabled_at"] is not None
    rows = (await owner.get(INBOX)).json()["notifications"]
    (told,) = [row for row in rows if row["kind"] == "access_revoked"]
    assert told["title"] == "Access Revoked"
    assert told["data"] == {"webhooks": 2}
    assert "2 webhooks were switched off" in told["body"]
    assert "password_changed" in {row["kind"] for row in rows}


async def test_a_pending_delivery_is_cancelled(
    world: World, client: httpx.AsyncClient, alice: Person, new_hook: NewHook, receiver: Receiver
) -> None:
    hook = await new_hook(alice, receiver)
    await hook.post("/test")
    token = (await asked(world, client, alice.email))[0]
    line = await hook.post("/test")
    await client.post(f"{AUTH}/password/reset", json={"token": token, "new_password": NEW})
    owner = await login(world, client, alice)
    shown = (await owner.get(f"{hook.address}/deliveries/{line['id']}")).json()
    assert shown["state"] == "cancelled"
    assert "proved" in shown["error"]


async def test_a_reset_of_a_proved_address_leaves_webhooks_alone(
    world: World, client: httpx.AsyncClient, alice: Person, new_hook: NewHook, receiver: Receiver
) -> None:
    async with world.database.transaction() as db:
        await db.execute(
            update(User).where(User.id == alice.id).values(email_verified_at=world.resources.clock.now())
        )
    await new_hook(alice, receiver)
    owner = await reset(world, client, alice)
    assert await active(world, alice) == 1
    await world.resources[Dispatcher].drain()
    kinds = {row["kind"] for row in (await owner.get(INBOX)).json()["notifications"]}
    assert "password_changed" in kinds
    assert "access_revoked" not in kinds


async def test_nothing_to_revoke_is_not_told(world: World, client: httpx.AsyncClient, alice: Person) -> None:
    owner = await reset(world, client, alice)
    await world.resources[Dispatcher].drain()
    kinds = {row["kind"] for row in (await owner.get(INBOX)).json()["notifications"]}
    assert "access_revoked" not in kinds


async def test_webhooks_made_beside_the_reset_do_not_survive_it(
    world: World, client: httpx.AsyncClient, alice: Person, new_hook: NewHook
) -> None:
    hook = await new_hook(alice, URL)
    token = (await asked(world, client, alice.email))[0]

    async def flip(active: object) -> int:
        return (await alice.api.patch(hook.address, json={"is_active": active})).status_code

    async def make() -> int:
        return (await alice.api.post(WEBHOOKS, json=BODY)).status_code

    async def take_back() -> int:
        body = {"token": token, "new_password": NEW}
        return (await client.post(f"{AUTH}/password/reset", json=body)).status_code

    calls = [make(), flip(active=False), make(), make(), take_back(), flip(active=True)]
    calls += [make() for _ in range(8)] + [flip(active=True) for _ in range(4)]
    statuses = await asyncio.gather(*calls)
    assert statuses[4] == 200
    assert set(statuses) <= {200, 201, 401}, statuses
    # Whatever came first: who was let in before the reset is undone by it, or is refused.
    assert await make() == 401
    assert await active(world, alice) == 0


async def test_other_peoples_webhooks_stay(
    world: World, client: httpx.AsyncClient, alice: Person, bob: Person, new_hook: NewHook
) -> None:
    kept = await new_hook(bob, URL)
    await new_hook(alice, URL)
    await reset(world, client, alice)
    assert (await kept.read())["is_active"]


async def test_a_webhook_that_is_being_made_is_waited_for(
    world: World, client: httpx.AsyncClient, alice: Person
) -> None:
    """Hold the creation open between its rows and its commit: the reset waits, and then finds the webhook."""
    if world.database.is_sqlite:
        return  # whoever writes is alone there
    token = (await asked(world, client, alice.email))[0]
    body = {"token": token, "new_password": NEW}
    async with world.database.transaction() as db:
        principal = (await world.resources[SessionService].identify(alice.token)).principal()
        webhooks = build_webhook_service(db, world.resources)
        await webhooks.create(WebhookCreate.model_validate(BODY), principal)
        resetting = asyncio.create_task(client.post(f"{AUTH}/password/reset", json=body))
        await asyncio.wait([resetting], timeout=1)
        assert not resetting.done()
    assert (await resetting).status_code == 200
    assert await active(world, alice) == 0
