"""E-mails over a real SMTP connection: what arrives, and what happens when it does not."""

import re
from datetime import datetime
from email.utils import parsedate_to_datetime

import httpx
import pytest
from sqlalchemy import update

from tests.conftest import PASSWORD, Person, World
from tests.notifications.mail.sink import OK, Sink, hasten, states
from tradepost.accounts.models import User
from tradepost.core.messaging.dispatcher import Dispatcher
from tradepost.core.messaging.messages import Subscriptions
from tradepost.core.messaging.outbox import MessageState, Outbox
from tradepost.notifications.mail import smtp
from tradepost.notifications.mail.messages import EmailDue

AUTH = "/api/v1/auth"
HEADERS = [
    *("From", "To", "Subject", "Date", "Message-ID"),
    *("Auto-Submitted", "MIME-Version", "Content-Type"),
]
TRACED_HEADERS = [*HEADERS[:-2], "X-Trace-ID", *HEADERS[-2:]]
"""Of an e-mail about what a request did."""
OPTIONAL_HEADERS = [*HEADERS[:-2], "List-Unsubscribe", "List-Unsubscribe-Post", *HEADERS[-2:]]


async def send(world: World, *dues: EmailDue) -> None:
    """Have e-mails become due, and delivered."""
    async with world.database.transaction() as db:
        await world.resources[Outbox].add(db, *dues)
    await world.resources[Dispatcher].drain()


async def prove(world: World, person: Person) -> None:
    """Have a person's address proved."""
    async with world.database.transaction() as db:
        await db.execute(
            update(User).where(User.id == person.id).values(email_verified_at=world.resources.clock.now())
        )


def item_created(person: Person, title: str = "Lamp") -> EmailDue:
    return EmailDue("item_created", person.id, {"item_id": 7, "item_title": title})


async def register(client: httpx.AsyncClient, email: str = "ada@example.com") -> int:
    applicant = {"email": email, "password": PASSWORD, "first_name": "Ada", "last_name": "King"}
    answer = await client.post(f"{AUTH}/register", json=applicant)
    assert answer.status_code == 200, answer.text
    return int(answer.json()["id"])


async def test_who_registers_is_welcomed(client: httpx.AsyncClient, world: World, sink: Sink) -> None:
    await register(client)
    await world.resources[Dispatcher].drain()
    (mail,) = sink.taken
    assert (mail.sender, mail.recipients) == ("shop@example.com", ("ada@example.com",))
    assert [name for name, _ in mail.headers] == TRACED_HEADERS
    read = mail.read
    assert read["From"] == "Tradepost <shop@example.com>"
    assert dict(mail.headers)["To"] == "<ada@example.com>", (
        "a name is not sent to an address that nobody has proved"
    )
    assert read["Subject"] == "Welcome to Tradepost: please confirm your e-mail address"
    assert read["Auto-Submitted"] == "auto-generated"
    assert parsedate_to_datetime(read["Date"]).tzinfo is not None
    assert re.fullmatch(r"<[0-9T.]+@example\.com>", read["Message-ID"])
    assert read.get_content_type() == "multipart/alternative"
    assert mail.link.startswith("https://market.example.com/account/verify-email#token=")
    assert mail.link in mail.body("html")
    assert "Ada" not in mail.body()
    assert (await client.post(f"{AUTH}/email/verify", json={"token": mail.token})).status_code == 200


async def test_a_forgotten_password_comes_back_by_mail(
    client: httpx.AsyncClient, alice: Person, world: World, sink: Sink
) -> None:
    await prove(world, alice)
    await client.post(f"{AUTH}/password/forgot", json={"email": alice.email})
    await world.resources[Dispatcher].drain()
    (mail,) = sink.taken
    assert mail.read["To"] == f"Alice Tester <{alice.email}>"
    assert mail.body().startswith("Hello Alice,")
    assert mail.link.startswith("https://market.example.com/account/reset-password#token=")
    body = {"token": mail.token, "new_password": "Brandnew99"}
    assert (await client.post(f"{AUTH}/password/reset", json=body)).status_code == 200
    await world.resources[Dispatcher].drain()
    assert sink.taken[1].read["Subject"] == "Your Tradepost password was changed"


async def test_nobody_gets_an_email_for_an_unknown_address(
    client: httpx.AsyncClient, world: World, sink: Sink
) -> None:
    for kind in ("password/forgot", "email/resend"):
        assert (await client.post(f"{AUTH}/{kind}", json={"email": "nobody@example.com"})).status_code == 202
    await world.resources[Dispatcher].drain()
    assert sink.seen == []


async def test_a_new_password_is_told(alice: Person, world: World, sink: Sink) -> None:
    change = {"current_password": PASSWORD, "new_password": "Brandnew99"}
    assert (await alice.api.put("/api/v1/users/me/password", json=change)).status_code == 200
    await world.resources[Dispatcher].drain()
    assert [mail.read["Subject"] for mail in sink.taken] == ["Your Tradepost password was changed"]


