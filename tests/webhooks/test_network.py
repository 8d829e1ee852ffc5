"""The way out: names are judged by what they resolve to, and what was judged is what is connected to."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from typing_extensions import override

from tests.webhooks.certificates import contexts
from tests.webhooks.receiver import OK, Received, Receiver, receiving, saying
from tradepost.core.clock import SystemClock
from tradepost.webhooks import sender as sender_module
from tradepost.webhooks.network import RESOLVER_THREADS, Resolver
from tradepost.webhooks.sender import WebhookSender
from tradepost.webhooks.targets import Address, TargetRules, UnacceptableTarget

HEADERS = {"webhook-id": "msg_1"}
NOT_PUBLIC = "The host has no public address"
STRICT = TargetRules(plain=True, private=False)
FREE = TargetRules(plain=True, private=True)


@dataclass(frozen=True, slots=True)
class OnlyOne(TargetRules):
    """Rules by which one address of this machine is public, and no other is."""

    plain: bool = True
    private: bool = False

    @override
    def check(self, address: Address) -> None:
        if address != ip_address("127.0.0.1"):
            raise UnacceptableTarget("not that one")


class Names:
    """A name service whose answers a test decides; ``asked`` is what was looked up."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    def __call__(self, host: str, _port: int) -> Sequence[str]:
        self.asked.append(host)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if not answer:
            raise OSError("no such name")
        return answer


@asynccontextmanager
async def sending(
    rules: TargetRules, names: Callable[[str, int], Sequence[str]], **options: Any
) -> AsyncIterator[WebhookSender]:
    sender = WebhookSender(rules, clock=SystemClock(), agent="test", resolver=Resolver(names), **options)
    try:
        yield sender
    finally:
        await sender.close()


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        ["10.0.0.1"],
        ["169.254.169.254"],
        ["::1"],
        ["::ffff:127.0.0.1"],
        ["64:ff9b::7f00:1"],
        ["fe80::1%eth0"],
        ["fd00::1"],
        ["93.184.216.34", "127.0.0.1"],
        ["2606:4700:4700::1111", "10.0.0.1"],
        [],
    ],
)
async def test_names_that_lead_inside_and_names_that_lead_nowhere_look_alike(
    receiver: Receiver, addresses: list[str]
) -> None:
    async with sending(STRICT, Names(addresses)) as sender:
        answer = await sender.send(f"http://inside.example.com:{receiver.port}/", HEADERS, b"{}")
    assert (answer.status, answer.error) == (None, NOT_PUBLIC)
    assert receiver.connections == 0


async def test_a_name_that_changes_its_mind_gains_nothing(receiver: Receiver) -> None:
    names = Names(["127.0.0.1"], ["127.0.0.2"])
    url = f"http://rebinding.example.com:{receiver.port}/"
    async with sending(OnlyOne(), names) as sender:
        assert (await sender.send(url, HEADERS, b"{}")).delivered
        assert names.asked == ["rebinding.example.com"], "asked once, and that answer is what was used"
        assert receiver.requests[0].headers["host"] == f"rebinding.example.com:{receiver.port}"
        answer = await sender.send(url, HEADERS, b"{}")
    assert answer.error == NOT_PUBLIC
    assert receiver.connections == 1


async def test_one_address_too_many_refuses_the_name(receiver: Receiver) -> None:
    for addresses in (["127.0.0.1", "127.0.0.2"], ["127.0.0.2", "127.0.0.1"]):
        async with sending(OnlyOne(), Names(addresses)) as sender:
            answer = await sender.send(f"http://two.example.com:{receiver.port}/", HEADERS, b"{}")
        assert answer.error == NOT_PUBLIC
    assert receiver.connections == 0


async def test_an_address_that_does_not_answer_leaves_room_for_the_next(receiver: Receiver) -> None:
    async with sending(FREE, Names(["127.0.0.2", "::1", "127.0.0.1"])) as sender:
        assert (await sender.send(f"http://some.example.com:{receiver.port}/", HEADERS, b"{}")).delivered


