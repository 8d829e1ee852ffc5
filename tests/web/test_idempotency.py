"""A POST with an ``Idempotency-Key`` is done once: whoever sends it again gets the answer of the first."""

import asyncio
from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select

from tests.conftest import NewPerson, Person, World
from tradepost.accounts.permissions import Role
from tradepost.core.idempotency.keys import IdempotencyKeys
from tradepost.core.idempotency.models import IdempotencyKey
from tradepost.core.messaging.outbox import StoredMessage
from tradepost.events.models import Event, Participant
from tradepost.items.models import Item

EVENTS = "/api/v1/events/"
EVENT = {
    "title": "Repair café",
    "description": "Bring what is broken.",
    "start_date": "2999-05-01T10:00:00+02:00",
    "end_date": "2999-05-01T12:00:00+02:00",
    "max_participants": 10,
}
ITEMS = "/api/v1/items/"
ITEM = {"title": "Lamp", "price": 3, "tags": ["lamp", "desk"]}
MALFORMED = "Idempotency-Key must be one header of 1 to 255 printable ASCII characters"


def keyed(key: str) -> dict[str, str]:
    return {"Idempotency-Key": key}


async def rows_of(world: World, model: Any) -> int:
    async with world.database.read() as db:
        return await db.scalar(select(func.count()).select_from(model)) or 0


async def test_a_retry_gets_the_first_answer_and_does_nothing(world: World, alice: Person) -> None:
    first = await alice.api.post(EVENTS, json=EVENT, headers=keyed("one"))
    assert first.status_code == 201
    assert "idempotency-replayed" not in first.headers
    told = await rows_of(world, StoredMessage)

    second = await alice.api.post(EVENTS, json=EVENT, headers=keyed("one"))

    assert second.status_code == 201
    assert second.content == first.content
    assert second.headers.get("etag") == first.headers.get("etag")
    assert second.headers["content-type"] == first.headers["content-type"]
    assert second.headers["idempotency-replayed"] == "true"
    assert (await rows_of(world, Event), await rows_of(world, StoredMessage)) == (1, told)
    # The other form of the path is the same path, and what is written in another way means the same.
    other_form = await alice.api.post(EVENTS.rstrip("/"), json=EVENT, headers=keyed("one"))
    assert other_form.content == first.content


async def test_another_request_under_the_key_is_refused(world: World, alice: Person) -> None:
    await alice.api.post(EVENTS, json=EVENT, headers=keyed("one"))

    other = await alice.api.post(EVENTS, json=EVENT | {"title": "Another"}, headers=keyed("one"))

    assert other.status_code == 422
    assert other.json()["error_code"] == "IDEMPOTENCY_KEY_REUSED"
    assert other.json()["errors"][0]["location"] == ["header", "Idempotency-Key"]
    assert await rows_of(world, Event) == 1


async def test_a_key_belongs_to_a_person_and_a_path(world: World, alice: Person, bob: Person) -> None:
    made = [await one.api.post(EVENTS, json=EVENT, headers=keyed("one")) for one in (alice, bob)]
    cancelled = await alice.api.post(f"{EVENTS}{made[0].json()['id']}/cancel", headers=keyed("one"))

    assert [one.status_code for one in (*made, cancelled)] == [201, 201, 200]
    assert made[0].json()["id"] != made[1].json()["id"]
    assert "idempotency-replayed" not in cancelled.headers
    assert await rows_of(world, IdempotencyKey) == 3


@pytest.mark.parametrize(
    ("body", "status"),
    [(EVENT | {"title": ""}, 422), (EVENT | {"end_date": "2000-01-01T00:00:00Z"}, 422), ([], 422)],
)
async def test_a_refused_request_leaves_the_key_free(
    world: World, alice: Person, body: Any, status: int
) -> None:
    assert (await alice.api.post(EVENTS, json=body, headers=keyed("one"))).status_code == status
    assert await rows_of(world, IdempotencyKey) == 0
    made = await alice.api.post(EVENTS, json=EVENT, headers=keyed("one"))
    assert (made.status_code, "idempotency-replayed" in made.headers) == (201, False)


