"""Receivers, and an application that may send to them."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import update

from tests.conftest import Person, World, world_on
from tests.webhooks.receiver import Receiver, receiving
from tradepost.core.messaging.dispatcher import Dispatcher
from tradepost.core.messaging.outbox import MessageState, StoredMessage
from tradepost.webhooks.models import Webhook, WebhookDelivery

WEBHOOKS = "/api/v1/webhooks/"


@pytest_asyncio.fixture(scope="module")
async def module_world(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """The module's application, which sends to this machine too."""
    directory = tmp_path_factory.mktemp("data")
    async with world_on(database_url, directory, WEBHOOK_ALLOW_PRIVATE=True) as world:
        yield world


@pytest_asyncio.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """A receiver that takes everything."""
    async with receiving() as running:
        yield running


@dataclass
class Hook:
    """Somebody's webhook, as its owner sees it."""

    world: World
    owner: Person
    made: dict[str, Any]

    @property
    def id(self) -> int:
        return int(self.made["id"])

    @property
    def secret(self) -> str:
        return str(self.made["secret"])

    @property
    def address(self) -> str:
        return f"{WEBHOOKS}{self.id}"

    async def read(self) -> dict[str, Any]:
        """Return the webhook as it is now."""
        found: dict[str, Any] = (await self.owner.api.get(self.address)).json()
        return found

    async def log(self, **query: Any) -> list[dict[str, Any]]:
        """Return its deliveries in full, the oldest first."""
        listed = (await self.owner.api.get(f"{self.address}/deliveries/", params=query)).json()["deliveries"]
        found = [await self.owner.api.get(f"{self.address}/deliveries/{line['id']}") for line in listed]
        return [answer.json() for answer in reversed(found)]

    async def post(self, rest: str, status: int = 202) -> dict[str, Any]:
        """Ask something of it."""
        answer = await self.owner.api.post(f"{self.address}{rest}")
        assert answer.status_code == status, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def drain(self, *, again: bool = False) -> None:
        """Have everything delivered that is due; ``again`` makes due what waits for another attempt."""
        if again:
            await make_due(self.world)
        await self.world.resources[Dispatcher].drain()

    async def age(self, *, failing_since: datetime | None = None, **_: Any) -> None:
        """Have the webhook look as if nothing had got through since then."""
        async with self.world.database.transaction() as db:
            await db.execute(update(Webhook).where(Webhook.id == self.id).values(failing_since=failing_since))

    async def set_attempts(self, attempts: int) -> None:
        """Have its waiting deliveries look as if they had been tried so often."""
        async with self.world.database.transaction() as db:
            await db.execute(
                update(WebhookDelivery).where(WebhookDelivery.webhook_id == self.id).values(attempts=attempts)
            )


async def make_due(world: World) -> None:
    """Have every message that waits be due at once."""
    async with world.database.transaction() as db:
        await db.execute(
            update(StoredMessage)
            .where(StoredMessage.state == MessageState.PENDING)
            .values(due_at=world.resources.clock.now() - timedelta(seconds=1), lease=None)
        )


NewHook = Callable[..., Awaitable[Hook]]


@pytest.fixture
def new_hook(world: World) -> NewHook:
    """Make webhooks that lead to a receiver."""

    async def make(owner: Person, receiver: Receiver | str, *events: str, **fields: Any) -> Hook:
        url = receiver if isinstance(receiver, str) else receiver.url
        body = {"url": url, "event_types": events or ("*",), **fields}
        answer = await owner.api.post(WEBHOOKS, json=body)
        assert answer.status_code == 201, answer.text
        return Hook(world, owner, answer.json())

    return make


async def sell(owner: Person, title: str = "Lamp") -> int:
    """Put an item up for sale."""
    answer = await owner.api.post("/api/v1/items/", json={"title": title, "price": 10})
    assert answer.status_code == 201, answer.text
    return int(answer.json()["id"])
