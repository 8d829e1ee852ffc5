"""Finding items by words: what is found, in which order, and that whatever is typed is a question."""

from typing import Any

import httpx
import pytest
from sqlalchemy import insert, select, update

from tests.conftest import Person, World
from tests.items.market import ITEMS, SEARCH, change, faults, new_category, sell, titles
from tradepost.core.search import statements
from tradepost.items.indexing import ItemIndexer
from tradepost.items.models import ItemTag, ItemText
from tradepost.items.repository import search as repository
from tradepost.items.repository.search_statements import made


class TestWhatIsFound:
    async def test_words_in_title_tags_and_description(
        self, client: httpx.AsyncClient, alice: Person
    ) -> None:
        await sell(alice, "Described", description="with a lamp in it")
        await sell(alice, "Tagged", tags=["old lamp"])
        await sell(alice, "A green lamp")
        await sell(alice, "Nothing", description="of the kind", tags=["ample"])
        assert await titles(client, SEARCH, q="LaMp") == ["A green lamp", "Tagged", "Described"]
        assert await titles(client, SEARCH, q="lamp green") == ["A green lamp"]
        assert await titles(client, SEARCH, q="  lamp  ") == ["A green lamp", "Tagged", "Described"]
        assert await titles(client, SEARCH, q="green chair") == []
        assert set(await titles(client, q="lamp")) == {"A green lamp", "Tagged", "Described"}
        assert await titles(client, q="lamp green", total="exact") == ["A green lamp"]

    async def test_whole_words_then_beginnings_then_typos_then_fields(
        self, client: httpx.AsyncClient, alice: Person
    ) -> None:
        await sell(alice, "lomp")
        await sell(alice, "lampshade")
        await sell(alice, "x", description="lamp")
        await sell(alice, "y", tags=["lamp"])
        await sell(alice, "lamp")
        assert await titles(client, SEARCH, q="lamp") == ["lamp", "y", "x", "lampshade", "lomp"]
        assert await titles(client, SEARCH, q="lamps") == ["lampshade", "lamp", "y", "x"]

    async def test_only_the_last_word_may_be_begun(self, client: httpx.AsyncClient, alice: Person) -> None:
        await sell(alice, "brass lamp")
        assert await titles(client, SEARCH, q="brass la") == ["brass lamp"]
        assert await titles(client, SEARCH, q="bra lamp") == []

    @pytest.mark.parametrize(
        ("typed", "is_found"),
        [
            ("lmp", False),  # three letters
            ("lxmp", True),
            ("lap lamb", False),
            ("lammp", True),
            ("lxxp", False),
            ("keybord", True),
            ("keyxoxrd", True),
            ("kyebaord", False),  # two swaps are four edits
            ("keybaord", True),
            ("kxyxoxrd", False),
            ("12345", False),
        ],
    )
    async def test_typos(self, client: httpx.AsyncClient, alice: Person, typed: str, is_found: bool) -> None:  # noqa: FBT001
        title = "keyboard" if typed[0] == "k" else "12346" if typed[0] == "1" else "lamp"
        await sell(alice, title)
        assert await titles(client, SEARCH, q=typed) == ([title] if is_found else [])

    async def test_phrases_and_exclusions(self, client: httpx.AsyncClient, alice: Person) -> None:
        for title, fields in (
            ("old brass lamp", {}),
            ("brass old lamp", {}),
            ("lamps", {"tags": ["old", "brass"]}),
            ("chair", {"description": "An old, brass thing"}),
        ):
            await sell(alice, title, **fields)
        for q, wanted in (
            ('"old brass"', {"old brass lamp", "chair"}),
            ("“old brass”", {"old brass lamp", "chair"}),
            ('lamp -"old brass"', {"brass old lamp", "lamps"}),
            ("lamp -lamps", {"old brass lamp", "brass old lamp"}),
            ("-lamp", {"lamps", "chair"}),
            ('"ld bras"', set()),
            ('"old brass', {"old brass lamp", "brass old lamp", "lamps", "chair"}),
            ("old-brass", {"old brass lamp", "brass old lamp", "lamps", "chair"}),
            ("brass - lamp", {"old brass lamp", "brass old lamp", "lamps"}),
        ):
            assert set(await titles(client, SEARCH, q=q)) == wanted, q

    async def test_scripts_without_spaces(self, client: httpx.AsyncClient, alice: Person) -> None:
        for title in ("日本語のラーメン", "東京都庁", "ต้มยำกุ้ง", "猫カフェ"):
            await sell(alice, title)
        for q, wanted in (
            ("本語", "日本語のラーメン"),
            ("ﾗｰﾒﾝ", "日本語のラーメン"),
            ("ン", "日本語のラーメン"),
            ("京都", "東京都庁"),
            ("ยำ", "ต้มยำกุ้ง"),
            ("猫", "猫カフェ"),
        ):
            assert await titles(client, SEARCH, q=q) == [wanted], q
        assert await titles(client, SEARCH, q="本日") == await titles(client, SEARCH, q="東京庁") == []

    async def test_symbols_are_looked_for_alone(self, client: httpx.AsyncClient, alice: Person) -> None:
        await sell(alice, "100% wool")
        await sell(alice, "a_b 🦊")
        assert await titles(client, SEARCH, q="%") == ["100% wool"]
        assert await titles(client, SEARCH, q="🦊") == await titles(client, q="_") == ["a_b 🦊"]
        assert await titles(client, SEARCH, q="100%") == ["100% wool"]
        assert await titles(client, SEARCH, q="*") == []

    @pytest.mark.parametrize(
        "q",
        [
            *(
                '"',
                '""',
                "-",
                "--",
                '-"',
                '-""',
                "(",
                ")",
                "*",
                ":",
                "&|!",
                "'",
                "\\",
                "a:*",
                "NEAR(a b)",
                "a OR b",
            ),
            *(
                "\u0301",
                "\u200d\u200d",
                "🦊",
                "{title}: x",
                "^a",
                "a + b",
                "AND",
                "NOT",
                "'; --",
                "§1",
                "¤25",
            ),
            *(
                '"' * 200,
                "-" * 200,
                "(" * 200,
                "&" * 200,
                "a " * 100,
                "-a " * 66,
                "日" * 200,
                "\ufdfa" * 200,
                "x" * 200,
            ),
        ],
    )
    async def test_whatever_is_typed_is_a_question(
        self, client: httpx.AsyncClient, alice: Person, q: str
    ) -> None:
        await sell(alice, "a lamp", description="日" * 300)
        for path in (SEARCH, ITEMS):
            assert (await client.get(path, params={"q": q})).status_code == 200

    async def test_what_cannot_be_looked_for(self, client: httpx.AsyncClient) -> None:
        assert faults(await client.get(SEARCH)) == [(["query", "q"], "missing")]
        for path in (SEARCH, ITEMS):
            for q, kind in ((" ", "blank"), ("\u3000 ", "blank"), ("x" * 201, "string_too_long")):
                assert faults(await client.get(path, params={"q": q})) == [(["query", "q"], kind)]
            for raw in ("%00", "a%00b", "%ff", "%ed%a0%80", "%c0%af"):
                assert faults(await client.get(f"{path}?q={raw}")) == [(["query", "q"], "string_unicode")]

    async def test_it_follows_changes(
        self, client: httpx.AsyncClient, world: World, alice: Person, moderator: Person
    ) -> None:
        item = await sell(alice, "lamp", tags=["brass"])
        await change(alice, item, title="chair")
        assert await titles(client, SEARCH, q="lamp") == []
        assert await titles(client, SEARCH, q="chair") == ["chair"]
        tag = (await moderator.api.get("/api/v1/tags/")).json()["tags"][0]["id"]
        await moderator.api.patch(f"/api/v1/tags/{tag}", json={"name": "copper"})
        await world.resources[ItemIndexer].run()
        assert await titles(client, SEARCH, q="copper") == ["chair"]
        assert await titles(client, SEARCH, q="brass") == []
        await alice.api.delete(f"{ITEMS}{item['id']}")
        assert await titles(client, SEARCH, q="chair") == []

    async def test_hidden_items_are_found_by_their_owner_alone(
        self, client: httpx.AsyncClient, alice: Person, bob: Person, moderator: Person
    ) -> None:
        await sell(alice, "secret lamp", status="draft")
        for caller, wanted in (
            (client, []),
            (bob.api, []),
            (alice.api, ["secret lamp"]),
            (moderator.api, ["secret lamp"]),
        ):
            assert await titles(caller, SEARCH, q="lamp") == wanted
            assert await titles(caller, q="lamp") == wanted


