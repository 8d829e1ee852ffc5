"""What admins see of everybody's webhooks, and what they send again."""

from tests.conftest import Person
from tests.items.market import sell
from tests.webhooks.conftest import NewHook
from tests.webhooks.receiver import Receiver

ALL = "/api/v1/admin/webhooks/"


async def test_everybodys_are_listed_with_their_owners(
    alice: Person, bob: Person, admin: Person, new_hook: NewHook, receiver: Receiver
) -> None:
    hers, his = [await new_hook(person, receiver) for person in (alice, bob)]
    await bob.api.patch(his.address, json={"is_active": False})
    answer = await admin.api.get(ALL)
    assert [(row["id"], row["user_id"]) for row in answer.json()["webhooks"]] == [
        (hers.id, alice.id),
        (his.id, bob.id),
    ]
    assert hers.secret not in answer.text
    for query, found in (
        ({"user_id": bob.id}, [his.id]),
        ({"is_active": True}, [hers.id]),
        ({"user_id": bob.id, "is_active": True}, []),
    ):
        listed = (await admin.api.get(ALL, params=query)).json()
        assert [row["id"] for row in listed["webhooks"]] == found
    one = (await admin.api.get(f"{ALL}{hers.id}")).json()
    assert one == {**await hers.read(), "user_id": alice.id}
    first = (await admin.api.get(ALL, params={"limit": 1})).json()
    rest = await admin.api.get(ALL, params={"limit": 1, "cursor": first["next_cursor"]})
    assert [row["id"] for row in rest.json()["webhooks"]] == [his.id]


async def test_a_log_is_read_and_a_message_sent_again(
    alice: Person, admin: Person, new_hook: NewHook, receiver: Receiver
) -> None:
    hook = await new_hook(alice, receiver)
    await sell(alice)
    await hook.drain()
    (sent,) = await hook.log()
    log = f"{ALL}{hook.id}/deliveries/"
    (line,) = (await admin.api.get(log, params={"state": "delivered"})).json()["deliveries"]
    assert line["id"] == sent["id"]
    assert (await admin.api.get(f"{log}{sent['id']}")).json() == sent
    again = await admin.api.post(f"{log}{sent['id']}/redeliver")
    assert (again.status_code, again.json()["state"]) == (202, "pending")
    await hook.drain()
    before, after = receiver.requests
    assert before.body == after.body
    assert before.headers["webhook-id"] == after.headers["webhook-id"]
    after.verified(hook.secret)
    lines = (await admin.api.get("/api/v1/audit", params={"action": "webhook.redelivered"})).json()["lines"]
    assert [(one["actor_id"], one["target_type"], one["target_id"]) for one in lines] == [
        (admin.id, "webhook", hook.id)
    ]
    assert lines[0]["details"] == {"delivery": sent["id"], "again": again.json()["id"]}
    mine = (await alice.api.get("/api/v1/audit/me")).json()["lines"]
    assert "webhook.redelivered" in {one["action"] for one in mine}


async def test_what_is_off_or_not_there_is_said(
    alice: Person, admin: Person, new_hook: NewHook, receiver: Receiver
) -> None:
    hook = await new_hook(alice, receiver)
    sent = await hook.post("/test")
    await alice.api.patch(hook.address, json={"is_active": False})
    for path, status, code in (
        (f"{hook.id}/deliveries/{sent['id']}/redeliver", 409, "WEBHOOK_OFF"),
        (f"{hook.id}/deliveries/999999/redeliver", 404, "DELIVERY_NOT_FOUND"),
        ("999999/deliveries/1/redeliver", 404, "WEBHOOK_NOT_FOUND"),
    ):
        answer = await admin.api.post(f"{ALL}{path}")
        assert (answer.status_code, answer.json()["error_code"]) == (status, code)
    for path in ("999999", "999999/deliveries/", "999999/deliveries/1"):
        answer = await admin.api.get(f"{ALL}{path}")
        assert (answer.status_code, answer.json()["error_code"]) == (404, "WEBHOOK_NOT_FOUND")


async def test_for_admins_alone(
    alice: Person, moderator: Person, new_hook: NewHook, receiver: Receiver
) -> None:
    hook = await new_hook(alice, receiver)
    for person in (alice, moderator):
        for path in ("", f"{hook.id}", f"{hook.id}/deliveries/"):
            assert (await person.api.get(f"{ALL}{path}")).status_code == 403