async def test_a_refusal_by_the_database_leaves_the_key_free(world: World, moderator: Person) -> None:
    path = "/api/v1/tags/"
    await moderator.api.post(path, json={"name": "lamp"})
    refused = await moderator.api.post(path, json={"name": "lamp"}, headers=keyed("one"))
    assert refused.status_code == 409
    assert await rows_of(world, IdempotencyKey) == 0
    made = await moderator.api.post(path, json={"name": "desk"}, headers=keyed("one"))
    assert made.status_code == 201


@pytest.mark.parametrize("key", ["", "x" * 256, "a\tb", "naïve"])
async def test_a_malformed_key_is_refused_by_name(alice: Person, key: str) -> None:
    refused = await alice.api.post(EVENTS, json=EVENT, headers=[(b"Idempotency-Key", key.encode("latin-1"))])
    assert (refused.status_code, refused.json()["detail"]) == (400, MALFORMED)


async def test_two_keys_are_none(alice: Person) -> None:
    refused = await alice.api.post(
        EVENTS, json=EVENT, headers=[("Idempotency-Key", "a"), ("Idempotency-Key", "a")]
    )
    assert (refused.status_code, refused.json()["detail"]) == (400, MALFORMED)


async def test_every_printable_character_may_be_in_a_key(world: World, alice: Person) -> None:
    for key in ("!", "~" * 255, '"quoted" \\ {json}'):
        made = [await alice.api.post(EVENTS, json=EVENT, headers=keyed(key)) for _ in range(2)]
        assert made[0].content == made[1].content
    assert await rows_of(world, Event) == 3


async def test_a_key_of_nobody_is_passed_over(world: World, client: httpx.AsyncClient, alice: Person) -> None:
    for headers in (keyed("one"), keyed("x" * 300), keyed("one") | {"Authorization": "Bearer no"}):
        refused = await client.post(EVENTS, json=EVENT, headers=headers)
        assert refused.status_code == 401
    assert await rows_of(world, IdempotencyKey) == 0


async def test_a_key_on_what_is_no_post_is_passed_over(world: World, alice: Person) -> None:
    made = (await alice.api.post(EVENTS, json=EVENT)).json()
    for title in ("First", "Second"):
        changed = await alice.api.patch(
            f"{EVENTS}{made['id']}", json={"title": title}, headers=keyed("x" * 300)
        )
        assert changed.json()["title"] == title
    assert await rows_of(world, IdempotencyKey) == 0


async def test_an_old_answer_counts_for_nothing_and_is_pruned(world: World, alice: Person) -> None:
    first = await alice.api.post(EVENTS, json=EVENT, headers=keyed("one"))
    await alice.api.post(EVENTS, json=EVENT, headers=keyed("two"))
    world.clock.move(timedelta(hours=23).total_seconds())
    keys = world.resources[IdempotencyKeys]
    await keys.prune()
    assert await rows_of(world, IdempotencyKey) == 2

    world.clock.move(timedelta(hours=1, seconds=1).total_seconds())
    # The token has ended as well.
    renewed = await world.caller().post(
        "/api/v1/auth/refresh-token", json={"refresh_token": alice.refresh_token}
    )
    alice.api.headers["Authorization"] = f"Bearer {renewed.json()['access_token']}"
    again = await alice.api.post(EVENTS, json=EVENT | {"title": "Another"}, headers=keyed("one"))
    assert (again.status_code, "idempotency-replayed" in again.headers) == (201, False)
    assert again.json()["id"] != first.json()["id"]
    await keys.prune()
    assert await rows_of(world, IdempotencyKey) == 1
    replayed = await alice.api.post(EVENTS, json=EVENT | {"title": "Another"}, headers=keyed("one"))
    assert replayed.content == again.content


async def test_keys_go_with_their_person(world: World, alice: Person, admin: Person) -> None:
    await alice.api.post(EVENTS, json=EVENT, headers=keyed("one"))
    gone = await admin.api.delete(f"/api/v1/users/{alice.id}")
    assert gone.status_code == 200
    assert await rows_of(world, IdempotencyKey) == 0


