"""From a fact to the receiver: what is sent, to whom, how often, and what the log says of it."""

import asyncio
import json
import re
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, update
from standardwebhooks import WebhookVerificationError

from tests.conftest import NewPerson, Person, World
from tests.webhooks.conftest import Hook, NewHook, make_due, sell
from tests.webhooks.receiver import OK, Received, Receiver, answer, receiving, saying
from tradepost.accounts.permissions import Role
from tradepost.core.messaging.dispatcher import Dispatcher
from tradepost.core.messaging.outbox import StoredMessage
from tradepost.webhooks.models import Webhook, WebhookDelivery


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


class TestSending:
    async def test_a_fact_reaches_the_receiver_signed(
        self, alice: Person, new_hook: NewHook, receiver: Receiver
    ) -> None:
        hook = await new_hook(alice, receiver, "items.created")
        item_id = await sell(alice, "Lämp \U0001f600 <b>")
        await hook.drain()
        (request,) = receiver.requests
        assert request.line == "POST /hook?from=tradepost HTTP/1.1"
        assert request.headers["host"] == f"127.0.0.1:{receiver.port}"
        assert request.headers["content-type"] == "application/json"
        assert request.headers["user-agent"].startswith("Tradepost-Webhooks/")
        body = request.verified(hook.secret)
        assert body["type"] == "items.created"
        assert body["data"] == {"item_id": item_id, "owner_id": alice.id, "title": "Lämp \U0001f600 <b>"}
        assert abs(moment(body["timestamp"]) - datetime.now(UTC)) < timedelta(minutes=1)
        (line,) = await hook.log()
        assert (line["state"], line["attempts"], line["last_status"], line["error"]) == (
            "delivered",
            1,
            200,
            None,
        )
        assert line["message_id"] == request.headers["webhook-id"]
        assert line["body"].encode() == request.body
        assert line["response_excerpt"] == "ok"
        assert line["next_attempt_at"] is None
        assert moment(line["settled_at"]) >= moment(line["last_attempt_at"]) >= moment(line["created_at"])

    async def test_each_is_told_what_it_asked_for(
        self, alice: Person, bob: Person, admin: Person, new_hook: NewHook
    ) -> None:
        every = ["items.created", "items.updated", "items.deleted"]
        wanted: tuple[tuple[Person, str, str, list[str]], ...] = (
            (alice, "items.created", "own", every[:1]),
            (alice, "items.deleted", "own", every[2:]),
            (alice, "*", "own", every),
            (bob, "*", "own", []),
            (admin, "*", "own", []),
            (admin, "*", "all", every),
            (admin, "items.updated", "all", every[1:2]),
        )
        async with AsyncExitStack() as stack:
            # One each: at the door of a single one some may have to come again later.
            receivers = [await stack.enter_async_context(receiving()) for _ in wanted]
            hooks = [
                await new_hook(owner, receiver, event, scope=scope)
                for (owner, event, scope, _), receiver in zip(wanted, receivers, strict=True)
            ]
            item_id = await sell(alice)
            await alice.api.patch(f"/api/v1/items/{item_id}", json={"title": "Other"})
            await alice.api.delete(f"/api/v1/items/{item_id}")
            await hooks[0].drain()
            told = [sorted(line["event_type"] for line in await hook.log()) for hook in hooks]
            assert told == [sorted(events) for *_, events in wanted]
            ids = [request.headers["webhook-id"] for receiver in receivers for request in receiver.requests]
            assert len(set(ids)) == len(ids) == sum(map(len, told))

    async def test_each_is_in_the_trace_of_its_cause(
        self, alice: Person, bob: Person, new_hook: NewHook, receiver: Receiver
    ) -> None:
        """Items that come together share a transaction, and not a trace."""
        hook = await new_hook(alice, receiver, "*")
        traces = {f"Lamp {number}": f"00-{number + 1:032x}-00f067aa0ba902b7-01" for number in range(5)}
        answers = await asyncio.gather(
            *(
                alice.api.post(
                    "/api/v1/items/", json={"title": title, "price": 1}, headers={"traceparent": context}
                )
                for title, context in traces.items()
            ),
            alice.api.post("/api/v1/items/", json={"title": "Untraced", "price": 1}),
            alice.api.post(
                "/api/v1/items/", json={"title": "Broken", "price": 1}, headers={"traceparent": "00-1-2-3"}
            ),
        )
        item_id = answers[0].json()["id"]
        changed = f"00-{'c' * 32}-00f067aa0ba902b7-00"
        await alice.api.patch(
            f"/api/v1/items/{item_id}", json={"title": "Changed"}, headers={"traceparent": changed}
        )
        await hook.drain()
        told = {
            json.loads(request.body)["data"]["title"]: request.headers.get("traceparent")
            for request in receiver.requests
        }
        assert told.keys() == {*traces, "Untraced", "Broken", "Changed"}
        # They begin traces of their own, each its own.
        begun = [str(told[title])[3:35] for title in ("Untraced", "Broken")]
        assert all(re.fullmatch(r"[0-9a-f]{32}", trace) for trace in begun)
        assert begun[0] != begun[1]
        for title, context in {**traces, "Changed": changed}.items():
            sent = str(told[title])
            assert (sent[:36], sent[52:]) == (context[:36], context[52:])
            assert sent != context

    async def test_without_webhooks_a_fact_costs_one_statement(
        self, world: World, alice: Person, statements: Callable[[], Any]
    ) -> None:
        await sell(alice)
        with statements() as sent:
            await world.resources[Dispatcher].drain()
        assert (
            sum("webhook" in statement for statement in sent if statement.startswith("SELECT webhooks")) == 1
        )
        assert not any("INSERT INTO webhook" in statement for statement in sent)

    async def test_a_rolled_back_request_sends_nothing(
        self, alice: Person, new_hook: NewHook, receiver: Receiver
    ) -> None:
        hook = await new_hook(alice, receiver)
        await alice.api.post("/api/v1/items/", json={"title": "x", "price": 1, "category_id": 2**40})
        await hook.drain()
        assert receiver.requests == []

    async def test_a_switched_off_account_is_told_nothing(
        self, alice: Person, admin: Person, new_hook: NewHook, receiver: Receiver
    ) -> None:
        hook = await new_hook(alice, receiver)
        await sell(alice)
        await admin.api.put(f"/api/v1/users/{alice.id}", json={"is_active": False})
        await hook.drain()
        assert receiver.requests == []


