"""``/webhooks``: making, changing and deleting them, whose they are, and how many there may be."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from sqlalchemy import select

from tests.conftest import NewPerson, Person, World, world_on
from tradepost.accounts.permissions import Role
from tradepost.webhooks.models import Webhook

WEBHOOKS = "/api/v1/webhooks/"
URL = "https://hooks.example.com/in"


@pytest_asyncio.fixture(scope="module")
async def module_world(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """The module's application, which sends to no private address."""
    async with world_on(database_url, tmp_path_factory.mktemp("data")) as world:
        yield world


async def make(owner: Person, **fields: Any) -> dict[str, Any]:
    answer = await owner.api.post(WEBHOOKS, json={"url": URL, "event_types": ["items.created"], **fields})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error_code"]


class TestMaking:
    async def test_a_webhook_and_its_secret(self, alice: Person) -> None:
        made = await make(alice, description=" orders ")
        secret = made.pop("secret")
        assert secret.startswith("whsec_")
        assert made["event_types"] == ["items.created"]
        assert made["description"] == "orders"
        assert (made["scope"], made["is_active"], made["disabled_reason"]) == ("own", True, None)
        read = await alice.api.get(f"{WEBHOOKS}{made['id']}")
        assert read.json() == made, "all but the secret"
        listed = (await alice.api.get(WEBHOOKS)).json()
        numbers = {"total": 1, "page": 1, "size": 100, "pages": 1, "next_cursor": None}
        assert listed == {"webhooks": [made], **numbers}

    async def test_no_secret_is_stored(self, world: World, alice: Person) -> None:
        secrets = {(await make(alice))["secret"] for _ in range(3)}
        assert len(secrets) == 3
        async with world.database.read() as db:
            rows = (await db.execute(select(Webhook.__table__))).all()
        assert not any(secret.removeprefix("whsec_") in str(row) for row in rows for secret in secrets)

    @pytest.mark.parametrize(
        ("fields", "field"),
        [
            ({"url": "https://localhost/"}, "url"),
            ({"url": "https://127.0.0.1/"}, "url"),
            ({"url": "http://[::ffff:10.0.0.1]/"}, "url"),
            ({"url": "ftp://example.com"}, "url"),
            ({"url": "https://user:pw@example.com/"}, "url"),
            ({"url": ""}, "url"),
            ({"url": "https://example.com/" + "x" * 2000}, "url"),
            ({"url": "https://example.com/\u202e"}, "url"),
            ({"url": None}, "url"),
            ({"url": 7}, "url"),
            ({"event_types": []}, "event_types"),
            ({"event_types": ["items.sold"]}, "event_types"),
            ({"event_types": ["webhook.test"]}, "event_types"),
            ({"event_types": "items.created"}, "event_types"),
            ({"event_types": ["*"] * 51}, "event_types"),
            ({"event_types": None}, "event_types"),
            ({"description": "x" * 501}, "description"),
            ({"scope": "everybody"}, "scope"),
            ({"secret": "whsec_mine"}, "secret"),
            ({"is_active": False}, "is_active"),
        ],
    )
    async def test_what_is_refused(self, alice: Person, fields: dict[str, Any], field: str) -> None:
        answer = await alice.api.post(WEBHOOKS, json={"url": URL, "event_types": ["*"], **fields})
        assert code(answer) == (422, "VALIDATION_ERROR")
        assert answer.json()["errors"][0]["location"][:2] == ["body", field]

    async def test_event_types_are_kept_once(self, alice: Person) -> None:
        made = await make(alice, event_types=["items.deleted", "*", "items.deleted"])
        assert made["event_types"] == ["items.deleted", "*"]

    async def test_everybodys_facts_are_for_admins(
        self, alice: Person, moderator: Person, admin: Person
    ) -> None:
        for person in (alice, moderator):
            answer = await person.api.post(WEBHOOKS, json={"url": URL, "event_types": ["*"], "scope": "all"})
            assert code(answer) == (403, "HTTP_403")
            made = await make(person)
            answer = await person.api.patch(f"{WEBHOOKS}{made['id']}", json={"scope": "all"})
            assert code(answer) == (403, "HTTP_403")
        assert (await make(admin, scope="all"))["scope"] == "all"


class TestLimit:
    async def test_twenty_and_no_more_however_many_are_made_at_once(self, alice: Person, bob: Person) -> None:
        answers = await asyncio.gather(
            *(alice.api.post(WEBHOOKS, json={"url": URL, "event_types": ["*"]}) for _ in range(26))
        )
        assert sorted(answer.status_code for answer in answers) == [201] * 20 + [400] * 6
        assert {code(answer) for answer in answers if answer.status_code == 400} == {(400, "WEBHOOK_LIMIT")}
        assert (await alice.api.get(WEBHOOKS)).json()["total"] == 20
        await make(bob)

    async def test_a_deleted_one_makes_room(self, alice: Person) -> None:
        made = [await make(alice) for _ in range(20)]
        answer = await alice.api.delete(f"{WEBHOOKS}{made[7]['id']}")
        assert answer.json() == {"message": "Webhook deleted successfully"}
        again = await make(alice)
        assert again["id"] > made[-1]["id"]
        assert code(await alice.api.post(WEBHOOKS, json={"url": URL, "event_types": ["*"]}))[0] == 400