async def test_a_secret_is_not_kept(world: World, alice: Person) -> None:
    path, body = "/api/v1/webhooks/", {"url": "https://example.com/hook", "event_types": ["items.created"]}
    first = (await alice.api.post(path, json=body, headers=keyed("one"))).json()
    second = await alice.api.post(path, json=body, headers=keyed("one"))
    secret = first.pop("secret")
    assert (second.status_code, second.json()) == (201, first)
    rotated = [
        await alice.api.post(f"{path}{first['id']}/rotate-secret", headers=keyed("one")) for _ in range(2)
    ]
    assert ["secret" in one.json() for one in rotated] == [True, False]
    async with world.database.read() as db:
        for answer in await db.scalars(select(IdempotencyKey.answer)):
            assert answer is not None
            assert secret.encode() not in answer
            assert rotated[0].json()["secret"].encode() not in answer


async def test_many_at_once_make_one(world: World, alice: Person) -> None:
    answers = await asyncio.gather(
        *(alice.api.post(EVENTS, json=EVENT, headers=keyed("one")) for _ in range(40))
    )
    made = {answer.content for answer in answers if answer.status_code == 201}
    under_way = [answer for answer in answers if answer.status_code != 201]
    assert len(made) == 1
    assert {(one.json()["error_code"], one.headers["retry-after"]) for one in under_way} <= {
        ("IDEMPOTENCY_IN_FLIGHT", "1")
    }
    assert (await rows_of(world, Event), await rows_of(world, IdempotencyKey)) == (1, 1)


async def test_who_lost_the_right_gets_no_answer(world: World, new_person: NewPerson, admin: Person) -> None:
    mona = await new_person("Mona", Role.MODERATOR)
    made = await mona.api.post("/api/v1/tags/", json={"name": "lamp"}, headers=keyed("one"))
    assert made.status_code == 201
    await admin.api.put(f"/api/v1/users/{mona.id}", json={"role": "user"})
    again = await mona.api.post("/api/v1/tags/", json={"name": "lamp"}, headers=keyed("one"))
    assert again.status_code == 403


async def test_new_items_keep_their_groups_and_are_made_once(
    world: World, alice: Person, bob: Person
) -> None:
    answers = await asyncio.gather(
        *(alice.api.post(ITEMS, json=ITEM, headers=keyed(f"{at % 20}")) for at in range(60)),
        *(bob.api.post(ITEMS, json=ITEM, headers=keyed("1")) for _ in range(5)),
        *(bob.api.post(ITEMS, json=ITEM) for _ in range(5)),
    )
    assert {answer.status_code for answer in answers} == {201}
    assert len({(answer.content, answer.headers["etag"]) for answer in answers}) == 26
    assert sum("idempotency-replayed" in answer.headers for answer in answers) == 44
    assert (await rows_of(world, Item), await rows_of(world, IdempotencyKey)) == (26, 21)

    reused = await alice.api.post(ITEMS, json=ITEM | {"price": 4}, headers=keyed("1"))
    assert (reused.status_code, reused.json()["error_code"]) == (422, "IDEMPOTENCY_KEY_REUSED")
    refused = await alice.api.post(ITEMS, json=ITEM | {"category_id": 999}, headers=keyed("new"))
    assert refused.status_code == 422
    made = await alice.api.post(ITEMS, json=ITEM, headers=keyed("new"))
    assert (made.status_code, "idempotency-replayed" in made.headers) == (201, False)


async def test_who_joins_twice_under_a_key_hears_that_it_is_new(
    world: World, alice: Person, bob: Person
) -> None:
    event = (await alice.api.post(EVENTS, json=EVENT)).json()
    path = f"{EVENTS}{event['id']}/participants"
    first, second = [await bob.api.post(path, headers=keyed("one")) for _ in range(2)]
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.content == second.content
    assert (await bob.api.post(path)).status_code == 200
    left = await bob.api.delete(path)
    assert left.status_code == 200
    # What was answered is answered again, whatever became of it since.
    assert (await bob.api.post(path, headers=keyed("one"))).content == first.content
    assert await rows_of(world, Participant) == 0
