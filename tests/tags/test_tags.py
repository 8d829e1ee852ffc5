"""``/tags``: reading, writing, merging."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.conftest import Person, World

TAGS = "/api/v1/tags/"


async def make(staff: Person, name: str, **fields: Any) -> dict[str, Any]:
    answer = await staff.api.post(TAGS, json={"name": name, **fields})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def sell(owner: Person, *tags: str, **fields: Any) -> dict[str, Any]:
    item = {"title": "Thing", "price": 10, "tags": tags, **fields}
    answer = await owner.api.post("/api/v1/items/", json=item)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def tags_of(client: httpx.AsyncClient, item: dict[str, Any]) -> list[str]:
    found: list[str] = (await client.get(f"/api/v1/items/{item['id']}")).json()["tags"]
    return found


async def names(client: httpx.AsyncClient, **query: Any) -> list[str]:
    answer = await client.get(TAGS, params=query)
    assert answer.status_code == 200, answer.text
    return [tag["name"] for tag in answer.json()["tags"]]


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error_code"]


class TestReading:
    async def test_a_list_is_an_envelope_in_the_order_of_names(
        self, client: httpx.AsyncClient, moderator: Person
    ) -> None:
        empty = {"tags": [], "total": 0, "page": 1, "size": 100, "pages": 0, "next_cursor": None}
        assert (await client.get(TAGS)).json() == empty
        for name in ("beta", "été", "alpha", "zulu", "a b", "a-b", "10"):
            await make(moderator, name)
        # Without regard to accents, on both engines.
        ordered = ["10", "a b", "a-b", "alpha", "beta", "été", "zulu"]
        assert await names(client) == ordered
        assert await names(client, sort="-name") == ordered[::-1]
        assert (await names(client, sort="created_at"))[:3] == ["beta", "été", "alpha"]
        page = (await client.get(TAGS, params={"skip": 2, "limit": 2})).json()
        assert [tag["name"] for tag in page["tags"]] == ["a-b", "alpha"]
        assert {key: page[key] for key in ("total", "page", "size", "pages")} == {
            "total": 7,
            "page": 2,
            "size": 2,
            "pages": 4,
        }

    async def test_totals_are_counted_only_when_asked_for(
        self, client: httpx.AsyncClient, moderator: Person
    ) -> None:
        await make(moderator, "one")
        page = (await client.get(TAGS, params={"total": "false"})).json()
        assert (page["total"], page["pages"]) == (None, None)
        for wanted in ("true", "exact"):
            assert (await client.get(TAGS, params={"total": wanted})).json()["total"] == 1
        assert isinstance((await client.get(TAGS, params={"total": "estimated"})).json()["total"], int)

    async def test_q_is_a_part_of_the_name_however_it_is_written(
        self, client: httpx.AsyncClient, moderator: Person
    ) -> None:
        for name in ("mountain bike", "bike", "100%", "100 percent", "a_b", "axb", "back\\slash", "été"):
            await make(moderator, name)
        assert await names(client, q="  BIKE ") == ["bike", "mountain bike"]
        assert await names(client, q="Mountain   B") == ["mountain bike"]
        assert await names(client, q="%") == ["100%"]
        assert await names(client, q="_") == ["a_b"]
        assert await names(client, q="\\") == ["back\\slash"]
        assert await names(client, q="ÉT") == ["été"]
        assert await names(client, q="e\u0301t") == ["été"]
        assert len(await names(client, q="")) == 8
        assert (await client.get(TAGS, params={"q": "bike", "limit": 1})).json()["total"] == 2

    @pytest.mark.parametrize(
        "query", [{"skip": -1}, {"limit": 0}, {"limit": 101}, {"sort": "item_count"}, {"q": "x" * 101}]
    )
    async def test_bad_queries(self, client: httpx.AsyncClient, query: dict[str, Any]) -> None:
        answer = await client.get(TAGS, params=query)
        assert code(answer) == (422, "VALIDATION_ERROR")
        assert answer.json()["errors"][0]["location"] == ["query", next(iter(query))]

    async def test_one_tag(self, client: httpx.AsyncClient, moderator: Person) -> None:
        made = await make(moderator, " Road  BIKE ", description=" Two wheels ")
        assert made | {"id": 0, "created_at": "", "updated_at": ""} == {
            "id": 0,
            "name": "road bike",
            "description": "Two wheels",
            "item_count": 0,
            "created_at": "",
            "updated_at": "",
        }
        assert made["created_at"] == made["updated_at"]
        assert (await client.get(f"{TAGS}{made['id']}")).json() == made
        answer = await client.get(f"{TAGS}{made['id'] + 1}")
        assert code(answer) == (404, "TAG_NOT_FOUND")
        assert answer.json()["detail"] == "Tag not found"
        assert (await client.get(f"{TAGS}0")).status_code == 422
        assert (await client.get(f"{TAGS}{2**63}")).status_code == 422

    async def test_counts_active_items(self, client: httpx.AsyncClient, alice: Person) -> None:
        await sell(alice, "red", "blue")
        await sell(alice, "red")
        await sell(alice, "red", "green", status="draft")
        counts = {tag["name"]: tag["item_count"] for tag in (await client.get(TAGS)).json()["tags"]}
        assert counts == {"red": 2, "blue": 1, "green": 0}

    async def test_in_the_order_of_their_items(self, client: httpx.AsyncClient, alice: Person) -> None:
        await sell(alice, "red", "blue", "none", status="draft")
        await sell(alice, "red", "blue")
        await sell(alice, "red", "green")
        for sort, expected in (
            ("-items_count", ["red", "green", "blue", "none"]),
            ("items_count,-name", ["none", "green", "blue", "red"]),
        ):
            assert await names(client, sort=sort) == expected
            page = (await client.get(TAGS, params={"sort": sort, "limit": 1})).json()
            found = [tag["name"] for tag in page["tags"]]
            while page["next_cursor"]:
                query = {"sort": sort, "limit": 1, "cursor": page["next_cursor"]}
                page = (await client.get(TAGS, params=query)).json()
                found += [tag["name"] for tag in page["tags"]]
            assert found == expected

    async def test_a_list_takes_three_statements(
        self, world: World, alice: Person, statements: Callable[[], Any]
    ) -> None:
        await sell(alice, *[f"tag {number}" for number in range(20)])
        async with world.caller() as client:
            with statements() as sent:
                assert len(await names(client)) == 20
        assert len(sent) == 3, sent

    async def test_a_credential_that_fails_is_refused(self, client: httpx.AsyncClient) -> None:
        answer = await client.get(TAGS, headers={"Authorization": "Bearer nonsense"})
        assert answer.status_code == 401


class TestWriting:
    async def test_staff_only(
        self, client: httpx.AsyncClient, alice: Person, moderator: Person, admin: Person
    ) -> None:
        tag = await make(moderator, "first")
        await make(admin, "second")
        calls: list[tuple[str, str, Any]] = [
            ("POST", TAGS, {"name": "third"}),
            ("PUT", f"{TAGS}{tag['id']}", {"name": "third"}),
            ("PATCH", f"{TAGS}{tag['id']}", {"name": "third"}),
            ("POST", f"{TAGS}{tag['id']}/merge", {"into_id": tag["id"] + 1}),
            ("DELETE", f"{TAGS}{tag['id']}", None),
        ]
        for method, path, body in calls:
            assert (await client.request(method, path, json=body)).status_code == 401
            answer = await alice.api.request(method, path, json=body)
            assert answer.status_code == 403
            assert answer.json()["detail"] == "Insufficient permissions"
        assert await names(client) == ["first", "second"]

    @pytest.mark.parametrize(
        "body",
        [
            {},
            {"name": ""},
            {"name": "  "},
            {"name": None},
            {"name": 5},
            {"name": "x" * 51},
            {"name": "a\u200bb"},
            {"name": "a\u0000b"},
            {"name": "fine", "description": "x" * 501},
            {"name": "fine", "item_count": 3},
            {"name": "fine", "id": 3},
        ],
    )
    async def test_bad_input(
        self, client: httpx.AsyncClient, moderator: Person, body: dict[str, Any]
    ) -> None:
        assert code(await moderator.api.post(TAGS, json=body)) == (422, "VALIDATION_ERROR")
        tag = await make(moderator, "kept", description="kept too")
        if body:
            answer = await moderator.api.patch(f"{TAGS}{tag['id']}", json=body)
            assert code(answer) == (422, "VALIDATION_ERROR")
        assert (await client.get(f"{TAGS}{tag['id']}")).json() == tag

    async def test_a_name_is_taken_once(self, moderator: Person) -> None:
        await make(moderator, "bike")
        assert code(await moderator.api.post(TAGS, json={"name": " BIKE "})) == (409, "TAG_EXISTS")

    @pytest.mark.parametrize("method", ["PUT", "PATCH"])
    async def test_only_sent_fields_change(self, moderator: Person, method: str) -> None:
        tag = await make(moderator, "bike", description="Two wheels")
        path = f"{TAGS}{tag['id']}"
        assert (await moderator.api.request(method, path, json={})).json() == tag
        assert (await moderator.api.request(method, path, json={"name": "BIKE"})).json() == tag
        second = (await moderator.api.request(method, path, json={"name": "Bicycle"})).json()
        assert second["updated_at"] > tag["updated_at"]
        assert second == tag | {"name": "bicycle", "updated_at": second["updated_at"]}
        third = (await moderator.api.request(method, path, json={"description": None})).json()
        assert third == second | {"description": None, "updated_at": third["updated_at"]}
        assert code(await moderator.api.request(method, f"{path}9", json={"name": "x"})) == (
            404,
            "TAG_NOT_FOUND",
        )

    async def test_a_new_name_reaches_the_items(
        self, client: httpx.AsyncClient, alice: Person, moderator: Person
    ) -> None:
        item = await sell(alice, "bike", "red")
        tag = (await client.get(TAGS, params={"q": "bike"})).json()["tags"][0]
        answer = await moderator.api.patch(f"{TAGS}{tag['id']}", json={"name": "bicycle"})
        assert (answer.status_code, answer.json()["item_count"]) == (200, 1)
        assert await tags_of(client, item) == ["bicycle", "red"]

    async def test_a_name_of_another_tag_is_a_matter_of_merging(
        self, client: httpx.AsyncClient, moderator: Person
    ) -> None:
        tag = await make(moderator, "bike")
        await make(moderator, "bicycle")
        answer = await moderator.api.patch(f"{TAGS}{tag['id']}", json={"name": "Bicycle"})
        assert code(answer) == (409, "TAG_EXISTS")
        assert "merge" in answer.json()["detail"]
        assert (await client.get(f"{TAGS}{tag['id']}")).json() == tag

    async def test_a_deleted_tag_is_taken_off_the_items(
        self, client: httpx.AsyncClient, alice: Person, moderator: Person
    ) -> None:
        item = await sell(alice, "bike", "red")
        tag = (await client.get(TAGS, params={"q": "bike"})).json()["tags"][0]
        answer = await moderator.api.delete(f"{TAGS}{tag['id']}")
        assert (answer.status_code, answer.json()) == (200, {"message": "Tag deleted successfully"})
        assert await tags_of(client, item) == ["red"]
        assert code(await moderator.api.delete(f"{TAGS}{tag['id']}")) == (404, "TAG_NOT_FOUND")
        newer = await make(moderator, "bike")
        assert newer["id"] > tag["id"]


class TestMerging:
    async def test_the_items_move_and_none_bears_the_tag_twice(
        self, client: httpx.AsyncClient, alice: Person, moderator: Person
    ) -> None:
        one = await sell(alice, "bike", "red")
        both = await sell(alice, "bicycle", "bike")
        other = await sell(alice, "red")
        ids = {tag["name"]: tag["id"] for tag in (await client.get(TAGS)).json()["tags"]}
        answer = await moderator.api.post(f"{TAGS}{ids['bike']}/merge", json={"into_id": ids["bicycle"]})
        assert answer.status_code == 200
        assert (answer.json()["id"], answer.json()["name"]) == (ids["bicycle"], "bicycle")
        assert answer.json()["item_count"] == 2
        assert await tags_of(client, one) == ["bicycle", "red"]
        assert await tags_of(client, both) == ["bicycle"]
        assert await tags_of(client, other) == ["red"]
        assert await names(client) == ["bicycle", "red"]

    async def test_refusals(self, client: httpx.AsyncClient, moderator: Person) -> None:
        tag = await make(moderator, "bike")
        path = f"{TAGS}{tag['id']}/merge"
        assert code(await moderator.api.post(path, json={"into_id": tag["id"]})) == (
            400,
            "BUSINESS_LOGIC_ERROR",
        )
        answer = await moderator.api.post(path, json={"into_id": tag["id"] + 100})
        assert code(answer) == (422, "VALIDATION_ERROR")
        assert answer.json()["errors"][0]["location"] == ["body", "into_id"]
        answer = await moderator.api.post(f"{TAGS}{tag['id'] + 100}/merge", json={"into_id": tag["id"]})
        assert code(answer) == (404, "TAG_NOT_FOUND")
        assert (await moderator.api.post(path, json={})).status_code == 422
        assert (await client.get(f"{TAGS}{tag['id']}")).json() == tag