class TestChanging:
    async def test_only_what_is_sent(self, alice: Person) -> None:
        made = await make(alice, description="d")
        del made["secret"]
        address = f"{WEBHOOKS}{made['id']}"
        same = await alice.api.patch(address, json={})
        assert same.json() == made
        changed = (await alice.api.put(address, json={"url": f"{URL}/2", "event_types": ["*"]})).json()
        assert changed["updated_at"] > made["updated_at"]
        assert changed | {"updated_at": 0} == made | {
            "url": f"{URL}/2",
            "event_types": ["*"],
            "updated_at": 0,
        }
        assert (await alice.api.patch(address, json={"description": None})).json()["description"] is None

    @pytest.mark.parametrize(
        "changes",
        [
            {"url": "https://10.0.0.1/"},
            {"url": None},
            {"event_types": []},
            {"event_types": None},
            {"is_active": "maybe"},
            {"is_active": None},
            {"secret": "x"},
        ],
    )
    async def test_what_is_refused(self, alice: Person, changes: dict[str, Any]) -> None:
        made = await make(alice)
        answer = await alice.api.patch(f"{WEBHOOKS}{made['id']}", json=changes)
        assert code(answer) == (422, "VALIDATION_ERROR")

    async def test_off_and_on(self, alice: Person) -> None:
        made = await make(alice)
        address = f"{WEBHOOKS}{made['id']}"
        off = (await alice.api.patch(address, json={"is_active": False})).json()
        assert (off["is_active"], off["disabled_reason"]) == (False, "owner")
        assert off["disabled_at"] == off["updated_at"]
        assert code(await alice.api.post(f"{address}/test")) == (409, "WEBHOOK_OFF")
        on = (await alice.api.patch(address, json={"is_active": True})).json()
        assert (on["is_active"], on["disabled_reason"], on["disabled_at"]) == (True, None, None)

    async def test_a_rotation_shows_a_new_secret(self, alice: Person) -> None:
        made = await make(alice)
        rotated = await alice.api.post(f"{WEBHOOKS}{made['id']}/rotate-secret")
        assert rotated.status_code == 200
        assert rotated.json()["secret"] not in {made["secret"], None}
        assert rotated.json()["previous_secret_until"] > made["created_at"]


class TestOwnership:
    WAYS = (
        ("GET", ""),
        ("PUT", ""),
        ("PATCH", ""),
        ("DELETE", ""),
        ("POST", "/rotate-secret"),
        ("POST", "/test"),
        ("GET", "/deliveries/"),
        ("GET", "/deliveries/{delivery}"),
        ("POST", "/deliveries/{delivery}/redeliver"),
    )

    async def test_others_are_not_there(self, alice: Person, new_person: NewPerson, client: Any) -> None:
        made = await make(alice)
        tested = (await alice.api.post(f"{WEBHOOKS}{made['id']}/test")).json()
        for method, rest in self.WAYS:
            address = f"{WEBHOOKS}{made['id']}{rest}".format(delivery=tested["id"])
            body = {"description": "mine"} if method in {"PUT", "PATCH"} else None
            assert (await client.request(method, address, json=body)).status_code == 401
            for role in Role:
                other = await new_person("Other", role)
                answer = await other.api.request(method, address, json=body)
                assert code(answer) == (404, "WEBHOOK_NOT_FOUND"), (method, address)
        assert (await alice.api.get(f"{WEBHOOKS}{made['id']}")).json()["description"] is None
        other = await new_person("Other")
        assert (await other.api.get(WEBHOOKS)).json()["webhooks"] == []

    async def test_a_delivery_of_another_webhook_is_not_there(self, alice: Person) -> None:
        first, second = await make(alice), await make(alice)
        tested = (await alice.api.post(f"{WEBHOOKS}{first['id']}/test")).json()
        for method, rest in (("GET", ""), ("POST", "/redeliver")):
            address = f"{WEBHOOKS}{second['id']}/deliveries/{tested['id']}{rest}"
            assert code(await alice.api.request(method, address)) == (404, "DELIVERY_NOT_FOUND")

    async def test_strangers_are_asked_who_they_are(self, client: httpx.AsyncClient) -> None:
        assert (await client.get(WEBHOOKS)).status_code == 401
        assert (await client.post(WEBHOOKS, json={"url": URL, "event_types": ["*"]})).status_code == 401

    async def test_a_deleted_users_webhooks_go(self, world: World, alice: Person, admin: Person) -> None:
        made = await make(alice)
        await alice.api.post(f"{WEBHOOKS}{made['id']}/test")
        assert (await admin.api.delete(f"/api/v1/users/{alice.id}")).status_code == 200
        async with world.database.read() as db:
            assert await db.scalar(select(Webhook.id)) is None
