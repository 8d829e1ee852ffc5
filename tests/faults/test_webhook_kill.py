"""A server that is killed between sending a webhook's message and noting it sends it again: the same one, signed anew."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from tests.conftest import ENGINES, settings_for
from tests.flows.live import environment, eventually, join, serving
from tests.servers import PostgresServer
from tests.webhooks.receiver import OK, Received, receiving
from tradepost.bootstrap import opened
from tradepost.core.messaging.outbox import MessageState, StoredMessage


async def end_leases(url: str, directory: Path) -> None:
    """Have what a killed process held be due now, which it would be half a minute later."""
    async with opened(settings_for(url, directory)) as resources, resources.database.transaction() as db:
        await db.execute(
            update(StoredMessage)
            .where(StoredMessage.state == MessageState.PENDING)
            .values(due_at=datetime.now(UTC) - timedelta(seconds=1))
        )


@pytest.mark.parametrize("engine", ENGINES)
async def test_a_message_whose_sender_was_killed_comes_again(
    engine: str, tmp_path: Path, postgres: PostgresServer
) -> None:
    url = f"sqlite:///{tmp_path}/killed.db"
    if engine == "postgresql":
        url = await postgres.create_database("webhook_killed")
    env = environment(tmp_path, url, WEBHOOK_ALLOW_PRIVATE="true")
    arrived, killed = asyncio.Event(), asyncio.Event()

    async def behave(_request: Received, writer: asyncio.StreamWriter) -> None:
        arrived.set()
        await killed.wait()
        writer.write(OK)

    async with receiving() as receiver:
        receiver.behaviour = behave
        with serving(env) as server:
            await server.ready()
            async with server.client() as client:
                token = (await join(client, "ada@example.com")).token
                client.headers["Authorization"] = f"Bearer {token}"
                new = {"url": receiver.url, "event_types": ["items.created"]}
                made = (await client.post("/webhooks/", json=new)).json()
                assert (await client.post("/items/", json={"title": "Lamp", "price": 1})).status_code == 201
                async with asyncio.timeout(30):
                    await arrived.wait()
            await asyncio.to_thread(server.kill)
        killed.set()
        await end_leases(url, tmp_path)
        with serving(env) as server:
            await server.ready()
            async with server.client(token) as client:

                async def delivered() -> bool:
                    page = (await client.get(f"/webhooks/{made['id']}/deliveries/")).json()
                    return [line["state"] for line in page["deliveries"]] == ["delivered"]

                await eventually(delivered)
        first, *_, last = receiver.requests
        assert first.headers["webhook-id"] == last.headers["webhook-id"]
        assert first.body == last.body
        last.verified(made["secret"])
