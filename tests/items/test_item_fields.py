"""What an item is made of, and what it may not be made of."""

from datetime import datetime, timedelta
from typing import Any

import httpx

from tests.conftest import Person
from tests.items.market import (
    ITEMS,
    MINE,
    code,
    faults,
    new_category,
    page,
    path_of,
    read,
    sell,
    titles,
    ways_to_write,
)

LAMP = {"title": "Lamp", "price": 10}


class TestNew:
    async def test_says_everything_about_it(
        self, client: httpx.AsyncClient, alice: Person, admin: Person
    ) -> None:
        category = await new_category(admin, "Lights")
        item = await sell(
            alice,
            "  Lamp ",
            100.5,
            description=" It glows. ",
            discount_price=80,
            tax=19,
            status="active",
            tags=["Red", "old"],
            category_id=category["id"],
        )
        made_at = datetime.fromisoformat(item["created_at"])
        assert made_at.utcoffset() == timedelta(0)
        assert item == {
            "id": item["id"],
            "title": "Lamp",
            "description": "It glows.",
            "price": 100.5,
            "discount_price": 80.0,
            "tax": 19.0,
            "total_price": 95.2,
            "status": "active",
            "tags": ["red", "old"],
            "category_id": category["id"],
            "images": [],
            "views": 0,
            "owner_id": alice.id,
            "owner": {
                "id": alice.id,
                "first_name": "Alice",
                "last_name": "Tester",
                "full_name": "Alice Tester",
                "avatar_url": None,
            },
            "version": 1,
            "created_at": item["created_at"],
            "updated_at": item["created_at"],
        }
        assert await read(client, item) == item
        assert (await page(client))["items"] == [item]

    async def test_title_and_price_are_enough(self, client: httpx.AsyncClient, alice: Person) -> None:
        item = await sell(alice, "Lamp", 10)
        assert await read(client, item) == item
        optional = ("description", "discount_price", "tax", "category_id")
        assert [item[name] for name in optional] == [None] * 4
        assert (item["status"], item["tags"], item["price"], item["total_price"]) == (
            "active",
            [],
            10.0,
            10.0,
        )

    async def test_null_means_none_where_there_may_be_none(self, alice: Person) -> None:
        item = await sell(alice, description=None, discount_price=None, tax=None, category_id=None)
        assert [item[name] for name in ("description", "discount_price", "tax", "category_id")] == [None] * 4

    async def test_ids_are_not_used_again(self, alice: Person) -> None:
        first = await sell(alice)
        await alice.api.delete(path_of(first))
        assert (await sell(alice))["id"] > first["id"]

    async def test_answers_once_it_is_stored(self, client: httpx.AsyncClient, alice: Person) -> None:
        for number in range(5):
            assert (await client.get(path_of(await sell(alice, f"Lamp {number}")))).status_code == 200


GOOD: list[tuple[str, Any, Any]] = [
    ("title", "a", "a"),
    ("title", "x" * 200, "x" * 200),
    ("title", " \t\n" + "🦊" * 200 + " ", "🦊" * 200),
    ("title", "Robert'); DROP TABLE items;--", "Robert'); DROP TABLE items;--"),
    ("title", "<b>&amp;\\ %s {0} \u200f\u2028", "<b>&amp;\\ %s {0} \u200f"),
    ("description", "", ""),
    ("description", "é" * 1000, "é" * 1000),
    ("description", "two\nlines", "two\nlines"),
    ("status", "active", "active"),
    ("status", "inactive", "inactive"),
    ("status", "draft", "draft"),
    ("tags", [], []),
    ("tags", [f"tag {number}" for number in range(20)], [f"tag {number}" for number in range(20)]),
    ("tags", ["x" * 50], ["x" * 50]),
    ("tags", ["🦊" * 50], ["🦊" * 50]),
    ("tags", ["b", "a", " B ", "A", "c"], ["b", "a", "c"]),
    ("tags", ["  Two   Words\t", "ÉTÉ", "STRASSE", "%", "_"], ["two words", "été", "strasse", "%", "_"]),
    ("tags", ["e\u0301te\u0301", "été"], ["été"]),
    ("tags", ["x", "x " + " " * 60], ["x"]),
    ("tags", ["x", "X "] * 13, ["x"]),
    ("tags", ["👩\u200d💻"], ["👩\u200d💻"]),
    ("title", "👩\u200d👩\u200d👧 ශ්\u200dරීමා", "👩\u200d👩\u200d👧 ශ්\u200dරීමා"),
]
BAD: list[tuple[str, Any, str]] = [
    ("title", "", "string_too_short"),
    ("title", " \n\t\u3000", "string_too_short"),
    ("title", "\u200b", "string_too_short"),
    ("title", "\u2800 \u3164", "string_too_short"),
    ("title", "x" * 201, "string_too_long"),
    ("title", None, "string_type"),
    ("title", 7, "string_type"),
    ("title", True, "string_type"),
    ("title", ["Lamp"], "string_type"),
    ("title", {"en": "Lamp"}, "string_type"),
    ("title", "a\x00b", "string_unicode"),
    ("description", "x" * 1001, "string_too_long"),
    ("description", 7, "string_type"),
    ("description", ["x"], "string_type"),
    ("status", "sold", "enum"),
    ("status", "ACTIVE", "enum"),
    ("status", "", "enum"),
    ("status", None, "enum"),
    ("status", 1, "enum"),
    ("tags", None, "list_type"),
    ("tags", "red", "list_type"),
    ("tags", {"red": 1}, "list_type"),
    ("tags", [f"x{number}" for number in range(21)], "too_long"),
    ("category_id", 0, "greater_than_equal"),
    ("category_id", -1, "greater_than_equal"),
    ("category_id", 1.5, "int_type"),
    ("category_id", 1.0, "int_type"),
    ("category_id", True, "int_type"),
    ("category_id", "1", "int_type"),
    ("category_id", "lights", "int_type"),
    ("category_id", 2**63 - 1, "unknown_category"),
    ("category_id", 999_999, "unknown_category"),
]
BAD_TAGS: list[tuple[Any, str]] = [
    ("", "string_too_short"),
    ("  ", "string_too_short"),
    ("x" * 51, "string_too_long"),
    (None, "string_type"),
    (7, "string_type"),
    ("a\x07b", "tag_letters"),
    ("a\u200bb", "tag_letters"),
]
NOT_FOR_CLIENTS = (
    "id",
    "owner_id",
    "owner",
    "views",
    "version",
    "images",
    "total_price",
    "created_at",
    "updated_at",
    "is_active",
    "Title",
    "",
    "nickname",
)


