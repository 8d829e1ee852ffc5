"""Parts of lists: their numbers, their totals, and the links between them."""

from itertools import pairwise
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from tests.conftest import Person, World
from tests.items.market import ITEMS, MINE, SEARCH, change, faults, page, path_of, sell, set_columns, titles
from tradepost.core.database.engines import Database
from tradepost.core.wire.pagination import Total, Window
from tradepost.items.filters import ItemFilter
from tradepost.items.repository.items import ItemRepository

NUMBERS = ("total", "page", "size", "pages")


class TestPages:
    async def test_of_nothing(self, client: httpx.AsyncClient) -> None:
        assert await page(client) == {
            "items": [],
            "total": 0,
            "page": 1,
            "size": 100,
            "pages": 0,
            "next_cursor": None,
        }

    async def test_are_numbered(self, client: httpx.AsyncClient, alice: Person) -> None:
        for number in range(7):
            await sell(alice, str(number))
        for skip, limit, page_number, pages, found in (
            (0, 100, 1, 1, 7),
            (0, 7, 1, 1, 7),
            (0, 3, 1, 3, 3),
            (3, 3, 2, 3, 3),
            (6, 3, 3, 3, 1),
            (9, 3, 4, 3, 0),
            (2, 3, 1, 3, 3),
            (5, 3, 2, 3, 2),
            (6, 1, 7, 7, 1),
            (7, 1, 8, 7, 0),
            (2**63 - 1024, 100, (2**63 - 1024) // 100 + 1, 1, 0),
            (2**63 - 1024, 1, 2**63 - 1023, 7, 0),
        ):
            wanted = [str(number) for number in range(7)][skip : skip + limit]
            assert len(wanted) == found
            for caller in (client, alice.api):
                envelope = await page(caller, skip=skip, limit=limit, sort="created_at")
                assert [envelope[name] for name in NUMBERS] == [7, page_number, limit, pages]
                assert [item["title"] for item in envelope["items"]] == wanted

    async def test_total_as_it_is_wanted(self, client: httpx.AsyncClient, alice: Person) -> None:
        for number in range(5):
            await sell(alice, str(number), tags=["x"])
        for caller, query in ((client, {}), (alice.api, {}), (client, {"tag": "x"}), (client, {"q": "3"})):
            there = 1 if query.get("q") else 5
            for total in (None, "exact", "true"):
                asked = query if total is None else query | {"total": total}
                envelope = await page(caller, limit=2, **asked)
                assert [envelope[name] for name in NUMBERS] == [there, 1, 2, -(-there // 2)]
            envelope = await page(caller, limit=2, total="false", **query)
            assert [envelope[name] for name in NUMBERS] == [None, 1, 2, None]
            assert len(envelope["items"]) == min(2, there)
            envelope = await page(caller, limit=2, total="estimated", **query)
            assert isinstance(envelope["total"], int)
            assert [envelope[name] for name in NUMBERS[1:]] == [1, 2, -(-envelope["total"] // 2)]

    async def test_an_estimate_is_not_less_than_what_is_seen(
        self, client: httpx.AsyncClient, alice: Person
    ) -> None:
        """Nothing was analysed yet, so that the planner knows nothing of these rows."""
        for number in range(5):
            await sell(alice, str(number), tags=["x"])
        for query, wanted in (
            ({}, 5),
            ({"tag": "x"}, 5),
            ({"tag": "y"}, 0),
            ({"q": "3"}, 1),
            ({"skip": 3}, 5),
        ):
            assert (await page(client, total="estimated", **query))["total"] == wanted
        assert (await page(client, total="estimated", limit=2))["total"] >= 2
        assert (await page(client, total="estimated", skip=7))["total"] <= 7

    async def test_an_estimate_never_ends_a_list_early(
        self, client: httpx.AsyncClient, alice: Person
    ) -> None:
        """A client goes on as long as ``pages`` says that there is more."""
        for number in range(7):
            await sell(alice, str(number), tags=["x"])
        for limit in (1, 2, 3, 7, 100):
            for query in ({}, {"tag": "x"}):
                seen: list[str] = []
                number, pages = 0, 1
                while number < pages:
                    envelope = await page(
                        client,
                        total="estimated",
                        skip=number * limit,
                        limit=limit,
                        sort="created_at",
                        **query,
                    )
                    seen += [item["title"] for item in envelope["items"]]
                    number, pages = number + 1, envelope["pages"]
                assert seen == [str(at) for at in range(7)], (limit, query)

    @pytest.mark.parametrize("path", [ITEMS, MINE, SEARCH])
    async def test_bad_windows_are_named(self, alice: Person, path: str) -> None:
        for name, values in (
            ("skip", ("-1", str(2**63), "x", "1.5")),
            ("limit", ("0", "-1", "101", str(2**63), "x", "1.5")),
            ("total", ("maybe", "none", "True", "1")),
        ):
            for value in values:
                words = {"q": "x"} if path == SEARCH else {}
                (fault,) = faults(await alice.api.get(path, params={**words, name: value}))
                assert fault[0] == ["query", name], value

    async def test_of_the_longest_list(self, client: httpx.AsyncClient, alice: Person) -> None:
        for number in range(101):
            await sell(alice, f"{number:03}")
        everything = [f"{number:03}" for number in range(101)]
        assert await titles(client, sort="title") == everything[:100]
        assert await titles(client, sort="title", skip=100) == everything[100:]
        envelope = await page(client)
        assert [envelope[name] for name in NUMBERS] == [101, 1, 100, 2]


class TestTotal:
    async def test_follows_every_write_at_once(
        self, client: httpx.AsyncClient, alice: Person, admin: Person
    ) -> None:
        async def total() -> Any:
            return (await page(client, limit=1))["total"]

        assert await total() == 0
        first = await sell(alice)
        assert await total() == 1
        draft = await sell(alice, status="draft")
        assert await total() == 1
        await change(alice, draft, status="active")
        assert await total() == 2
        await change(alice, draft, title="Still active")
        assert await total() == 2
        await change(alice, draft, status="inactive")
        assert await total() == 1
        await change(alice, draft, status="draft")
        assert await total() == 1
        await alice.api.delete(path_of(draft))
        assert await total() == 1
        assert (
            await alice.api.post(ITEMS, json={"title": "Lamp", "price": 1, "category_id": 99})
        ).status_code == 422
        assert await total() == 1
        await admin.api.delete(path_of(first))
        assert await total() == 0

    async def test_follows_what_goes_past_the_services(
        self, client: httpx.AsyncClient, world: World, alice: Person
    ) -> None:
        item = await sell(alice)
        assert (await page(client))["total"] == 1
        # As another process would.
        await set_columns(world, item, status="draft")
        for query in (
            {},
            {"status_filter": "active"},
            {"min_price": 0},
            {"q": "Lamp"},
            {"owner_id": alice.id},
        ):
            assert (await page(client, **query))["total"] == 0
        assert (await page(alice.api))["total"] == 1


def links(answer: httpx.Response) -> dict[str, str]:
    """Return the addresses of a ``Link`` header by relation."""
    found = {}
    for link in answer.headers.get("link", "").split(", "):
        if link:
            address, relation = link.split("; ")
            found[relation.removeprefix('rel="').removesuffix('"')] = address.strip("<>")
    return found


class TestBareArrays:
    @pytest.mark.parametrize("path", [MINE, SEARCH])
    async def test_links_lead_through_the_whole_list(self, alice: Person, path: str) -> None:
        for number in range(7):
            await sell(alice, f"été & {number}")
        query: dict[str, Any] = {
            "limit": 3,
            **({"q": "ÉTÉ &", "min_price": "0.5"} if path == SEARCH else {"sort": "-created_at"}),
        }
        answers = [await alice.api.get(path, params=query)]
        assert "prev" not in links(answers[0])
        while "next" in links(answers[-1]):
            answers.append(await alice.api.get(links(answers[-1])["next"]))
        found = [item["title"] for answer in answers for item in answer.json()]
        assert found == [f"été & {number}" for number in range(6, -1, -1)]
        assert [len(answer.json()) for answer in answers] == [3, 3, 1]
        # What follows a cursor is not counted unless asked for.
        assert [answer.headers.get("x-total-count") for answer in answers] == ["7", None, None]
        for answer in answers[1:]:
            assert (await alice.api.get(links(answer)["first"])).json() == answers[0].json()
        assert (await alice.api.get(links(answers[0])["last"])).json() == answers[-1].json()

    async def test_links_lead_back_from_an_offset(self, alice: Person) -> None:
        for number in range(7):
            await sell(alice, str(number))
        answers = [await alice.api.get(MINE, params={"skip": skip, "limit": 3}) for skip in (0, 3, 6)]
        assert {answer.headers["x-total-count"] for answer in answers} == {"7"}
        for before, after in pairwise(answers):
            assert (await alice.api.get(links(before)["next"])).json() == after.json()
            assert (await alice.api.get(links(after)["prev"])).json() == before.json()
            assert (await alice.api.get(links(after)["first"])).json() == answers[0].json()
            assert (await alice.api.get(links(after)["last"])).json() == answers[-1].json()

    async def test_a_list_of_one_page_has_only_itself(self, alice: Person) -> None:
        answer = await alice.api.get(MINE)
        assert (answer.json(), answer.headers["x-total-count"], links(answer)) == ([], "0", {})
        for number in range(3):
            await sell(alice, str(number))
        answer = await alice.api.get(MINE, params={"limit": 3})
        assert answer.headers["x-total-count"] == "3"
        assert not {"next", "prev", "first"} & set(links(answer))

    async def test_the_way_back_from_an_odd_place(self, alice: Person) -> None:
        for number in range(5):
            await sell(alice, str(number))
        answer = await alice.api.get(MINE, params={"skip": 1, "limit": 2})
        before = await alice.api.get(links(answer)["prev"])
        # What was skipped, and nothing that was on the page already.
        assert [item["title"] for item in before.json()][:1] == ["4"]
        answer = await alice.api.get(MINE, params={"skip": 99, "limit": 2})
        assert answer.json() == []
        assert "next" not in links(answer)
        assert (await alice.api.get(links(answer)["last"])).json()[-1]["title"] == "0"

    async def test_without_a_total(self, alice: Person) -> None:
        for number in range(5):
            await sell(alice, str(number))
        answer = await alice.api.get(MINE, params={"limit": 2, "total": "false"})
        assert "x-total-count" not in answer.headers
        found = [item["title"] for item in answer.json()]
        while "next" in links(answer):
            assert "last" not in links(answer)
            answer = await alice.api.get(links(answer)["next"])
            found += [item["title"] for item in answer.json()]
        assert found == ["4", "3", "2", "1", "0"]

    async def test_an_estimate_is_a_number_too(self, alice: Person) -> None:
        await sell(alice)
        answer = await alice.api.get(MINE, params={"total": "estimated"})
        assert answer.headers["x-total-count"].isdigit()
        assert [item["title"] for item in answer.json()] == ["Lamp"]


MANY = """
INSERT INTO items (title, price, status, images, views, owner_id, version, created_at, updated_at)
SELECT 'Lamp', 1, 'active', '[]', 0, :owner, 1, now() + number * interval '1 second', now()
FROM generate_series(1, 10000) AS number
"""
PLANS = """
SELECT sum(custom_plans), sum(generic_plans) FROM pg_prepared_statements WHERE statement LIKE 'SELECT items.id %'
"""


async def test_later_pages_are_planned_once(world: World, alice: Person) -> None:
    """PostgreSQL takes longer to plan a page than to find it."""
    if world.engine != "postgresql":
        pytest.skip("SQLite plans each statement once")
    async with world.database.transaction() as db:
        await db.execute(text(MANY), {"owner": alice.id})
        await db.execute(text("ANALYZE items"))
    own = Database(world.database.options)
    async with own.read() as db:
        for skip in range(140, 230, 10):
            window = Window(skip, 20, Total.NONE, "-created_at")
            assert len((await ItemRepository(db).page(ItemFilter(), window)).rows) == 20
        # By each way, SQLAlchemy's once and the short one then, the first five executions are always planned for themselves.
        assert (await db.execute(text(PLANS))).one() == (6, 3)
    await own.close()