async def test_what_is_rolled_back_sends_nothing(alice: Person, world: World, sink: Sink) -> None:
    async def fail() -> None:
        async with world.database.transaction() as db:
            await world.resources[Outbox].add(db, item_created(alice))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    await world.resources[Dispatcher].drain()
    assert sink.seen == []


async def test_many_go_over_one_connection(alice: Person, world: World, sink: Sink) -> None:
    await send(world, item_created(alice))
    for number in range(5):
        await send(world, item_created(alice, f"Lamp {number}"))
    assert len(sink.taken) == 6
    assert sink.connections <= smtp.CONNECTIONS
    assert len({mail.read["Message-ID"] for mail in sink.taken}) == 6


async def test_a_broken_connection_is_made_anew(alice: Person, world: World, sink: Sink) -> None:
    await send(world, item_created(alice))
    sink.drop_connections()
    await send(world, item_created(alice, "Another"))
    assert len(sink.taken) == 2
    assert [state for state, _ in await states(world)] == [MessageState.DONE] * 2


@pytest.mark.parametrize(
    ("what", "answer"),
    [("rcpt", "450 mailbox busy"), ("rcpt", "421 going down"), ("data", "451 try later"), ("data", "close")],
)
async def test_a_passing_no_is_tried_again(
    client: httpx.AsyncClient, alice: Person, world: World, sink: Sink, *, what: str, answer: str
) -> None:
    setattr(sink, what, answer)
    await client.post(f"{AUTH}/password/forgot", json={"email": alice.email})
    await world.resources[Dispatcher].drain()
    assert sink.taken == []
    ((state, error),) = await states(world)
    assert state is MessageState.PENDING
    assert error
    await hasten(world)
    setattr(sink, what, OK)
    await hasten(world)
    (mail,) = sink.taken
    assert {seen.content for seen in sink.seen} == {mail.content}, (
        "the same id, the same link, the same bytes"
    )
    assert [state for state, _ in await states(world)] == [MessageState.DONE]
    body = {"token": mail.token, "new_password": "Brandnew99"}
    assert (await client.post(f"{AUTH}/password/reset", json=body)).status_code == 200


@pytest.mark.parametrize("what", ["rcpt", "data"])
async def test_a_server_that_hangs_is_left(
    alice: Person, world: World, sink: Sink, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smtp, "STEP_SECONDS", 0.2)
    monkeypatch.setattr(smtp, "ACCEPT_SECONDS", 0.2)
    sink.drop_connections()
    setattr(sink, what, "hang")
    await send(world, item_created(alice))
    ((state, error),) = await states(world)
    assert (state, error) == (
        MessageState.PENDING,
        "MailFailed: Timed out waiting for server response",
    )
    sink.let_go()
    await hasten(world)
    assert len(sink.taken) >= 1
    assert len({mail.read["Message-ID"] for mail in sink.taken}) == 1


async def test_a_server_that_is_away_is_waited_for(alice: Person, world: World, sink: Sink) -> None:
    await sink.stop()
    await send(world, item_created(alice))
    ((state, error),) = await states(world)
    assert state is MessageState.PENDING
    assert error is not None
    assert "Error connecting to" in error
    await sink.start()
    await hasten(world)
    assert len(sink.taken) == 1


async def test_one_bad_address_stops_nobody_else(
    alice: Person, bob: Person, world: World, sink: Sink
) -> None:
    async with world.database.transaction() as db:
        await db.execute(update(User).where(User.id == alice.id).values(email="none"))
    await send(world, item_created(alice), item_created(bob))
    assert [mail.recipients for mail in sink.taken] == [(bob.email,)]
    assert [state for state, _ in await states(world)] == [MessageState.DEAD, MessageState.DONE]


async def test_who_is_gone_is_sent_nothing(
    *, client: httpx.AsyncClient, admin: Person, alice: Person, bob: Person, world: World, sink: Sink
) -> None:
    await client.post(f"{AUTH}/password/forgot", json={"email": alice.email})
    sink.rcpt = "450 later"
    await world.resources[Dispatcher].drain()
    sink.rcpt = OK
    assert (await admin.api.delete(f"/api/v1/users/{alice.id}")).status_code == 200
    assert (await admin.api.put(f"/api/v1/users/{bob.id}", json={"is_active": False})).status_code == 200
    await hasten(world)
    await send(world, item_created(alice), item_created(bob), EmailDue("password_changed", 2**62))
    # But that the account was deleted, which is the last.
    (last,) = sink.seen
    assert last.recipients == (alice.email,)
    assert "deleted" in dict(last.headers)["Subject"]
    assert {state for state, _ in await states(world)} == {MessageState.DONE}


async def test_a_link_that_is_no_good_any_more_is_not_sent(
    client: httpx.AsyncClient, alice: Person, world: World, sink: Sink
) -> None:
    sink.rcpt = "450 later"
    await client.post(f"{AUTH}/password/forgot", json={"email": alice.email})
    await world.resources[Dispatcher].drain()
    sink.rcpt = OK
    change = {"current_password": PASSWORD, "new_password": "Brandnew99"}
    assert (await alice.api.put("/api/v1/users/me/password", json=change)).status_code == 200
    await hasten(world)
    assert [mail.read["Subject"] for mail in sink.taken] == ["Your Tradepost password was changed"]