class TestAttempts:
    async def test_every_attempt_bears_the_same_id_and_body(
        self, alice: Person, new_hook: NewHook, receiver: Receiver
    ) -> None:
        hook = await new_hook(alice, receiver)
        receiver.behaviour = saying(answer(500, body="no\0pe\u00e9"), answer(404), OK)
        await sell(alice)
        await hook.drain()
        (line,) = await hook.log(state="pending")
        assert (line["attempts"], line["last_status"], line["error"]) == (1, 500, "The receiver answered 500")
        pause = moment(line["next_attempt_at"]) - moment(line["last_attempt_at"])
        assert timedelta(seconds=5) <= pause < timedelta(seconds=30)
        assert line["settled_at"] is None
        assert line["response_excerpt"] is not None
        assert "\0" not in line["response_excerpt"]
        assert (await hook.read())["failing_since"] is not None
        await hook.drain(again=True)
        await hook.drain(again=True)
        await hook.drain(again=True)
        assert len(receiver.requests) == 3
        assert len({(request.body, request.headers["webhook-id"]) for request in receiver.requests}) == 1
        for request in receiver.requests:
            request.verified(hook.secret)
        (line,) = await hook.log(state="delivered")
        assert (line["attempts"], line["last_status"], line["error"]) == (3, 200, None)
        assert (await hook.read())["failing_since"] is None

    async def test_the_last_attempt_ends_it(
        self, alice: Person, new_hook: NewHook, receiver: Receiver
    ) -> None:
        hook = await new_hook(alice, receiver)
        receiver.behaviour = saying(answer(500))
        await sell(alice)
        for _ in range(12):
            await hook.drain(again=True)
        (line,) = await hook.log()
        assert (line["state"], line["attempts"], len(receiver.requests)) == ("failed", 10, 10)
        assert line["settled_at"] is not None
        assert (await hook.read())["is_active"], "one that is given up on the first day switches nothing off"

    @pytest.mark.parametrize("status", [429, 503])
    async def test_retry_after_is_heeded(self, alice: Person, new_hook: NewHook, status: int) -> None:
        later = (datetime.now(UTC) + timedelta(hours=3)).strftime("%a, %d %b %Y %H:%M:%S GMT")
        asked = ["7200", later, "999999999", "9" * 5000, "-5", "soon", "0"]
        async with AsyncExitStack() as stack:
            hooks = []
            for value in asked:
                receiver = await stack.enter_async_context(receiving())
                receiver.behaviour = saying(answer(status, f"Retry-After: {value}"))
                hooks.append(await new_hook(alice, receiver))
            await sell(alice)
            await hooks[0].drain()
        lines = [line for hook in hooks for line in await hook.log()]
        pauses = sorted(moment(line["next_attempt_at"]) - moment(line["last_attempt_at"]) for line in lines)
        assert len(pauses) == len(asked)
        assert all(pause < timedelta(minutes=1) for pause in pauses[:4])
        assert timedelta(hours=2) <= pauses[4] < timedelta(hours=2, minutes=5)
        assert timedelta(hours=2, minutes=55) <= pauses[5] < timedelta(hours=3, minutes=5)
        assert timedelta(hours=24) <= pauses[6] < timedelta(hours=24, minutes=5), "not for ever"

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308, 304, 100 + 99])
    async def test_redirects_are_not_followed(
        self, alice: Person, new_hook: NewHook, receiver: Receiver, status: int
    ) -> None:
        hook = await new_hook(alice, receiver)
        async with receiving() as elsewhere:
            receiver.behaviour = saying(answer(status, f"Location: {elsewhere.url}"))
            await sell(alice)
            await hook.drain()
            assert elsewhere.requests == []
        (line,) = await hook.log()
        assert line["state"] == "pending"
        assert line["error"]

    async def test_a_receiver_that_is_gone_switches_its_webhook_off(
        self, alice: Person, new_hook: NewHook, receiver: Receiver
    ) -> None:
        hook, other = await new_hook(alice, receiver), await new_hook(alice, receiver, "items.deleted")
        receiver.behaviour = saying(answer(500), answer(410))
        await sell(alice)
        await hook.drain()
        await sell(alice)
        await hook.drain()
        off = await hook.read()
        assert (off["is_active"], off["disabled_reason"]) == (False, "gone")
        assert [line["state"] for line in await hook.log()] == ["cancelled", "failed"]
        assert (await other.read())["is_active"]
        await sell(alice)
        await hook.drain(again=True)
        assert len(receiver.requests) == 2

    async def test_what_waits_ends_with_the_webhook(
        self, world: World, alice: Person, new_hook: NewHook, receiver: Receiver
    ) -> None:
        off, gone = await new_hook(alice, receiver), await new_hook(alice, receiver)
        receiver.behaviour = saying(answer(500))
        await sell(alice)
        await off.drain()
        assert len(receiver.requests) == 2
        await alice.api.patch(off.address, json={"is_active": False})
        await alice.api.delete(gone.address)
        await off.drain(again=True)
        assert len(receiver.requests) == 2
        assert [line["state"] for line in await off.log()] == ["cancelled"]
        await alice.api.patch(off.address, json={"is_active": True})
        await off.drain(again=True)
        assert len(receiver.requests) == 2, "what has ended does not come back"

    async def test_rights_are_looked_at_again(
        self, admin: Person, new_person: NewPerson, new_hook: NewHook, receiver: Receiver
    ) -> None:
        second, alice = await new_person("Second", Role.ADMIN), await new_person("Alice")
        hook = await new_hook(second, receiver, scope="all")
        receiver.behaviour = saying(answer(500))
        await sell(alice)
        await hook.drain()
        answer_ = await admin.api.put(f"/api/v1/users/{second.id}", json={"role": "user"})
        assert answer_.status_code == 200
        await hook.drain(again=True)
        await sell(alice)
        await hook.drain()
        assert len(receiver.requests) == 1
        assert [line["state"] for line in await hook.log()] == ["cancelled"]


