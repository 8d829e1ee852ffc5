"""Conditional requests for items: what changes their entity tag, who gets a 304, and whose change is refused."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest
import pytest_asyncio

from tests.conftest import NewPerson, Person, World
from tests.items.market import ITEMS, change, code, new_category, path_of, read, sell
from tradepost.items.view_counter import ViewCounter

TAGS = "/api/v1/tags/"

Flush = Callable[[], Awaitable[None]]


@pytest_asyncio.fixture(autouse=True)
async def flush(world: World) -> AsyncIterator[Flush]:
    """Write the views that wait; nobody else does meanwhile, since they would change entity tags at any moment."""
    counter = world.resources[ViewCounter]
    async with counter._flushing:
        yield counter._write_waiting


async def tag_of(caller: httpx.AsyncClient, item: dict[str, Any], query: str = "") -> str:
    answer = await caller.get(path_of(item) + query)
    assert answer.status_code == 200, answer.text
    tag: str = answer.headers["etag"]
    return tag


async def ask(caller: httpx.AsyncClient, item: dict[str, Any], *tags: str, query: str = "") -> httpx.Response:
    return await caller.get(path_of(item) + query, headers=[("If-None-Match", tag) for tag in tags])


async def test_every_answer_that_shows_an_item_has_the_tag_of_a_read(
    client: httpx.AsyncClient, alice: Person, admin: Person
) -> None:
    category = await new_category(admin, "Lamps")
    new = {"title": "Lamp", "price": 10.5, "tags": ["brass", "old"], "tax": 7, "category_id": category["id"]}
    made = await alice.api.post(ITEMS, json=new)
    path = path_of(made.json())
    assert (
        made.headers["etag"]
        == (await client.get(path)).headers["etag"]
        == (await client.head(path)).headers["etag"]
    )
    for method in ("PUT", "PATCH"):
        changed = await alice.api.request(method, path, json={"title": f"By {method}"})
        seen = await client.get(path)
        assert (changed.headers["etag"], changed.json()) == (seen.headers["etag"], seen.json())
        assert changed.headers["etag"].startswith(f'"{changed.json()["version"]}-')


async def test_whoever_has_it_is_not_sent_it_and_does_not_view_it(
    flush: Flush, client: httpx.AsyncClient, alice: Person
) -> None:
    item = await sell(alice)
    tag = await tag_of(client, item)
    await flush()
    tag, seen = await tag_of(client, item), await read(client, item)
    await flush()
    assert seen["views"] == 1
    tag = await tag_of(client, item)
    for known in (tag, f"W/{tag}", f'{tag[:-1]};gzip"', f'"0-x", {tag}', "*"):
        for method in ("GET", "HEAD"):
            answer = await client.request(method, path_of(item), headers={"If-None-Match": known})
            assert (answer.status_code, answer.content) == (304, b""), known
            assert answer.headers["etag"].strip('"').partition(";")[0] == tag.strip('"')
            assert answer.headers["cache-control"] == "no-cache"
            assert answer.headers["vary"] == "Authorization, X-API-Key"
            assert "content-type" not in answer.headers
    assert (await ask(client, item, '"0-x"', tag)).status_code == 304, "two lines are one list"
    await flush()
    assert (await ask(alice.api, item, '"0-x"')).json()["views"] == 4, (
        "the three reads, and none of the others"
    )


async def test_a_known_item_that_one_may_not_see_is_not_found(
    client: httpx.AsyncClient, alice: Person
) -> None:
    item = await sell(alice)
    tag = await tag_of(client, item)
    await change(alice, item, status="draft")
    for known in (tag, "*"):
        assert code(await ask(client, item, known)) == (404, "ITEM_NOT_FOUND")
    answer = await ask(alice.api, item, tag)
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "private, no-store")
    kept = await ask(alice.api, item, answer.headers["etag"])
    assert (kept.status_code, kept.headers["cache-control"]) == (304, "private, no-store")


async def test_whatever_the_bytes_are_made_of_changes_the_tag(
    flush: Flush, client: httpx.AsyncClient, alice: Person, admin: Person
) -> None:
    category = await new_category(admin, "Lamps")
    item = await sell(alice, tags=["brass"], category_id=category["id"])
    (tag,) = [one for one in (await client.get(TAGS)).json()["tags"] if one["name"] == "brass"]
    expanded = "?expand=category"

    async def views() -> None:
        await read(client, item)
        await flush()

    async def renamed_owner() -> None:
        await alice.api.put("/api/v1/users/me", json={"last_name": "Lovelace"})

    async def renamed_tag() -> None:
        await admin.api.patch(f"{TAGS}{tag['id']}", json={"name": "copper"})

    async def changed() -> None:
        await change(alice, item, price=11)

    for step in (views, renamed_owner, renamed_tag, changed):
        before = [await tag_of(client, item), await tag_of(client, item, expanded)]
        bodies = [await read(client, item)]
        await step()
        after = [await tag_of(client, item), await tag_of(client, item, expanded)]
        assert set(before).isdisjoint(after), step.__name__
        assert [await read(client, item)] != bodies
    before = [await tag_of(client, item), await tag_of(client, item, expanded)]
    renamed = await admin.api.patch(f"/api/v1/categories/{category['id']}", json={"name": "Lights"})
    assert renamed.status_code == 200
    after = [await tag_of(client, item), await tag_of(client, item, expanded)]
    assert (before[0] == after[0], before[1] == after[1]) == (True, False), "shown in one of them alone"


async def test_a_part_of_an_item_has_a_tag_of_what_it_shows(
    flush: Flush, client: httpx.AsyncClient, alice: Person
) -> None:
    item = await sell(alice)
    queries = ("", "?fields=id", "?fields=title", "?fields=id,title", "?fields=views", "?expand=category")
    tags = {query: await tag_of(client, item, query) for query in queries}
    assert len(set(tags.values())) == len(queries)
    assert await tag_of(client, item, "?fields=title,id") == tags["?fields=id,title"]
    await flush()
    assert {query for query in queries if await tag_of(client, item, query) != tags[query]} == {
        "",
        "?fields=views",
        "?expand=category",
    }
    for query in queries:
        tag = await tag_of(client, item, query)
        assert (await ask(client, item, tag, query=query)).status_code == 304
        changed = await alice.api.patch(
            path_of(item), json={"title": query or "x"}, headers={"If-Match": tag}
        )
        assert changed.status_code == 200, "any projection's tag has the version"


async def test_a_hidden_category_changes_the_tag_of_those_who_see_it_alone(
    client: httpx.AsyncClient, alice: Person, admin: Person
) -> None:
    category = await new_category(admin, "Lamps", is_active=False)
    item = await sell(alice, category_id=category["id"])
    tags = [await tag_of(caller, item, "?expand=category") for caller in (client, alice.api, admin.api)]
    assert (tags[0] == tags[1], tags[0] == tags[2]) == (True, False)


class TestWrites:
    async def test_only_the_version_that_was_seen_is_changed(
        self, flush: Flush, client: httpx.AsyncClient, alice: Person
    ) -> None:
        item = await sell(alice)
        tag = await tag_of(client, item)
        await read(client, item)
        await flush()
        first = await alice.api.patch(path_of(item), json={"title": "First"}, headers={"If-Match": tag})
        assert (first.status_code, first.json()["version"]) == (200, 2), "views are no change"
        for method in ("PATCH", "PUT", "DELETE"):
            body = None if method == "DELETE" else {"title": "Second"}
            answer = await alice.api.request(method, path_of(item), headers={"If-Match": tag}, json=body)
            assert code(answer) == (412, "PRECONDITION_FAILED")
            assert answer.headers["etag"] == first.headers["etag"] == await tag_of(client, item)
        assert (await read(client, item))["title"] == "First"
        gone = await alice.api.delete(path_of(item), headers={"If-Match": first.headers["etag"]})
        assert gone.status_code == 200
        assert code(await alice.api.delete(path_of(item), headers={"If-Match": "*"})) == (
            404,
            "ITEM_NOT_FOUND",
        )

    async def test_a_change_that_changes_nothing_is_held_to_it_too(self, alice: Person) -> None:
        item = await sell(alice)
        same = {"title": item["title"]}
        assert (
            await alice.api.patch(path_of(item), json=same, headers={"If-Match": '"1-x"'})
        ).status_code == 200
        answer = await alice.api.patch(path_of(item), json=same, headers={"If-Match": '"2-x"'})
        assert code(answer) == (412, "PRECONDITION_FAILED")

    @pytest.mark.parametrize(
        ("lines", "status"),
        [
            (['"1-x"'], 200),
            (['"1-x;gzip"'], 200),
            (["*"], 200),
            (['"7-x", "1-x"'], 200),
            (['"7-x"', '"1-x"'], 200),
            (['W/"1-x"'], 412),
            (['"of-something-else"'], 412),
            (['"7-x"'], 412),
            (["1-x"], 400),
            (["*", '"1-x"'], 400),
            ([""], 400),
        ],
    )
    async def test_every_way_to_say_it(self, alice: Person, lines: list[str], status: int) -> None:
        item = await sell(alice)
        headers = [("If-Match", line) for line in lines]
        answer = await alice.api.patch(path_of(item), json={"title": "New"}, headers=headers)
        assert answer.status_code == status, answer.text
        if status == 400:
            assert answer.json()["error_code"] == "HTTP_400"
            assert answer.json()["detail"].startswith("If-Match ")
        assert (await alice.api.get(path_of(item))).json()["version"] == (2 if status == 200 else 1)

    async def test_strangers_learn_nothing_by_it(
        self, client: httpx.AsyncClient, alice: Person, bob: Person
    ) -> None:
        item, hidden = await sell(alice), await sell(alice, status="draft")
        for caller, one, status in ((client, item, 401), (bob.api, item, 403), (bob.api, hidden, 404)):
            for tag in ('"1-x"', '"9-x"'):
                answer = await caller.patch(path_of(one), json={"title": "x"}, headers={"If-Match": tag})
                assert (answer.status_code, "etag" in answer.headers) == (status, False)


@pytest.mark.parametrize("tag", ["1-x", '"', "", "W/1-x", '"a" "b"'])
async def test_a_malformed_question_is_refused(client: httpx.AsyncClient, alice: Person, tag: str) -> None:
    answer = await ask(client, await sell(alice), tag)
    assert code(answer) == (400, "HTTP_400")
    assert answer.json()["detail"].startswith("If-None-Match ")


async def test_a_new_picture_and_another_owners_name_count(
    client: httpx.AsyncClient, new_person: NewPerson
) -> None:
    seller = await new_person("Seller")
    item = await sell(seller)
    before = await tag_of(client, item)
    assert (await seller.api.put("/api/v1/users/me", json={"first_name": "Ada"})).status_code == 200
    renamed = await tag_of(client, item)
    assert renamed != before
    assert renamed.partition("-")[0] == before.partition("-")[0], "no change of the item"
