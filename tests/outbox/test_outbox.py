"""Looking after messages: over HTTP, for admins only, and from the shell."""

import json
from pathlib import Path

import pytest
import pytest_asyncio
from httpx import AsyncClient
from sqlalchemy import update

from tests.conftest import Person, Template, World, world_on
from tests.core.messaging.post import FAST, Post, Rang
from tests.flows.command_line import called
from tests.flows.live import API, environment
from tradepost.core.messaging.messages import Envelope, Undeliverable
from tradepost.core.messaging.outbox import MessageState, StoredMessage
from tradepost.outbox import routes

PATH = f"{API}/admin/messages/"


class Door:
    """Nobody opens it, until somebody lives there."""

    def __init__(self) -> None:
        self.inhabited = False

    async def deliver(self, _envelope: Envelope[Rang]) -> None:
        if not self.inhabited:
            raise Undeliverable("nobody lives there")


@pytest.fixture
def door() -> Door:
    return Door()


@pytest_asyncio.fixture
async def post(world: World, door: Door) -> Post:
    """Three messages: given up, delivered, and waiting."""
    post = Post(world.database)
    post.subscriptions.deliver("tests.door", Rang, FAST, door.deliver)
    await post.send(Rang(1))
    await post.dispatcher().drain()
    door.inhabited = True
    await post.send(Rang(2))
    await post.dispatcher().drain()
    await post.send(Rang(3))
    return post


async def ids_of(api: AsyncClient, **query: str) -> list[int]:
    listed = await api.get(PATH, params=query)
    assert listed.status_code == 200, listed.text
    assert listed.json()["total"] == len(listed.json()["messages"])
    return [message["id"] for message in listed.json()["messages"]]


async def test_messages_are_listed_by_state_channel_and_type(post: Post, admin: Person) -> None:
    dead, done, waiting = (message.id for message in await post.stored())
    assert await ids_of(admin.api) == [waiting, done, dead]
    assert await ids_of(admin.api, state="dead") == [dead]
    assert await ids_of(admin.api, state="done", channel="fast", type="tests.rang.v1") == [done]
    assert await ids_of(admin.api, channel="slow") == []
    assert await ids_of(admin.api, sort="created_at") == [dead, done, waiting]
    shown = (await admin.api.get(f"{PATH}{dead}")).json()
    assert shown["payload"] == {"number": 1}
    assert shown["error"] == "nobody lives there"
    assert (shown["state"], shown["attempts"], shown["is_under_way"]) == ("dead", 1, False)
    assert "lease" not in shown


async def test_a_message_that_was_given_up_is_sent_after_all(post: Post, admin: Person) -> None:
    dead, done, waiting = (message.id for message in await post.stored())
    retried = await admin.api.post(f"{PATH}{dead}/retry")
    assert retried.status_code == 200, retried.text
    assert (retried.json()["state"], retried.json()["attempts"]) == ("pending", 0)
    for other in (dead, done, waiting):
        again = await admin.api.post(f"{PATH}{other}/retry")
        assert (again.status_code, again.json()["error_code"]) == (409, "MESSAGE_NOT_DEAD")
    assert await post.dispatcher().drain() == 2
    assert await ids_of(admin.api, state="done") == [waiting, done, dead]


async def test_only_what_was_given_up_is_deleted(post: Post, admin: Person) -> None:
    dead, done, waiting = (message.id for message in await post.stored())
    for other in (done, waiting):
        assert (await admin.api.delete(f"{PATH}{other}")).status_code == 409
    deleted = await admin.api.delete(f"{PATH}{dead}")
    assert (deleted.status_code, deleted.json()) == (200, {"message": "Message deleted successfully"})
    for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/retry")):
        gone = await admin.api.request(method, f"{PATH}{dead}{path}")
        assert (gone.status_code, gone.json()["error_code"]) == (404, "MESSAGE_NOT_FOUND")