@pytest.mark.parametrize("kind", ["nonsense", "../welcome", "_layout", "welcome"])
async def test_an_email_that_cannot_be_written_waits(
    alice: Person, bob: Person, world: World, sink: Sink, kind: str
) -> None:
    """A worker of the newer release can write it."""
    if kind == "welcome":
        due = EmailDue("item_created", alice.id, {"item_title": "a hole where the id should be"})
    else:
        due = EmailDue(kind, alice.id, {})
    await send(world, due, item_created(bob))
    assert [mail.recipients for mail in sink.taken] == [(bob.email,)]
    assert [state for state, _ in await states(world)] == [MessageState.PENDING, MessageState.DONE]


async def test_an_international_address(client: httpx.AsyncClient, world: World, sink: Sink) -> None:
    for number, address in enumerate(
        ("jörg@example.com", "info@bücher.example.com", "用户@例子.example.com")
    ):
        await register(client, address)
        await world.resources[Dispatcher].drain()
        assert len(sink.taken) == number + 1, await states(world)
    assert [mail.recipients[0] for mail in sink.taken] == [
        "jörg@example.com",
        "info@xn--bcher-kva.example.com",
        "用户@xn--fsqu00a.example.com",
    ]


def test_every_kind_has_both_templates(world: World) -> None:
    assert (
        world.resources[Subscriptions].by_name["notifications.mail"].channel.concurrency == smtp.CONNECTIONS
    )


async def test_the_date_is_that_of_the_message(alice: Person, world: World, sink: Sink) -> None:
    before = world.resources.clock.now().replace(microsecond=0)
    await send(world, item_created(alice))
    date: datetime = parsedate_to_datetime(sink.taken[0].read["Date"])
    assert before <= date <= world.resources.clock.now()


async def test_who_puts_an_item_up_for_sale_is_told(alice: Person, world: World, sink: Sink) -> None:
    await prove(world, alice)
    item = {"title": "Lamp <b>& more</b>", "price": 5}
    made = await alice.api.post("/api/v1/items/", json=item)
    assert made.status_code == 201
    await world.resources[Dispatcher].drain()
    (mail,) = sink.taken
    assert mail.read["Subject"] == "Item Created: Lamp <b>& more</b>"
    assert "Lamp &lt;b&gt;&amp; more&lt;/b&gt;" in mail.body("html"), "in HTML, a title is text"
    assert f"Its number is {made.json()['id']}." in mail.body()
    for kind in ("plain", "html"):
        assert "/api/" not in mail.body(kind), "nobody is sent to look at JSON"


async def test_an_optional_email_can_be_switched_off_by_one_click(
    client: httpx.AsyncClient, alice: Person, world: World, sink: Sink
) -> None:
    await send(world, item_created(alice))
    (mail,) = sink.taken
    assert [name for name, _ in mail.headers] == OPTIONAL_HEADERS
    headers = dict(mail.headers)
    assert headers["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    link = headers["List-Unsubscribe"].removeprefix("<").removesuffix(">")
    assert link.startswith("https://market.example.com/notifications/unsubscribe?token=")
    for kind in ("plain", "html"):
        assert link in mail.body(kind)
    click = await client.post(
        link.removeprefix("https://market.example.com"), data={"List-Unsubscribe": "One-Click"}
    )
    assert click.status_code == 200
    sink.reset()
    assert (await alice.api.post("/api/v1/items/", json={"title": "Vase", "price": 5})).status_code == 201
    await world.resources[Dispatcher].drain()
    assert sink.taken == []


async def test_what_must_be_told_has_no_such_header(alice: Person, world: World, sink: Sink) -> None:
    await send(world, EmailDue("password_changed", alice.id))
    (mail,) = sink.taken
    assert [name for name, _ in mail.headers] == HEADERS
    assert "unsubscribe" not in mail.content.decode().lower()


async def test_nobody_advertises_to_an_address_that_is_not_proved(
    alice: Person, world: World, sink: Sink
) -> None:
    made = await alice.api.post("/api/v1/items/", json={"title": "Win at evil.example", "price": 5})
    disabled: dict[str, int | str] = {"webhook_id": 3, "url": "https://evil.example/", "reason": "Gone."}
    await send(world, EmailDue("webhook_disabled", alice.id, disabled))
    assert sorted(mail.read["Subject"] for mail in sink.taken) == [
        "Item Created",
        "Your webhook was switched off",
    ]
    for mail in sink.taken:
        assert "evil" not in str(mail.headers) + mail.body() + mail.body("html")
    bodies = "".join(mail.body() for mail in sink.taken).replace("\r\n", "\n")
    assert f"Your item has been created. Its number is {made.json()['id']}.\n" in bodies
    assert "kept failing.\n\nNothing is sent to it any more." in bodies