class TestFields:
    async def test_what_is_good_is_kept(self, client: httpx.AsyncClient, alice: Person) -> None:
        for field, sent, kept in GOOD:
            item = await sell(alice, **{field: sent})
            assert item[field] == kept, (field, sent)
            if item["status"] == "active":
                assert await read(client, item) == item
            other = await sell(alice)
            answer = await alice.api.put(path_of(other), json={field: sent})
            assert (answer.status_code, answer.json()[field]) == (200, kept), (field, sent, answer.text)

    async def test_what_is_bad_is_named(self, client: httpx.AsyncClient, alice: Person) -> None:
        item = await sell(alice, "As it was", description="so", tags=["kept"])
        for field, sent, kind in BAD:
            for method, path, body in ways_to_write(item):
                answer = await alice.api.request(method, path, json=body | {field: sent})
                assert faults(answer) == [(["body", field], kind)], (method, field, sent)
        assert await titles(alice.api, MINE) == ["As it was"]
        assert await read(client, item) == item

    async def test_a_bad_tag_is_named_by_its_place(self, alice: Person) -> None:
        for tag, kind in BAD_TAGS:
            answer = await alice.api.post(ITEMS, json=LAMP | {"tags": ["good", tag]})
            assert faults(answer) == [(["body", "tags", 1], kind)], tag
        assert await titles(alice.api, MINE) == []
        # Nothing is left of the good one either.
        assert (await alice.api.get("/api/v1/tags/")).json()["tags"] == []

    async def test_what_is_not_the_client_s_to_say_is_refused(self, alice: Person) -> None:
        item = await sell(alice)
        for field in NOT_FOR_CLIENTS:
            for method, path, body in ways_to_write(item):
                answer = await alice.api.request(method, path, json=body | {field: item.get(field, 1)})
                assert faults(answer) == [(["body", field], "extra_forbidden")], (method, field)
        assert await titles(alice.api, MINE) == ["Lamp"]

    async def test_every_fault_is_named_at_once_and_nothing_sent_is_repeated(self, alice: Person) -> None:
        secret = "hunter2" * 30
        body = {"title": secret, "price": -1, "tax": 101, "status": secret, "tags": [secret], "more": secret}
        answer = await alice.api.post(ITEMS, json=body)
        assert sorted(faults(answer)) == sorted(
            [
                (["body", "title"], "string_too_long"),
                (["body", "price"], "greater_than"),
                (["body", "tax"], "less_than_equal"),
                (["body", "status"], "enum"),
                (["body", "tags", 0], "string_too_long"),
                (["body", "more"], "extra_forbidden"),
            ]
        )
        assert "hunter2" not in answer.text

    async def test_title_and_price_must_be_there(self, alice: Person) -> None:
        answer = await alice.api.post(ITEMS, json={})
        assert faults(answer) == [(["body", "title"], "missing"), (["body", "price"], "missing")]

    async def test_an_inactive_category_is_a_category(self, alice: Person, admin: Person) -> None:
        category = await new_category(admin, "Resting", is_active=False)
        assert (await sell(alice, category_id=category["id"]))["category_id"] == category["id"]


BODIES = [
    (b"", "application/json", 422),
    (b"null", "application/json", 422),
    (b"[]", "application/json", 422),
    (b'"Lamp"', "application/json", 422),
    (b"7", "application/json", 422),
    (b"{", "application/json", 422),
    (b'{"title": "Lamp", "price": NaN}', "application/json", 422),
    (b'{"title": "Lamp", "price": -Infinity}', "application/json", 422),
    (b'{"title": "Lamp", "price": 1e999}', "application/json", 422),
    (b'{"title": "Lamp", "price": 1, "price": 2}', "application/json", 422),
    (b'{"title": "Lamp\xff", "price": 1}', "application/json", 422),
    (b'{"title": "\\ud83d", "price": 1}', "application/json", 422),
    (b'{"title": "Lamp", "category_id": 9223372036854775808}', "application/json", 422),
    (b'{"title": "Lamp", "price": 1}', "text/plain", 415),
    (b"title=Lamp&price=1", "application/x-www-form-urlencoded", 415),
    (b'{"title": "Lamp", "price": 1}', None, 415),
]


class TestBody:
    async def test_must_be_an_object_in_json(self, client: httpx.AsyncClient, alice: Person) -> None:
        item = await sell(alice)
        for body, content_type, status in BODIES:
            headers = {"Content-Type": content_type} if content_type else {}
            for method, path, _ in ways_to_write(item):
                answer = await alice.api.request(method, path, content=body, headers=headers)
                expected = "VALIDATION_ERROR" if status == 422 else "HTTP_415"
                assert code(answer) == (status, expected), (method, body, answer.text)
                assert answer.headers["content-type"] == "application/problem+json"
        assert await titles(alice.api, MINE) == ["Lamp"]
        assert await read(client, item) == item