async def test_messages_are_for_admins(
    post: Post, client: AsyncClient, alice: Person, moderator: Person
) -> None:
    dead = (await post.stored())[0].id
    for method, path in (("GET", ""), ("GET", f"{dead}"), ("DELETE", f"{dead}"), ("POST", f"{dead}/retry")):
        assert (await client.request(method, PATH + path)).status_code == 401
        for person in (alice, moderator):
            assert (await person.api.request(method, PATH + path)).status_code == 403


async def test_from_the_shell(template: Template, tmp_path: Path) -> None:
    url = await template.copy()
    env = environment(tmp_path, url)
    async with world_on(url, tmp_path) as world:
        post = Post(world.database)
        post.subscriptions.deliver("tests.door", Rang, FAST, Door().deliver)
        await post.send(*(Rang(number) for number in range(4)))
        await post.dispatcher().drain()
        first, *_ = (message.id for message in await post.stored())
        listed = await called("outbox", "list", "--state", "dead", "--limit", "3", env=env)
        assert listed.status == 0, listed.output
        lines = [json.loads(line) for line in listed.output.splitlines()]
        assert [line["payload"]["number"] for line in lines] == [3, 2, 1]
        assert lines[0]["error"] == "nobody lives there"

        for unclear in (["retry"], ["purge"], ["retry", "--all", "--channel", "fast"]):
            refused = await called("outbox", *unclear, env=env)
            assert refused.status == 2
            assert "--all" in refused.output
        one = await called("outbox", "retry", "--id", str(first), env=env)
        assert one.output == "1 messages are on their way again\n"
        none = await called("outbox", "retry", "--channel", "slow", env=env)
        assert none.output == "0 messages are on their way again\n"
        assert (await post.stored())[0].state is MessageState.PENDING
        async with world.database.transaction() as db:
            await db.execute(update(StoredMessage).where(StoredMessage.id == first).values(state="done"))
        purged = await called("outbox", "purge", "--type", "tests.rang.v1", env=env)
        assert purged.output == "3 messages deleted\n"
        purged = await called("outbox", "purge", "--state", "done", "--all", env=env)
        assert purged.output == "1 messages deleted\n"
        assert await post.stored() == []


async def test_many_are_retried_or_purged_at_once(
    world: World, post: Post, admin: Person, moderator: Person
) -> None:
    for _ in range(3):
        async with world.database.transaction() as db:
            await db.execute(update(StoredMessage).values(state=MessageState.DEAD, channel="fast"))
        assert (await moderator.api.post(f"{PATH}retry", json={})).status_code == 403
        for body, number in (({"channel": "slow"}, 0), ({"type": Rang.type, "channel": "fast"}, 3), ({}, 0)):
            answer = await admin.api.post(f"{PATH}retry", json=body)
            assert (answer.status_code, answer.json()) == (200, {"number": number})
        assert len(await ids_of(admin.api, state="pending")) == 3
        assert (await admin.api.post(f"{PATH}purge", json={})).json() == {"number": 0}, "none of them is dead"
    async with world.database.transaction() as db:
        await db.execute(update(StoredMessage).values(state=MessageState.DEAD))
    assert (await admin.api.post(f"{PATH}purge", json={"type": "tests.other.v1"})).json() == {"number": 0}
    assert (await admin.api.post(f"{PATH}purge", json={})).json() == {"number": 3}
    assert await ids_of(admin.api) == []
    lines = (await admin.api.get(f"{API}/audit", params={"action": "messages.purged"})).json()["lines"]
    assert [(line["actor_id"], line["details"]["number"]) for line in lines] == [(admin.id, 3)]
    for wrong in ({"channel": ""}, {"state": "done"}, {"ids": [1]}):
        assert (await admin.api.post(f"{PATH}purge", json=wrong)).status_code == 422


async def test_no_more_than_a_thousand_at_once(
    world: World, post: Post, admin: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes, "AT_ONCE", 2)
    async with world.database.transaction() as db:
        await db.execute(update(StoredMessage).values(state=MessageState.DEAD))
    oldest = min(await ids_of(admin.api))
    assert (await admin.api.post(f"{PATH}retry", json={})).json() == {"number": 2}
    assert oldest in await ids_of(admin.api, state="pending")
    assert (await admin.api.post(f"{PATH}purge", json={})).json() == {"number": 1}