class TestAnswers:
    @staticmethod
    async def line_after(hook: Hook) -> dict[str, Any]:
        await hook.post("/test")
        await hook.drain()
        return (await hook.log())[-1]

    async def test_no_more_of_a_huge_answer_is_read_than_is_kept(
        self, alice: Person, new_hook: NewHook, receiver: Receiver
    ) -> None:
        sent = 0

        async def endless(_request: Received, writer: asyncio.StreamWriter) -> None:
            nonlocal sent
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n")
            while sent < 2**30:
                writer.write(b"x" * 65536)
                sent += 65536
                await writer.drain()

        receiver.behaviour = endless
        line = await self.line_after(await new_hook(alice, receiver))
        assert (line["state"], line["response_excerpt"]) == ("delivered", "x" * 4096)
        assert sent < 2**25

    @pytest.mark.parametrize("status", [200, 500])
    async def test_a_body_that_comes_slowly_or_breaks_off_changes_nothing(
        self, alice: Person, new_hook: NewHook, receiver: Receiver, status: int
    ) -> None:
        async def slow(_request: Received, writer: asyncio.StreamWriter) -> None:
            writer.write(f"HTTP/1.1 {status} Said\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n".encode())
            await asyncio.sleep(60)

        async def broken(_request: Received, writer: asyncio.StreamWriter) -> None:
            writer.write(f"HTTP/1.1 {status} Said\r\nContent-Length: 100\r\n\r\nab".encode())

        hook = await new_hook(alice, receiver)
        for behaviour in (slow, broken):
            receiver.behaviour = behaviour
            line = await self.line_after(hook)
            assert line["state"] == ("delivered" if status == 200 else "failed")
            assert (line["last_status"], line["response_excerpt"]) == (status, "ab")

    @pytest.mark.parametrize(
        "said",
        [
            b"",
            b"SSH-2.0-OpenSSH_9.2\r\n",
            b"HTTP/1.1 200",
            b"HTTP/1.1 abc OK\r\n\r\n",
            b"HTTP/1.1 200 OK\r\n" + b"X-Long: " + b"x" * 200_000 + b"\r\n\r\n",
            b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 50_000 + b"\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
            b"\0" * 1000,
            b"HTTP/1.1 103 Early\r\n\r\n" * 5,
        ],
    )
    async def test_what_is_no_answer(
        self, alice: Person, new_hook: NewHook, receiver: Receiver, said: bytes
    ) -> None:
        receiver.behaviour = saying(said)
        line = await self.line_after(await new_hook(alice, receiver))
        assert (line["state"], line["last_status"]) == ("failed", None)
        assert line["error"]

    async def test_nobody_there(self, alice: Person, new_hook: NewHook) -> None:
        async with receiving() as receiver:
            hook = await new_hook(alice, receiver)
        line = await self.line_after(hook)
        assert (line["state"], line["last_status"], line["error"]) == ("failed", None, "No connection")

    async def test_answers_of_any_letters(self, alice: Person, new_hook: NewHook, receiver: Receiver) -> None:
        async def odd(_request: Received, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n\xff\xfe\0\x1b[31m\xed\xa0\x80 fine\n")

        receiver.behaviour = odd
        line = await self.line_after(await new_hook(alice, receiver))
        assert line["response_excerpt"].endswith("fine\n")
        assert not {"\0", "\x1b"} & set(line["response_excerpt"])


class TestSecrets:
    async def test_both_secrets_sign_for_a_day(
        self, world: World, alice: Person, new_hook: NewHook, receiver: Receiver
    ) -> None:
        hook = await new_hook(alice, receiver)
        second = (await hook.post("/rotate-secret", 200))["secret"]
        await hook.post("/test")
        await hook.drain()
        request = receiver.requests[-1]
        assert request.headers["webhook-signature"].count("v1,") == 2
        for secret in (hook.secret, second):
            request.verified(secret)
        async with world.database.transaction() as db:
            await db.execute(update(Webhook).values(previous_until=world.resources.clock.now()))
        await hook.post("/test")
        await hook.drain()
        request = receiver.requests[-1]
        request.verified(second)
        with pytest.raises(WebhookVerificationError):
            request.verified(hook.secret)

    async def test_of_two_rotations_the_last_two_sign(
        self, alice: Person, new_hook: NewHook, receiver: Receiver
    ) -> None:
        hook = await new_hook(alice, receiver)
        second = (await hook.post("/rotate-secret", 200))["secret"]
        third = (await hook.post("/rotate-secret", 200))["secret"]
        await hook.post("/test")
        await hook.drain()
        for secret in (second, third):
            receiver.requests[-1].verified(secret)
        with pytest.raises(WebhookVerificationError):
            receiver.requests[-1].verified(hook.secret)


class TestByHand:
    async def test_a_test_is_one_attempt(self, alice: Person, new_hook: NewHook, receiver: Receiver) -> None:
        hook = await new_hook(alice, receiver, "items.deleted")
        receiver.behaviour = saying(answer(500), OK)
        planned = await hook.post("/test")
        assert (planned["state"], planned["attempts"], planned["event_type"]) == (
            "pending",
            0,
            "webhook.test",
        )
        await hook.drain()
        await hook.drain(again=True)
        (line,) = await hook.log()
        assert (line["state"], line["attempts"]) == ("failed", 1)
        assert (await hook.read())["failing_since"] is None
        await hook.post("/test")
        await hook.drain()
        assert receiver.requests[-1].verified(hook.secret)["data"] == {"webhook_id": hook.id}

    async def test_a_redelivery_is_the_same_message(
        self, alice: Person, new_hook: NewHook, receiver: Receiver
    ) -> None:
        hook = await new_hook(alice, receiver)
        await sell(alice)
        await hook.drain()
        (first,) = await hook.log()
        again = await hook.post(f"/deliveries/{first['id']}/redeliver")
        assert again["id"] > first["id"]
        assert again["state"] == "pending"
        await hook.drain()
        before, after = receiver.requests
        assert before.body == after.body
        assert before.headers["webhook-id"] == after.headers["webhook-id"]
        after.verified(hook.secret)
        assert [line["state"] for line in await hook.log()] == ["delivered", "delivered"]
        assert (await hook.log())[0] == first, "the log is not rewritten"
        await alice.api.patch(hook.address, json={"is_active": False})
        assert (await hook.post(f"/deliveries/{first['id']}/redeliver", 409))["error_code"] == "WEBHOOK_OFF"

    async def test_the_log_is_a_list(self, alice: Person, new_hook: NewHook, receiver: Receiver) -> None:
        hook = await new_hook(alice, receiver)
        for _ in range(3):
            await hook.post("/test")
        await hook.drain()
        await hook.post("/test")
        page = (await alice.api.get(f"{hook.address}/deliveries/", params={"limit": 2, "skip": 1})).json()
        assert (page["total"], page["page"], page["size"], page["pages"]) == (4, 1, 2, 2)
        ids = [line["id"] for line in page["deliveries"]]
        assert ids == sorted(ids, reverse=True)
        assert "body" not in page["deliveries"][0]
        assert len(await hook.log(state="delivered")) == 3
        assert len(await hook.log(state="pending")) == 1
        wrong = await alice.api.get(f"{hook.address}/deliveries/", params={"state": "lost"})
        assert wrong.status_code == 422


class TestGivingUp:
    async def test_nothing_got_through_for_days(
        self, world: World, alice: Person, new_hook: NewHook, receiver: Receiver
    ) -> None:
        hook = await new_hook(alice, receiver)
        receiver.behaviour = saying(answer(500))
        for _ in range(4):
            await sell(alice)
        await hook.drain()
        await hook.age(failing_since=datetime.now(UTC) - timedelta(days=4, hours=23))
        await hook.set_attempts(9)
        async with world.database.read() as db:
            first = await db.scalar(select(WebhookDelivery.id).order_by(WebhookDelivery.id))
        async with world.database.transaction() as db:
            await db.execute(update(WebhookDelivery).where(WebhookDelivery.id != first).values(attempts=3))
        await hook.drain(again=True)
        assert (await hook.read())["is_active"], "not five days yet"
        await hook.age(failing_since=datetime.now(UTC) - timedelta(days=5))
        await hook.drain(again=True)
        assert (await hook.read())["is_active"], "nothing was given up"
        await hook.set_attempts(9)
        await hook.drain(again=True)
        off = await hook.read()
        assert (off["is_active"], off["disabled_reason"]) == (False, "failing")
        assert sorted(line["state"] for line in await hook.log()) == [
            "cancelled",
            "cancelled",
            "failed",
            "failed",
        ]
        on = (await alice.api.patch(hook.address, json={"is_active": True})).json()
        assert on["failing_since"] is None

    async def test_a_success_in_between_counts(
        self, alice: Person, new_hook: NewHook, receiver: Receiver
    ) -> None:
        hook = await new_hook(alice, receiver)
        await hook.age(failing_since=datetime.now(UTC) - timedelta(days=9))
        await sell(alice)
        await hook.drain()
        assert (await hook.read())["failing_since"] is None


async def test_messages_that_are_over_are_not_dead_ones(
    world: World, alice: Person, new_hook: NewHook, receiver: Receiver
) -> None:
    hook = await new_hook(alice, receiver)
    receiver.behaviour = saying(answer(410))
    await sell(alice)
    await hook.drain()
    await make_due(world)
    async with world.database.read() as db:
        states = set(await db.scalars(select(StoredMessage.state).where(StoredMessage.channel == "webhooks")))
    assert states == {"done"}


async def test_the_body_is_plain_json(alice: Person, new_hook: NewHook, receiver: Receiver) -> None:
    hook = await new_hook(alice, receiver)
    await sell(alice, "\u2028 \U0001f600 \u00e9")
    await hook.drain()
    (request,) = receiver.requests
    assert request.body.isascii()
    assert json.loads(request.body)["data"]["title"].endswith("\U0001f600 \u00e9")
