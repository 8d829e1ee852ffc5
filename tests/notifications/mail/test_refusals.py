"""Refusals as Postfix and others give them: final only when they speak of this mailbox, seen by an operator otherwise."""

import json
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import aiosmtplib
import pytest
import structlog
import structlog.testing

from tests.clock import stopped_clock
from tests.conftest import Person, World
from tests.notifications.mail.sink import OK, Sink, hasten, states
from tests.notifications.mail.test_sending import item_created, send
from tradepost.core.messaging.outbox import MessageState
from tradepost.notifications.mail import refusals
from tradepost.notifications.mail.refusals import RefusalLog

FINAL = [
    ("rcpt", "550 5.1.1 <{}>: Recipient address rejected: User unknown in local recipient table"),
    ("rcpt", "550 5.1.0 Address rejected"),
    ("rcpt", "556 5.1.10 <{}>: Recipient address rejected: Domain does not accept mail (nullMX)"),
    ("rcpt", "553 5.1.3 bad address"),
    ("rcpt", "550 5.2.1 mailbox disabled"),
    ("rcpt", "550 no such user"),
    ("rcpt", "551 user has moved"),
    ("rcpt", "552 no room"),
    ("rcpt", "553 mailbox name not allowed"),
    ("data", "550 5.1.1 no such user"),
    ("data", "552 5.2.3 message too long for this mailbox"),
]
RETRIED = [
    ("rcpt", "554 5.7.1 <mail.example.com>: Helo command rejected: Access denied"),
    ("rcpt", "504 5.5.2 <localhost>: Helo command rejected: need fully-qualified hostname"),
    ("rcpt", "554 5.7.1 <shop@example.com>: Sender address rejected: Access denied"),
    ("rcpt", "550 5.1.8 <shop@example.com>: Sender address rejected: Domain not found"),
    ("rcpt", "554 5.7.1 Service unavailable; Client host [127.0.0.1] blocked"),
    ("rcpt", "554 5.7.1 <{}>: Relay access denied"),
    ("rcpt", "550 5.7.1 policy"),
    ("rcpt", "552 5.2.2 mailbox full"),
    ("rcpt", "554 no"),
    ("rcpt", "503 5.5.1 Error: need MAIL command"),
    ("rcpt", "550 4.1.1 a class that does not fit"),
    ("rcpt", "450 4.2.0 <{}>: Recipient address rejected: Greylisted"),
    ("rcpt", "450 mailbox busy"),
    ("data", "554 5.7.1 spam"),
    ("data", "554 no spam here"),
    ("data", "550 no"),
    ("data", "552 5.3.4 message too big"),
    ("data", "451 4.3.0 try later"),
]


@contextmanager
def logged() -> Iterator[list[MutableMapping[str, Any]]]:
    """Collect what is logged within the block, however quiet the application is set."""
    before, capture = structlog.get_config(), structlog.testing.LogCapture()
    structlog.configure(processors=[capture], wrapper_class=structlog.make_filtering_bound_logger(0))
    try:
        yield capture.entries
    finally:
        structlog.configure(**before)


def parametrised(cases: list[tuple[str, str]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        ("what", "answer"), cases, ids=[f"{what} {answer[:10].strip()}" for what, answer in cases]
    )


def said(answer: str) -> str:
    return f"the mail server answered {answer.format('the recipient')}"


@parametrised(FINAL)
async def test_an_answer_about_the_mailbox_is_final(
    alice: Person, world: World, sink: Sink, what: str, answer: str
) -> None:
    setattr(sink, what, answer.format(alice.email))
    await send(world, item_created(alice))
    assert await states(world) == [(MessageState.DEAD, said(answer))]
    setattr(sink, what, OK)
    await send(world, item_created(alice, "Another"))
    assert len(sink.taken) == 1, "nothing of the refused one is left on the connection"


@parametrised(RETRIED)
async def test_any_other_refusal_is_tried_again(
    alice: Person, world: World, sink: Sink, what: str, answer: str
) -> None:
    setattr(sink, what, answer.format(alice.email))
    await send(world, item_created(alice))
    assert await states(world) == [(MessageState.PENDING, f"MailFailed: {said(answer)}")]
    setattr(sink, what, OK)
    await hasten(world)
    assert [state for state, _ in await states(world)] == [MessageState.DONE]
    assert len(sink.taken) == 1


async def test_an_operator_sees_the_answer(admin: Person, alice: Person, world: World, sink: Sink) -> None:
    sink.rcpt = "554 5.7.1 <shop@example.com>: Sender address rejected: Access denied"
    await send(world, item_created(alice))
    listed = await admin.api.get("/api/v1/admin/messages/", params={"channel": "mail", "state": "pending"})
    (message,) = listed.json()["messages"]
    assert (message["state"], message["attempts"]) == ("pending", 1)
    assert message["error"] == f"MailFailed: {said(sink.rcpt)}"
    sink.rcpt = "550 5.1.1 no such user"
    await hasten(world)
    listed = await admin.api.get("/api/v1/admin/messages/", params={"channel": "mail", "state": "dead"})
    (message,) = listed.json()["messages"]
    assert message["error"] == said("550 5.1.1 no such user")


async def test_a_refusal_is_warned_of_once_while_it_lasts(alice: Person, world: World, sink: Sink) -> None:
    world.clock.move(2 * refusals.WARN_EVERY)
    with logged() as lines:
        for answer in (
            "554 5.7.1 <{}>: Relay access denied",
            "554 5.7.1 <x@example.com>: Relay access denied",
        ):
            sink.rcpt = answer.format(alice.email)
            for number in range(3):
                await send(world, item_created(alice, f"Lamp {number}"))
        await hasten(world)
        sink.rcpt = "450 4.2.0 Greylisted"
        await hasten(world)
    warnings = [line for line in lines if line["log_level"] == "warning"]
    assert [line["kind"] for line in warnings] == ["554 5.7.1"]
    assert warnings[0]["reason"] == said("554 5.7.1 <{}>: Relay access denied")
    assert alice.email not in json.dumps(lines, default=str)


def test_warnings_are_grouped_by_hours_and_kinds() -> None:
    clock = stopped_clock()
    grouped = RefusalLog(clock)
    with logged() as lines:
        for _ in range(5):
            grouped.note("554 5.7.1", "relay")
        grouped.note("535", "password")
        clock.move(refusals.WARN_EVERY - timedelta(seconds=1))
        grouped.note("554 5.7.1", "relay")
        assert len(lines) == 2
        clock.move(timedelta(seconds=1))
        grouped.note("554 5.7.1", "relay")
    assert [(line["kind"], line["more_since_last_warning"]) for line in lines] == [
        ("554 5.7.1", 0),
        ("535", 0),
        ("554 5.7.1", 5),
    ]


def test_the_memory_of_kinds_is_bounded() -> None:
    grouped = RefusalLog(stopped_clock())
    for number in range(3 * refusals.MOST_KINDS):
        grouped.note(str(number), "no")
    assert len(grouped._groups) <= refusals.MOST_KINDS


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("5.1.1 no", (5, 1, 1)),
        ("5.1.10\nno", (5, 1, 10)),
        ("4.7.1", (4, 7, 1)),
        ("5.1.1.1 an address of a machine", None),
        ("no 5.1.1", None),
        ("3.1.1 no", None),
        ("", None),
    ],
)
def test_an_enhanced_code_is_at_the_beginning(text: str, code: tuple[int, int, int] | None) -> None:
    assert refusals.enhanced_code(aiosmtplib.SMTPDataError(550, text)) == code