async def test_proxies_of_the_environment_are_not_used(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with sending(FREE, Names(["127.0.0.1"])) as sender:
        assert (await sender.send(receiver.url, HEADERS, b"{}")).delivered


async def test_the_certificate_is_that_of_the_name(tmp_path: Path) -> None:
    shown, believed = contexts("hooks.example.com", tmp_path)
    async with receiving(shown) as receiver:
        async with sending(FREE, Names(["127.0.0.1"]), trust=believed) as sender:
            right = await sender.send(f"https://hooks.example.com:{receiver.port}/", HEADERS, b"{}")
            assert (right.error, right.status) == (None, 200)
            for host in ("other.example.com", "127.0.0.1"):
                wrong = await sender.send(f"https://{host}:{receiver.port}/", HEADERS, b"{}")
                assert wrong.error is not None
                assert wrong.error.startswith("The certificate is not good: ")
        async with sending(FREE, Names(["127.0.0.1"])) as sender:
            unknown = await sender.send(f"https://hooks.example.com:{receiver.port}/", HEADERS, b"{}")
            assert unknown.error is not None
            assert unknown.error.startswith("The certificate is not good: ")
        assert len(receiver.requests) == 1
    async with receiving() as plain, sending(FREE, Names(["127.0.0.1"])) as sender:
        answer = await sender.send(f"https://hooks.example.com:{plain.port}/", HEADERS, b"{}")
        assert answer.error == "No encrypted connection"


async def test_a_lookup_that_hangs_holds_up_no_other(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender_module, "CONNECT_TIMEOUT", 0.2)
    released = threading.Event()
    asked: list[str] = []

    def lookup(host: str, _port: int) -> Sequence[str]:
        asked.append(host)
        if host.startswith("hanging"):
            released.wait(60)
        return ["127.0.0.1"]

    async with sending(FREE, lookup) as sender:
        try:
            hanging = f"http://hanging.example.com:{receiver.port}/"
            answers = await asyncio.gather(
                *(sender.send(hanging, HEADERS, b"{}") for _ in range(RESOLVER_THREADS + 1))
            )
            assert {answer.status for answer in answers} == {None}
            assert asked == ["hanging.example.com"], "one name takes up one thread"
            answer = await sender.send(f"http://good.example.com:{receiver.port}/", HEADERS, b"{}")
            assert answer.delivered
        finally:
            released.set()


async def test_many_names_of_one_slow_site_hold_up_no_other() -> None:
    released = threading.Event()

    def lookup(host: str, _port: int) -> Sequence[str]:
        if host.endswith(".slow.example"):
            released.wait(60)
        return ["127.0.0.1"]

    resolver = Resolver(lookup)
    slow = [asyncio.create_task(resolver.find(f"n{number}.slow.example", 443)) for number in range(40)]
    try:
        await asyncio.sleep(0)
        async with asyncio.timeout(20):
            assert await resolver.find("good.example", 443) == [ip_address("127.0.0.1")]
        # Who stops waiting leaves the thread to its lookup, and the place of that one is taken until it ends.
        for task in slow[:20]:
            task.cancel()
        await asyncio.gather(*slow[:20], return_exceptions=True)
        async with asyncio.timeout(20):
            assert await resolver.find("other.example", 443) == [ip_address("127.0.0.1")]
        assert not any(task.done() for task in slow[20:])
        released.set()
        assert await asyncio.gather(*slow[20:]) == [[ip_address("127.0.0.1")]] * 20
    finally:
        released.set()
        resolver.close()


@pytest.mark.parametrize("dribble", [b"", b"HTTP/1.1 200 OK\r\nX: y"])
async def test_a_receiver_that_never_answers_is_left(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, dribble: bytes
) -> None:
    monkeypatch.setattr(sender_module, "ANSWER_TIMEOUT", 0.3)

    async def behave(_request: Received, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(dribble)
            await writer.drain()
            await asyncio.sleep(0.02)

    receiver.behaviour = behave
    async with sending(FREE, Names(["127.0.0.1"])) as sender:
        answer = await sender.send(receiver.url, HEADERS, b"{}")
        assert (answer.status, answer.error) == (None, "No answer within 15 seconds")
        receiver.behaviour = saying(OK)
        assert (await sender.send(receiver.url, HEADERS, b"{}")).delivered


async def test_names_of_this_machine(receiver: Receiver) -> None:
    """With the real lookup: what the machine itself calls by a name is not public."""
    sender = WebhookSender(STRICT, clock=SystemClock(), agent="test")
    try:
        for host in ("localhost", "localhost.", "ip6-localhost", "no-such-name.invalid"):
            answer = await sender.send(f"http://{host}:{receiver.port}/", HEADERS, b"{}")
            assert answer.error in {NOT_PUBLIC, "The host is not public"}
    finally:
        await sender.close()
    assert receiver.connections == 0
