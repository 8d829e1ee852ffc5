"""Tickets of the live stream: what opens with them and what does not, and when that ends."""

import base64
import hmac
from datetime import timedelta

import httpx
import pytest
from sqlalchemy import delete, select, update

from tests.conftest import Person, World
from tests.notifications.inbox.test_inbox import tell
from tests.notifications.inbox.test_streams import numbers
from tests.notifications.listening import STREAM, listening
from tradepost.accounts.models import LoginSession, User
from tradepost.core.secret_keys import SecretKeys
from tradepost.notifications.inbox.tickets import StreamTickets

TICKET = f"{STREAM}/ticket"


async def ticket_of(person: Person) -> str:
    answer = await person.api.post(TICKET)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "private, no-store"
    body = answer.json()
    assert body.keys() == {"ticket", "expires_in"}
    assert body["expires_in"] == 600
    return str(body["ticket"])


async def refused(client: httpx.AsyncClient, ticket: str, **headers: str) -> None:
    for method in ("GET", "HEAD"):
        answer = await client.request(method, STREAM, params={"ticket": ticket}, headers=headers)
        assert answer.status_code == 401, ticket
        assert answer.headers["www-authenticate"] == "Bearer"


async def test_it_opens_the_stream_and_opens_it_again(world: World, alice: Person, bob: Person) -> None:
    ticket = await ticket_of(alice)
    await tell(world, alice, "A", "B")
    async with listening(world, {}, query=f"ticket={ticket}") as stream:
        await tell(world, bob, "X")
        await tell(world, alice, "C")
        assert numbers(await stream.until(1)) == [3]
    # As browsers come back by themselves.
    world.clock.move(timedelta(seconds=500))
    async with listening(world, {}, 1, query=f"ticket={ticket}") as stream:
        assert numbers(await stream.until(2)) == [2, 3]
        assert stream.headers["cache-control"] == "no-store"


async def test_it_expires_and_what_is_open_stays_open(
    client: httpx.AsyncClient, world: World, alice: Person
) -> None:
    ticket = await ticket_of(alice)
    async with listening(world, {}, query=f"ticket={ticket}") as stream:
        world.clock.move(timedelta(seconds=600))
        await refused(client, ticket)
        await tell(world, alice, "A")
        assert numbers(await stream.until(1)) == [1]
    assert await ticket_of(alice) != ticket


async def test_one_of_an_api_key_ends_with_the_key(
    client: httpx.AsyncClient, world: World, alice: Person
) -> None:
    made = (await alice.api.post("/api/v1/auth/api-keys", json={"name": "Robot"})).json()
    ticket = (await client.post(TICKET, headers={"X-API-Key": made["key"]})).json()["ticket"]
    assert made["key"] not in ticket
    async with (
        listening(world, {}, query=f"ticket={ticket}") as stream,
        listening(world, {"X-API-Key": made["key"]}) as direct,
    ):
        await tell(world, alice, "A")
        assert numbers(await stream.until(1)) == [1]
        assert numbers(await direct.until(1)) == [1]
        assert (await alice.api.delete(f"/api/v1/auth/api-keys/{made['id']}")).status_code == 200
        await stream.ended()
        await direct.ended()
    await refused(client, ticket)


async def test_it_ends_with_its_session(client: httpx.AsyncClient, world: World, alice: Person) -> None:
    ticket = await ticket_of(alice)
    form = {"username": alice.email, "password": alice.password}
    other = (await client.post("/api/v1/auth/login", data=form)).json()["access_token"]
    async with listening(world, {}, query=f"ticket={ticket}") as stream:
        assert (await alice.api.post("/api/v1/auth/logout")).status_code == 200
        await stream.ended()
    await refused(client, ticket)
    # Another session of the same person is none of its business.
    answer = await client.post(TICKET, headers={"Authorization": f"Bearer {other}"})
    async with listening(world, {}, query=f"ticket={answer.json()['ticket']}"):
        pass


async def test_not_for_who_was_switched_off_nor_past_the_end_of_a_session(
    client: httpx.AsyncClient, world: World, alice: Person, bob: Person
) -> None:
    tickets = [await ticket_of(alice), await ticket_of(bob)]
    async with world.database.transaction() as db:
        await db.execute(update(User).where(User.id == alice.id).values(is_active=False))
        end = world.clock.now() + timedelta(seconds=30)
        await db.execute(update(LoginSession).where(LoginSession.user_id == bob.id).values(expires_at=end))
    await refused(client, tickets[0])
    async with listening(world, {}, query=f"ticket={tickets[1]}"):
        pass
    world.clock.move(timedelta(seconds=30))
    await refused(client, tickets[1])


