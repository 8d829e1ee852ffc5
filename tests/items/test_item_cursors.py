"""Lists by cursor, held against a model: rows come and go between the pages, sort values tie, orders are mixed."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, insert, make_url, select

from tests.conftest import Person
from tests.items.market import ITEMS, MINE, SEARCH, faults, page, sell, titles
from tradepost.accounts.models import User
from tradepost.accounts.permissions import Role
from tradepost.core.database.engines import Database
from tradepost.core.database.options import DatabaseOptions
from tradepost.core.database.sessions import WriteSession
from tradepost.core.wire.folding import sort_key
from tradepost.core.wire.pagination import Total, Window
from tradepost.items.filters import ItemFilter
from tradepost.items.models import Item, ItemTag
from tradepost.items.plans import INDEXED, PRICE, Plan, chosen, smallest
from tradepost.items.repository import sizes
from tradepost.items.repository.items import ItemRepository
from tradepost.items.schemas import ItemStatus
from tradepost.tags.models import Tag

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ONE_SORT = st.tuples(st.sampled_from(["created_at", "price", "title", "views"]), st.booleans())
# Few values, so that most of them tie.
ROW = st.fixed_dictionaries(
    {
        "created_at": st.sampled_from([NOW, NOW + timedelta(microseconds=1), NOW + timedelta(days=1)]),
        "price": st.sampled_from([Decimal("0.10"), Decimal("9.99"), Decimal(10)]),
        "title": st.sampled_from(["a", "Á", "b", "B", "c"]),
        "views": st.integers(0, 2),
        "status": st.sampled_from([ItemStatus.ACTIVE, ItemStatus.ACTIVE, ItemStatus.DRAFT]),
        "owner": st.integers(0, 1),
        "tagged": st.booleans(),
    }
)
FILTER = st.fixed_dictionaries(
    {
        "tag": st.sampled_from([False, False, True]),
        "owner": st.sampled_from([None, None, 0]),
        "min_price": st.sampled_from([None, None, Decimal("9.99")]),
        "visitor": st.sampled_from([None, 0, "staff"]),
    }
)


@dataclass
class Script:
    """What is in the list, how it is asked for, and what happens after each page: rows to add, and which one goes."""

    rows: list[dict[str, Any]]
    sort: list[tuple[str, bool]]
    limit: int
    wanted: dict[str, Any]
    between: list[tuple[list[dict[str, Any]], int | None]]
    steps: int | None
    """How far an index is walked along before what is wanted is gathered, where one serves the order."""


SCRIPTS = st.builds(
    Script,
    st.lists(ROW, max_size=9),
    st.lists(ONE_SORT, min_size=1, max_size=3, unique_by=lambda one: one[0]),
    st.integers(1, 3),
    FILTER,
    st.lists(st.tuples(st.lists(ROW, max_size=2), st.none() | st.integers(0, 9)), max_size=4),
    st.sampled_from([None, 1, 3, 20]),
)


@dataclass
class Model:
    """The items, and the list that they ought to make."""

    script: Script
    owners: Sequence[int]
    rows: dict[int, dict[str, Any]] = field(default_factory=dict)

    def listed(self, after: int | None, gone: dict[int, dict[str, Any]]) -> list[int]:
        """Return the ids that follow an item, which may be gone by now, in order."""
        ids = [item_id for item_id, row in self.rows.items() if self._matches(row)]
        if after is not None and after not in ids:
            ids.append(after)
        known = self.rows | gone
        ids.sort(reverse=self.script.sort[-1][1])
        for name, descending in reversed(self.script.sort):
            ids.sort(key=lambda item_id: key_of(known[item_id][name]), reverse=descending)
        return ids if after is None else ids[ids.index(after) + 1 :]

    def _matches(self, row: dict[str, Any]) -> bool:
        wanted = self.script.wanted
        visitor = wanted["visitor"]
        return (
            (row["status"] is ItemStatus.ACTIVE or visitor in {"staff", row["owner"]})
            and (not wanted["tag"] or row["tagged"])
            and wanted["owner"] in {None, row["owner"]}
            and (wanted["min_price"] is None or row["price"] >= wanted["min_price"])
        )

    def filter(self) -> ItemFilter:
        """Return the filter as the application has it."""
        wanted = self.script.wanted
        visitor, owner = wanted["visitor"], wanted["owner"]
        return ItemFilter(
            tags=("red",) if wanted["tag"] else (),
            owner_id=None if owner is None else self.owners[owner],
            min_price=wanted["min_price"],
            visitor_id=self.owners[visitor] if visitor == 0 else None,
            sees_all=visitor == "staff",
        )


def planned(script: Script) -> Callable[..., Plan]:
    """Return what chooses plans for a script: a few rows would never be walked to."""

    def choose(everything: int, parts: Mapping[str, int], *, sort: str, **options: Any) -> Plan:
        field = sort.removeprefix("-")
        if script.steps is None or not parts or field not in INDEXED:
            return chosen(everything, parts, sort=sort, **options)
        limited, plan = PRICE if field == PRICE else None, Plan(smallest(parts), gathers=True)
        if "tag_0" in parts:
            plan = Plan(limited, steps=2 * script.steps, sieve="tag_0", second=plan)
        return Plan(limited, steps=script.steps, second=plan)

    return choose


def key_of(value: Any) -> Any:
    """Return what a value is sorted by."""
    return sort_key(value) if isinstance(value, str) else value


class Undone(Exception):
    """Ends the transaction of a script."""


async def add(db: WriteSession, model: Model, rows: Sequence[dict[str, Any]]) -> None:
    for row in rows:
        columns = {name: value for name, value in row.items() if name not in {"owner", "tagged"}}
        values = {**columns, "owner_id": model.owners[row["owner"]], "updated_at": NOW, "images": []}
        item_id = await db.scalar(insert(Item).values(version=1, **values).returning(Item.id))
        assert item_id is not None
        if row["tagged"]:
            await db.execute(insert(ItemTag).values(item_id=item_id, tag="red", position=0))
        model.rows[item_id] = row


async def play(database: Database, script: Script) -> None:
    async with database.transaction() as db:
        owners = (await db.scalars(select(User.id).where(User.email.like("seller%")))).all()
        model = Model(script, owners)
        await add(db, model, script.rows)
        items, after, place = ItemRepository(db), None, None
        gone: dict[int, dict[str, Any]] = {}
        sort = ",".join(f"{'-' if descending else ''}{name}" for name, descending in script.sort)
        between = iter(script.between)
        while True:
            wanted = model.listed(after, gone)
            window = Window(limit=script.limit, total=Total.NONE, sort=sort, after=place)
            found = await items.page(model.filter(), window)
            assert [row.id for row in found.rows] == wanted[: script.limit]
            assert (found.end is None) == (len(wanted) <= script.limit)
            if found.end is None:
                break
            after, place = found.rows[-1].id, found.end
            new, leaves = next(between, ([], None))
            await add(db, model, new)
            if leaves is not None and model.rows:
                # Perhaps the very item that the cursor stands for.
                leaving = after if leaves == 0 else list(model.rows)[leaves % len(model.rows)]
                if leaving in model.rows:
                    gone[leaving] = model.rows.pop(leaving)
                    await db.execute(delete(Item).where(Item.id == leaving))
        raise Undone


@pytest.fixture
def played_on(database_url: str) -> Iterator[tuple[asyncio.Runner, Database]]:
    """A loop for hypothesis, which is not asynchronous, and a database with two sellers and a tag."""

    async def opened() -> Database:
        database = Database(DatabaseOptions(make_url(_driven(database_url))))
        async with database.transaction() as db:
            person = {"hashed_password": "x", "first_name": "A", "last_name": "B", "role": Role.USER}
            times = {"created_at": NOW, "updated_at": NOW}
            people = [{"email": f"seller{number}@example.com", **person, **times} for number in (0, 1)]
            await db.execute(insert(User), [{**one, "is_active": True} for one in people])
            await db.execute(insert(Tag), [{"name": "red", **times}])
        return database

    async def closed(database: Database) -> None:
        async with database.transaction() as db:
            await db.execute(delete(User).where(User.email.like("seller%")))
            await db.execute(delete(Tag))
        await database.close()

    with asyncio.Runner() as runner:
        database = runner.run(opened())
        yield runner, database
        runner.run(closed(database))


def _driven(url: str) -> str:
    return url.replace("sqlite:", "sqlite+aiosqlite:").replace("postgresql:", "postgresql+asyncpg:")


def test_a_list_by_cursor_is_the_model_s(played_on: tuple[asyncio.Runner, Database]) -> None:
    runner, database = played_on

    @settings(
        max_examples=80,
        database=None,
        derandomize=True,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(SCRIPTS)
    def check(script: Script) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sizes, "chosen", planned(script))
            with pytest.raises(Undone):
                runner.run(play(database, script))

    check()


async def walk(caller: httpx.AsyncClient, **query: Any) -> list[str]:
    """Return the titles of a whole list, page by page."""
    envelope = await page(caller, **query)
    seen = [item["title"] for item in envelope["items"]]
    while envelope["next_cursor"] is not None:
        envelope = await page(caller, **query, cursor=envelope["next_cursor"])
        assert [envelope[name] for name in ("total", "page", "pages")] == [None, None, None]
        seen += [item["title"] for item in envelope["items"]]
    return seen


class TestOverHttp:
    async def test_pages_follow_each_other(self, client: httpx.AsyncClient, alice: Person) -> None:
        for number in range(7):
            await sell(alice, str(number), price=number // 2 + 1, tags=["x"] if number % 2 else [])
        everything = [str(number) for number in range(7)]
        for limit in (1, 2, 3, 7, 100):
            assert await walk(client, limit=limit) == everything[::-1]
            assert await walk(client, limit=limit, sort="price,created_at") == everything
            assert await walk(client, limit=limit, sort="-price,created_at") == [*"6", *"45", *"23", *"01"]
            assert await walk(alice.api, limit=limit, tag="x", min_price=2, sort="title") == ["3", "5"]

    async def test_a_cursor_is_there_however_a_page_was_asked_for(
        self, client: httpx.AsyncClient, alice: Person
    ) -> None:
        for number in range(5):
            await sell(alice, str(number))
        for query in ({"skip": 1}, {"skip": 1, "total": "false"}, {"skip": 1, "total": "estimated"}):
            envelope = await page(client, limit=2, **query)
            after = await page(client, limit=9, cursor=envelope["next_cursor"], total="exact")
            assert [item["title"] for item in after["items"]] == ["1", "0"]
            assert [after[name] for name in ("total", "page", "pages", "next_cursor")] == [
                5,
                None,
                None,
                None,
            ]
        assert (await page(client, limit=2, skip=3))["next_cursor"] is None

    async def test_it_stands_still_while_rows_come_and_go(
        self, client: httpx.AsyncClient, alice: Person
    ) -> None:
        items = [await sell(alice, str(number)) for number in range(6)]
        first = await page(client, limit=3)
        await sell(alice, "new")
        # The row that the cursor stands for, one before it and one after it.
        for number in (3, 5, 2):
            await alice.api.delete(f"{ITEMS}{items[number]['id']}")
        assert await titles(client, cursor=first["next_cursor"]) == ["1", "0"]

    async def test_a_stranger_s_cursor_is_good_for_whoever_logs_in(
        self, client: httpx.AsyncClient, alice: Person
    ) -> None:
        for number in range(3):
            await sell(alice, str(number), status="draft" if number == 0 else "active")
        cursor = (await page(client, limit=1))["next_cursor"]
        assert await titles(client, cursor=cursor) == ["1"]
        assert await titles(alice.api, cursor=cursor) == ["1", "0"]

    async def test_of_another_list_is_refused(self, alice: Person, bob: Person) -> None:
        for number in range(3):
            await sell(alice, str(number), tags=["a", "b"])
        asked: dict[str, Any] = {"limit": 1, "tag": ["a", "b"], "min_price": "1", "q": ""}
        cursor = (await page(alice.api, **asked))["next_cursor"]
        same = asked | {"cursor": cursor, "tag": ["b", "a", "a"], "min_price": "1.00", "sort": "-created_at"}
        assert await titles(alice.api, **same | {"limit": 5}) == ["1", "0"]
        refused = [(["query", "cursor"], "cursor")]
        for other in (
            {"tag": "a"},
            {"min_price": "2"},
            {"sort": "created_at"},
            {"sort": "-created_at,price"},
            {"status_filter": "active"},
            {"owner_id": alice.id},
            {"category": "1"},
            {"max_price": "9"},
            {"cursor": "x" * 40},
            {"cursor": cursor[:-2]},
            {"cursor": ("B" if cursor.startswith("A") else "A") + cursor[1:]},
        ):
            assert faults(await alice.api.get(ITEMS, params=same | other)) == refused, other
        for path, query in ((MINE, {}), (SEARCH, {"q": "x"})):
            assert faults(await alice.api.get(path, params={"cursor": cursor, **query})) == refused
        mine = await alice.api.get(MINE, params={"limit": 1})
        assert faults(await bob.api.get(mine.links["next"]["url"])) == refused

    async def test_not_with_skip(self, alice: Person) -> None:
        for number in range(3):
            await sell(alice, str(number))
        cursor = (await page(alice.api, limit=1))["next_cursor"]
        for path in (ITEMS, MINE):
            answer = await alice.api.get(path, params={"skip": 0, "cursor": cursor})
            assert faults(answer) == [(["query", "skip"], "skip_with_cursor")]
        assert await titles(alice.api, skip="", cursor=cursor) == ["1", "0"], "empty is not set"

    async def test_links_lead_on_and_back(self, client: httpx.AsyncClient, alice: Person) -> None:
        for number in range(3):
            await sell(alice, f"ä & {number}", tags=["a b"])
        answer = await client.get(ITEMS, params={"limit": 2, "tag": "a b", "total": "false"})
        assert set(answer.links) == {"next"}
        answer = await client.get(answer.links["next"]["url"])
        assert [item["title"] for item in answer.json()["items"]] == ["ä & 0"]
        assert set(answer.links) == {"first"}
        first = await client.get(answer.links["first"]["url"])
        assert [item["title"] for item in first.json()["items"]] == ["ä & 2", "ä & 1"]
        assert "link" not in (await client.get(ITEMS)).headers


class TestSeveralSorts:
    async def test_a_field_named_twice_counts_where_it_is_first(
        self, client: httpx.AsyncClient, alice: Person
    ) -> None:
        for title, price in (("a", 2), ("b", 1), ("c", 2)):
            await sell(alice, title, price=price)
        assert await titles(client, sort="price,-title,-price") == ["b", "c", "a"]
        assert await titles(client, sort="-price,title") == ["a", "c", "b"]

    @pytest.mark.parametrize(
        "bad", ["id", "price,", ",price", "price,,title", "--price", "price title", "PRICE"]
    )
    async def test_what_is_none_is_refused(self, client: httpx.AsyncClient, bad: str) -> None:
        assert faults(await client.get(ITEMS, params={"sort": bad})) == [(["query", "sort"], "sort")]


class TestOneSOwn:
    async def test_takes_every_filter_of_the_list(self, alice: Person, bob: Person) -> None:
        await sell(bob, "bob's", price=7)
        for number in range(4):
            status = "draft" if number % 2 else "active"
            await sell(alice, str(number), price=number + 1, status=status, tags=[f"t{number // 2}"])
        for query, wanted in (
            ({"status_filter": "draft"}, ["3", "1"]),
            ({"tag": "t1"}, ["3", "2"]),
            ({"min_price": 2, "max_price": 3}, ["2", "1"]),
            ({"q": "3"}, ["3"]),
            ({"owner_id": alice.id, "sort": "price"}, ["0", "1", "2", "3"]),
            ({"owner_id": bob.id}, []),
        ):
            assert await titles(alice.api, MINE, **query) == wanted, query


class TestFields:
    async def test_only_these_are_answered(self, client: httpx.AsyncClient, alice: Person) -> None:
        item = await sell(alice, "Lamp", 20, discount_price=15, tax=7, tags=["b", "a"], description="x")
        for names in (
            "id",
            "title,id",
            "owner",
            "total_price",
            "tags",
            "price,discount_price,tax",
            ",".join(item),
        ):
            wanted = {name: item[name] for name in item if name in names.split(",")}
            for found in (
                (await client.get(f"{ITEMS}{item['id']}", params={"fields": names})).json(),
                (await page(client, fields=names))["items"][0],
                (await alice.api.get(MINE, params={"fields": names})).json()[0],
            ):
                # What was read is a view, which may have been counted meanwhile.
                assert found | {name: 0 for name in found if name == "views"} == wanted
                assert list(found) == [name for name in item if name in wanted], "in the order of an item"

    async def test_sorted_by_what_is_not_shown(self, client: httpx.AsyncClient, alice: Person) -> None:
        for number in range(3):
            await sell(alice, str(number), price=3 - number)
        envelope = await page(client, fields="title", sort="price,-views", limit=2)
        assert envelope["items"] == [{"title": "2"}, {"title": "1"}]
        after = await page(client, fields="id,title", sort="price,-views", cursor=envelope["next_cursor"])
        assert [item["title"] for item in after["items"]] == ["0"], "fields are no part of the list"

    async def test_hidden_ones_stay_hidden(self, client: httpx.AsyncClient, alice: Person) -> None:
        item = await sell(alice, status="draft")
        query = {"fields": "title"}
        assert (await client.get(f"{ITEMS}{item['id']}", params=query)).status_code == 404
        assert (await alice.api.get(f"{ITEMS}{item['id']}", params=query)).json() == {"title": "Lamp"}

    async def test_an_unknown_one_is_named(self, client: httpx.AsyncClient, alice: Person) -> None:
        item = await sell(alice)
        for path in (ITEMS, f"{ITEMS}{item['id']}"):
            for bad, meant in (
                ("id,titel", "title"),
                ("statuz", "status"),
                ("title,", None),
                ("hashed_password", None),
            ):
                answer = await client.get(path, params={"fields": bad})
                assert faults(answer) == [(["query", "fields"], "field")]
                message = answer.json()["errors"][0]["message"]
                assert (meant is None) == ("did you mean" not in message), message
                assert meant is None or message.endswith(f"did you mean {meant}?")
        assert (await page(client, fields=""))["items"] == [item]

    async def test_nothing_is_read_for_what_is_not_asked(
        self, client: httpx.AsyncClient, alice: Person, statements: Any
    ) -> None:
        item = await sell(alice, tags=["a"])
        for path in (ITEMS, f"{ITEMS}{item['id']}"):
            with statements() as sent:
                await client.get(
                    path, params={"fields": "title", "total": "false"} if path == ITEMS else {"fields": "id"}
                )
            assert len(sent) == 1
            assert not any(name in sent[0] for name in ("item_tags", "users", "description", "images"))


class TestExpand:
    async def test_adds_the_category(self, client: httpx.AsyncClient, alice: Person, admin: Person) -> None:
        made = (
            await admin.api.post("/api/v1/categories/", json={"name": "Lights", "description": "d"})
        ).json()
        hidden = (
            await admin.api.post("/api/v1/categories/", json={"name": "Off", "is_active": False})
        ).json()
        below = (
            await admin.api.post("/api/v1/categories/", json={"name": "Below", "parent_id": hidden["id"]})
        ).json()
        lamp = await sell(alice, "lamp", category_id=made["id"])
        await sell(alice, "nowhere")
        await sell(alice, "below", category_id=below["id"])
        shown = {category["id"]: category | {"children": None} for category in (made, below)}
        found = (await page(client, expand="category", sort="created_at"))["items"]
        assert [item["category"] for item in found] == [shown[made["id"]], None, None]
        assert {name: value for name, value in found[0].items() if name != "category"} == lamp
        found = (await page(admin.api, expand="category", sort="created_at"))["items"]
        assert [item["category"] for item in found] == [shown[made["id"]], None, shown[below["id"]]]
        answer = await client.get(f"{ITEMS}{lamp['id']}", params={"expand": "category", "fields": "id"})
        assert answer.json() == {"id": lamp["id"], "category": shown[made["id"]]}
        assert faults(await client.get(ITEMS, params={"expand": "owner"})) == [
            (["query", "expand"], "literal_error")
        ]