class TestTheAnswer:
    async def test_filters_and_sorts(
        self, client: httpx.AsyncClient, alice: Person, bob: Person, admin: Person
    ) -> None:
        category = await new_category(admin, "Light")
        await sell(alice, "lamp b", 30, tags=["brass"], category_id=category["id"])
        await sell(bob, "lamp a", 20, tags=["oak"])
        await sell(alice, "shade", 10, description="for a lamp")
        answer = await client.get(SEARCH, params={"q": "lamp"})
        for query, wanted in (
            ({}, ["lamp a", "lamp b", "shade"]),
            ({"sort": "price"}, ["shade", "lamp a", "lamp b"]),
            ({"sort": "title"}, ["lamp a", "lamp b", "shade"]),
            ({"category": "light"}, ["lamp b"]),
            ({"tag": "oak"}, ["lamp a"]),
            ({"owner_id": alice.id}, ["lamp b", "shade"]),
            ({"min_price": 15, "max_price": 25}, ["lamp a"]),
            ({"status_filter": "draft"}, []),
        ):
            answer = await client.get(SEARCH, params={"q": "lamp", **query})
            assert [item["title"] for item in answer.json()] == wanted, query
            assert answer.headers["x-total-count"] == str(len(wanted))
        assert "x-total-count-relation" not in answer.headers
        answer = await client.get(SEARCH, params={"q": "lamp", "min_price": 3, "max_price": 2})
        assert faults(answer)[0][0] == ["query", "min_price"]

    @pytest.mark.parametrize("few", [0, repository.FEW])
    async def test_pages_by_number_leave_the_kept_statements_as_they_are(
        self, client: httpx.AsyncClient, alice: Person, monkeypatch: pytest.MonkeyPatch, few: int
    ) -> None:
        """There are so many of them: they would drive out what is asked for again."""
        monkeypatch.setattr(repository, "FEW", few)
        for number in range(4):
            await sell(alice, f"lamp {number}")
        pages = [{"limit": 1, "skip": number} for number in range(4)]
        assert [await titles(client, SEARCH, q="lamp", **page) for page in pages[:1]] == [["lamp 3"]]
        before = made.cache_info().misses
        found = [await titles(client, SEARCH, q="lamp", **page) for page in pages[1:]]
        assert found == [["lamp 2"], ["lamp 1"], ["lamp 0"]]
        assert made.cache_info().misses == before

    @pytest.mark.parametrize("sort", [None, "price", "-title"])
    async def test_pages_by_cursor(self, client: httpx.AsyncClient, alice: Person, sort: str | None) -> None:
        for number in range(7):
            await sell(alice, f"lamp {number}" if number % 2 else "x", 10 + number % 3, description="lamp")
        query: dict[str, Any] = {"q": "lamp", "limit": 2} | ({"sort": sort} if sort else {})
        whole = [item["id"] for item in (await client.get(SEARCH, params={**query, "limit": 100})).json()]
        seen: list[int] = []
        answer = await client.get(SEARCH, params=query)
        seen += [item["id"] for item in answer.json()]
        await sell(alice, "lamp new", 1)
        while "next" in answer.links:
            answer = await client.get(answer.links["next"]["url"])
            assert answer.status_code == 200, answer.text
            assert "x-total-count" not in answer.headers
            seen += [item["id"] for item in answer.json()]
        assert [item_id for item_id in seen if item_id in whole] == whole
        assert [
            item["id"] for item in (await client.get(SEARCH, params={**query, "skip": 2})).json()
        ] != seen[:2]
        last = answer.request.url.params["cursor"]
        answer = await client.get(SEARCH, params={"q": "lamps", "limit": 2, "cursor": last})
        assert faults(answer) == [(["query", "cursor"], "cursor")]

    async def test_counting_ends(
        self, client: httpx.AsyncClient, alice: Person, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for module in (statements, repository):
            monkeypatch.setattr(module, "RANKED", 3)
        monkeypatch.setattr(repository, "FEW", 0)
        for number in range(5):
            await sell(alice, f"lamp {number}")
        await sell(alice, "lampshade")
        answer = await client.get(SEARCH, params={"q": "lamp"})
        assert [item["title"] for item in answer.json()] == ["lamp 4", "lamp 3", "lamp 2"]
        assert answer.headers["x-total-count"] == "3"
        assert answer.headers["x-total-count-relation"] == "at-least"

    @pytest.mark.parametrize("few", [0, 2])
    async def test_phrases_are_looked_for_in_so_many_texts(
        self, client: httpx.AsyncClient, alice: Person, monkeypatch: pytest.MonkeyPatch, few: int
    ) -> None:
        for module in (statements, repository):
            monkeypatch.setattr(module, "RANKED", 3)
        monkeypatch.setattr(repository, "FEW", few)
        for title in ("old lamp first", "a very old lamp", "lamp old", "nothing", "old lamp last"):
            await sell(alice, title)
        query = {"q": '"old lamp"', "facets": "price"}
        found = (await client.get(SEARCH, params=query)).json()
        assert [item["title"] for item in found["items"]] == ["old lamp last", "a very old lamp"]
        assert (found["total"], found["total_relation"]) == (2, "at-least")
        assert sum(one["count"] for one in found["facets"]["price"]) == 2
        query = {"q": 'nothing "old lamp"', "facets": "price"}
        found = (await client.get(SEARCH, params=query)).json()
        assert (found["items"], found["total"], found["total_relation"]) == ([], 0, "exact")
        # A list that words filter is exact.
        listed = (await client.get(ITEMS, params={"q": '"old lamp"'})).json()
        assert (len(listed["items"]), listed["total"]) == (3, 3)

    async def test_highlights(self, client: httpx.AsyncClient, alice: Person) -> None:
        await sell(alice, "Café <b> & Lámpshade", description="Old lamps, 'lamb' and LAMP")
        await sell(alice, "日本語のラーメン cafe\u0301 lamp")
        found = (await client.get(SEARCH, params={"q": "cafe lamp", "highlight": "true"})).json()
        assert [item["highlights"] for item in found] == [
            {"title": "日本語のラーメン <mark>cafe\u0301</mark> <mark>lamp</mark>", "description": None},
            {
                "title": "<mark>Café</mark> &lt;b&gt; &amp; Lámpshade".replace(
                    "Lámpshade", "<mark>Lámpshade</mark>"
                ),
                "description": "Old <mark>lamps</mark>, &#x27;<mark>lamb</mark>&#x27; and <mark>LAMP</mark>",
            },
        ]
        found = (await client.get(SEARCH, params={"q": "ラーメ", "highlight": "true", "fields": "id"})).json()
        assert found[0]["highlights"]["title"] == "日本語の<mark>ラーメ</mark>ン cafe\u0301 lamp"
        assert set(found[0]) == {"id", "highlights"}

    async def test_facets(self, client: httpx.AsyncClient, alice: Person, admin: Person) -> None:
        category = await new_category(admin, "Light")
        await sell(alice, "lamp", 5, tags=["brass", "old"], category_id=category["id"])
        await sell(alice, "lamp", 24.99, tags=["brass"])
        await sell(alice, "lamp", 20_000)
        await sell(alice, "chair", 20_000, tags=["brass"])
        query: dict[str, Any] = {"q": "lamp", "facets": "category,tag,price", "limit": 1}
        answer = (await client.get(SEARCH, params=query)).json()
        assert answer["facets"] == {
            "category": [{"value": category["id"], "count": 1}],
            "tag": [{"value": "brass", "count": 2}, {"value": "old", "count": 1}],
            "price": [
                {"value": "0-9.99", "count": 1},
                {"value": "10-24.99", "count": 1},
                {"value": "10000-", "count": 1},
            ],
        }
        assert (answer["total"], answer["total_relation"], len(answer["items"])) == (3, "exact", 1)
        more = (await client.get(SEARCH, params={**query, "cursor": answer["next_cursor"]})).json()
        assert (more["total"], more["total_relation"]) == (None, None)
        assert more["items"][0]["id"] < answer["items"][0]["id"]
        assert faults(await client.get(SEARCH, params={**query, "facets": "colour"})) == [
            (["query", "facets"], "facets")
        ]

    @pytest.mark.parametrize("few", [0, 100])
    async def test_filters_are_exact_by_the_texts_and_past_them(
        self,
        world: World,
        client: httpx.AsyncClient,
        alice: Person,
        monkeypatch: pytest.MonkeyPatch,
        few: int,
    ) -> None:
        monkeypatch.setattr(repository, "FEW", few)
        monkeypatch.setattr(repository, "MOST_PRICED", few)
        await sell(alice, "lamp one", tags=["old brass", "new"], price=100)
        await sell(alice, "lamp two", tags=["old", "brass"], price=110)
        await sell(alice, "lamp three", tags=["brass old"], price=240)
        await sell(alice, "lamp four", tags=["older"], price=2_600)

        async def found(**query: Any) -> list[str]:
            answer = await client.get(SEARCH, params={"q": "lamp", "facets": "tag", **query})
            assert answer.json()["total"] == len(answer.json()["items"])
            return [one["title"].removeprefix("lamp ") for one in answer.json()["items"]]

        for _ in range(2):
            assert await found(tag="old brass") == ["one"]
            assert await found(tag="old") == ["two"]
            assert await found(tag="brass") == ["two"]
            assert await found(tag=["brass", "old"]) == ["two"]
            assert await found(tag=["old brass", "brass"]) == []
            # What links alone tell.
            async with world.database.transaction() as db:
                await db.execute(update(ItemText).values(tag_names=None))
        assert await found(min_price=100, max_price="2599.99") == ["three", "two", "one"]
        assert await found(min_price="100.01", max_price=240) == ["three", "two"]
        assert await found(min_price=240) == ["four", "three"]
        assert await found(max_price=100) == ["one"]
        assert await found(min_price=120, max_price=130) == []
        assert await found(min_price=100, tag="older") == ["four"]

    async def test_facets_follow_tags_at_once(
        self, world: World, client: httpx.AsyncClient, alice: Person, moderator: Person
    ) -> None:
        lamp = await sell(alice, "lamp", tags=["brass", "old"])
        await sell(alice, "lamp", tags=["brass"])
        bare = await sell(alice, "lamp")

        async def counted() -> dict[str, int]:
            answer = await client.get(SEARCH, params={"q": "lamp", "facets": "tag"})
            return {one["value"]: one["count"] for one in answer.json()["facets"]["tag"]}

        async def known() -> set[str | None]:
            """Return what is written of tags beside the texts."""
            async with world.database.read() as db:
                return set(await db.scalars(select(ItemText.tag_names)))

        async def tag(name: str) -> str:
            found = (await client.get("/api/v1/tags/", params={"limit": 100})).json()["tags"]
            return f"/api/v1/tags/{next(one['id'] for one in found if one['name'] == name)}"

        assert await counted() == {"brass": 2, "old": 1}
        await change(alice, bare, tags=["new", "old"])
        assert await counted() == {"brass": 2, "old": 2, "new": 1}
        assert None not in await known()
        await moderator.api.patch(await tag("brass"), json={"name": "gold"})
        assert await counted() == {"gold": 2, "old": 2, "new": 1}
        assert await known() == {None, "new\nold"}
        await world.resources[ItemIndexer].refresh()
        assert await known() == {"gold\nold", "gold", "new\nold"}
        target = (await tag("new")).rpartition("/")[2]
        await moderator.api.post(f"{await tag('old')}/merge", json={"into_id": int(target)})
        assert await counted() == {"gold": 2, "new": 2}
        await moderator.api.delete(await tag("gold"))
        assert await counted() == {"new": 2}
        await change(alice, lamp, tags=[])
        assert await counted() == {"new": 1}
        # The previous release knows nothing of names beside texts.
        async with world.database.transaction() as db:
            await db.execute(insert(ItemTag).values(item_id=lamp["id"], tag="new", position=0))
        assert await counted() == {"new": 2}