async def test_the_header_alone_counts_beside_a_ticket(
    client: httpx.AsyncClient, world: World, alice: Person, bob: Person
) -> None:
    ticket = await ticket_of(alice)
    await tell(world, bob, "Z")
    async with listening(world, bob.headers, 0, query=f"ticket={ticket}") as stream:
        (event,) = await stream.until(1)
        assert event.data["data"]["item_title"] == "Z"
    async with listening(world, bob.headers, query="ticket=nonsense"):
        pass
    for header in ("Bearer x", "Basic x", "Bearer", f"Bearer {ticket}"):
        await refused(client, ticket, Authorization=header)


async def test_it_is_good_for_nothing_else(client: httpx.AsyncClient, alice: Person) -> None:
    ticket = await ticket_of(alice)
    bearer = {"Authorization": f"Bearer {ticket}"}
    for path in ("/api/v1/users/me", "/api/v1/notifications/", "/api/v1/items/", STREAM):
        assert (await client.get(path, headers=bearer)).status_code == 401
    for path in ("/api/v1/users/me", "/api/v1/notifications/"):
        assert (await client.get(path, params={"ticket": ticket})).status_code in {401, 422}
    assert (await client.post(TICKET, params={"ticket": ticket})).status_code in {401, 422}
    assert (await client.post(TICKET)).status_code == 401
    refresh = await client.post("/api/v1/auth/refresh-token", json={"refresh_token": ticket})
    assert refresh.status_code == 401
    for other in (alice.token, alice.refresh_token):
        await refused(client, other)


async def test_what_was_not_made_here_is_refused(
    client: httpx.AsyncClient, world: World, alice: Person, bob: Person
) -> None:
    ticket = await ticket_of(alice)
    user, session, end, mac = ticket.split(".")
    assert int(user) == alice.id
    async with world.database.read() as db:
        bobs = await db.scalar(select(LoginSession.id).where(LoginSession.user_id == bob.id))
    forged = [
        *("x", "...", "a.b.c.d", ".", f"{mac}", f"{user}.{session}.{end}.", f"{user}.{session}.{end}"),
        *(ticket + "x", ticket[:-1], f" {ticket}", f"{ticket}=", f"0{ticket}", f"+{ticket}", ticket.upper()),
        f"{bob.id}.{bobs}.{end}.{mac}",
        f"{user}.{bobs}.{end}.{mac}",
        f"{user}.{session}.{int(end) + 1}.{mac}",
        f"{user}.{session}.Infinity.{mac}",
        f"{user}.{session}.{'9' * 5000}.{mac}",
        f"{user}.{session}.{end}.{mac[:-1]}é",
        f"\u0661.{session}.{end}.{mac}",
    ]
    content = f"{user}.{session}.{end}"
    secret = world.resources.settings.SECRET_KEY.get_secret_value().encode()
    for key in (secret, hmac.digest(secret, b"tradepost account link v1", "sha256"), b"other"):
        wrong = base64.urlsafe_b64encode(hmac.digest(key, content.encode(), "sha256")).rstrip(b"=").decode()
        forged.append(f"{content}.{wrong}")
    elsewhere = StreamTickets(keys=SecretKeys("another key of at least thirty-two bytes"), clock=world.clock)
    user_id, session_id = world.resources[StreamTickets].read(ticket)
    assert (user_id, session_id) == (alice.id, int(session))
    for bad in forged:
        await refused(client, bad)
    with pytest.raises(Exception, match="Could not validate credentials"):
        elsewhere.read(ticket)
    # An empty one is as good as none.
    await refused(client, "")
    # Nor does it outlive the account.
    async with world.database.transaction() as db:
        await db.execute(delete(LoginSession).where(LoginSession.user_id == alice.id))
    await refused(client, ticket)


async def test_the_document_calls_it_a_credential(client: httpx.AsyncClient) -> None:
    document = (await client.get("/api/v1/openapi.json")).json()
    operation = document["paths"][STREAM]["get"]
    assert sorted(map(str, operation["security"])) == [
        "{'apiKey': []}",
        "{'bearer': []}",
        "{'ticket': []}",
    ]
    assert "ticket" not in [parameter["name"] for parameter in operation["parameters"]]
    scheme = document["components"]["securitySchemes"]["ticket"]
    assert (scheme["type"], scheme["in"], scheme["name"]) == ("apiKey", "query", "ticket")
