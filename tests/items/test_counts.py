"""Kept counts: exact after every way in which items and links change, while they are folded, and beside other writers."""

import asyncio
from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from sqlalchemy import delete, func, select, text, update

from tests.conftest import NewPerson, Person, World, empty_tables
from tests.flows.command_line import called
from tests.flows.live import environment
from tests.items.market import CATEGORIES, ITEMS, change, path_of, sell
from tradepost.accounts.models import User
from tradepost.items.counting import ItemCounting
from tradepost.items.models import Item, ItemCount, ItemCountChange, ItemTag
from tradepost.items.repository.counts import Difference, Dimension, ItemCountRepository, kept_counts
from tradepost.tags.models import Tag

TAGS = "/api/v1/tags/"
T = TypeVar("T")
Counts = Counter[tuple[str, str, str]]


async def kept(world: World) -> Counts:
    """Return every count that is not zero, by dimension, key and status."""
    found: Counts = Counter()
    async with world.database.read() as db:
        for dimension in Dimension:
            for key, status, n in await db.execute(kept_counts(dimension)):
                if n:
                    found[dimension, key, status] = n
    return found


async def differences(world: World) -> list[Difference]:
    return await ItemCounting(world.database).differences()


async def fold(world: World) -> None:
    await ItemCounting(world.database).fold()


def ok(answer: httpx.Response) -> Any:
    assert answer.status_code in {200, 201}, answer.text
    return answer.json()


@dataclass
class Thing:
    """What the model knows of an item."""

    owner: int
    status: str
    category: int | None
    tags: set[str]


@dataclass
class Model:
    """A marketplace as plain values, which counts by looking at everything."""

    things: dict[int, Thing] = field(default_factory=dict)

    def counts(self) -> Counts:
        found: Counts = Counter()
        for thing in self.things.values():
            found["all", "", thing.status] += 1
            found["owner", str(thing.owner), thing.status] += 1
            if thing.category is not None:
                found["category", str(thing.category), thing.status] += 1
            for tag in thing.tags:
                found["tag", tag, thing.status] += 1
        return found


STATUSES = st.sampled_from(["active", "inactive", "draft"])
TAG_SETS = st.lists(st.sampled_from("abcd"), max_size=3, unique=True)
PLACE = st.integers(0, 5)
"""Which of those that there are, counted round and round."""


class Marketplace(RuleBasedStateMachine):
    """Changes a marketplace in every way that changes a count. Runs beside the event loop, in a thread."""

    world: World
    loop: asyncio.AbstractEventLoop
    admin: Person
    new_person: NewPerson

    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        self.run(empty_tables(self.world.database))
        self.admin = self.run(self.new_person("Admin", email="admin@example.com"))
        self.people = [self.run(self.new_person("Seller")) for _ in range(2)]
        self.categories = [
            int(ok(self.run(self.admin.api.post(CATEGORIES, json={"name": name})))["id"]) for name in "xyz"
        ]

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(30)

    def ask(self, method: str, path: str, **options: Any) -> Any:
        return ok(self.run(self.admin.api.request(method, path, **options)))

    def pick_item(self, place: int) -> int | None:
        ids = sorted(self.model.things)
        return ids[place % len(ids)] if ids else None

    def pick_tag(self, place: int) -> dict[str, Any] | None:
        tags = self.ask("GET", TAGS)["tags"]
        return tags[place % len(tags)] if tags else None

    def category(self, place: int) -> int | None:
        return None if place == 0 or not self.categories else self.categories[place % len(self.categories)]

    @rule(person=PLACE, status=STATUSES, tags=TAG_SETS, category=PLACE)
    def create(self, person: int, status: str, tags: list[str], category: int) -> None:
        if not self.people:
            return
        owner = self.people[person % len(self.people)]
        body: dict[str, Any] = {
            "title": "T",
            "price": 1,
            "status": status,
            "tags": tags,
            "category_id": self.category(category),
        }
        made = ok(self.run(owner.api.post(ITEMS, json=body)))
        self.model.things[made["id"]] = Thing(owner.id, status, body["category_id"], set(tags))

    @rule(place=PLACE, status=STATUSES, tags=st.none() | TAG_SETS, category=PLACE)
    def change(self, place: int, status: str, tags: list[str] | None, category: int) -> None:
        item_id = self.pick_item(place)
        if item_id is None:
            return
        body: dict[str, Any] = {"status": status, "category_id": self.category(category)} | (
            {} if tags is None else {"tags": tags}
        )
        self.ask("PATCH", path_of(item_id), json=body)
        thing = self.model.things[item_id]
        thing.status, thing.category = status, body["category_id"]
        thing.tags = thing.tags if tags is None else set(tags)

    @rule(place=PLACE)
    def delete(self, place: int) -> None:
        item_id = self.pick_item(place)
        if item_id is not None:
            self.ask("DELETE", path_of(item_id))
            del self.model.things[item_id]

    @rule(place=PLACE, name=st.sampled_from(["e", "f", "a"]))
    def rename_tag(self, place: int, name: str) -> None:
        tag = self.pick_tag(place)
        if tag is None or name in {other["name"] for other in self.ask("GET", TAGS)["tags"]}:
            return
        self.ask("PATCH", f"{TAGS}{tag['id']}", json={"name": name})
        self.retag(tag["name"], {name})

    @rule(place=PLACE, into=PLACE)
    def merge_tags(self, place: int, into: int) -> None:
        tag, other = self.pick_tag(place), self.pick_tag(into)
        if tag is None or other is None or tag == other:
            return
        self.ask("POST", f"{TAGS}{tag['id']}/merge", json={"into_id": other["id"]})
        self.retag(tag["name"], {other["name"]})

    @rule(place=PLACE)
    def delete_tag(self, place: int) -> None:
        tag = self.pick_tag(place)
        if tag is not None:
            self.ask("DELETE", f"{TAGS}{tag['id']}")
            self.retag(tag["name"], set())

    def retag(self, name: str, instead: set[str]) -> None:
        for thing in self.model.things.values():
            if name in thing.tags:
                thing.tags = thing.tags - {name} | instead

    @rule()
    def delete_category(self) -> None:
        if len(self.categories) < 2:
            return
        gone, target = self.categories.pop(), self.categories[0]
        self.ask("DELETE", f"{CATEGORIES}{gone}", params={"move_to": target})
        for thing in self.model.things.values():
            if thing.category == gone:
                thing.category = target

    @rule()
    def delete_person(self) -> None:
        if not self.people:
            return
        person = self.people.pop()
        self.ask("DELETE", f"/api/v1/users/{person.id}")
        for item_id in [at for at, thing in self.model.things.items() if thing.owner == person.id]:
            del self.model.things[item_id]

    @rule()
    def fold(self) -> None:
        self.run(fold(self.world))

    @invariant()
    def counts_are_right(self) -> None:
        assert self.run(kept(self.world)) == self.model.counts()


async def test_counts_follow_every_change(world: World, admin: Person, new_person: NewPerson) -> None:
    machine = type(
        "Marketplace",
        (Marketplace,),
        {
            "world": world,
            "loop": asyncio.get_running_loop(),
            "admin": admin,
            "new_person": staticmethod(new_person),
        },
    )
    few = settings(
        max_examples=6,
        stateful_step_count=15,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    await asyncio.to_thread(run_state_machine_as_test, machine, settings=few)
    assert await differences(world) == []


async def test_what_goes_past_the_services_is_counted_too(world: World, new_person: NewPerson) -> None:
    """Many rows in one statement, and the database's own cascades: bulk writers, and releases that know no counts."""
    ann, bob = await new_person("Ann"), await new_person("Bob")
    for owner in (ann, bob):
        for status in ("active", "draft"):
            await sell(owner, status=status, tags=["red", "blue"])
    everything = await kept(world)
    assert everything["tag", "red", "draft"] == 2
    async with world.database.transaction() as db:
        await db.execute(update(Item).where(Item.status == "draft").values(status="inactive"))
    assert (await kept(world))["tag", "red", "inactive"] == 2
    async with world.database.transaction() as db:
        await db.execute(update(Tag).where(Tag.name == "red").values(name="rosé"))
        await db.execute(delete(Tag).where(Tag.name == "blue"))
    async with world.database.transaction() as db:
        await db.execute(delete(User).where(User.id == ann.id))
    left = await kept(world)
    assert left == {
        ("all", "", "active"): 1,
        ("all", "", "inactive"): 1,
        ("owner", str(bob.id), "active"): 1,
        ("owner", str(bob.id), "inactive"): 1,
        ("tag", "rosé", "active"): 1,
        ("tag", "rosé", "inactive"): 1,
    }
    await fold(world)
    assert await kept(world) == left
    async with world.database.transaction() as db:
        await db.execute(delete(ItemTag))
        await db.execute(delete(Item))
    assert await kept(world) == {}
    assert await differences(world) == []


async def test_a_change_that_is_taken_back_counts_nothing(world: World, alice: Person) -> None:
    await sell(alice, tags=["red"])
    before = await kept(world)
    async with world.database.transaction() as db:
        await db.execute(delete(Item))
        await db.rollback()
    assert await kept(world) == before


async def test_a_view_writes_no_difference(world: World, alice: Person) -> None:
    await sell(alice)
    await fold(world)
    async with world.database.transaction() as db:
        await db.execute(update(Item).values(views=Item.views + 1, title="Another"))
    async with world.database.read() as reading:
        assert await reading.scalar(select(ItemCountChange.id)) is None


async def test_many_writers_and_a_folder_at_once(world: World, new_person: NewPerson) -> None:
    people = [await new_person("Seller") for _ in range(4)]
    done = asyncio.Event()

    async def write(person: Person) -> None:
        for _ in range(3):
            item = await sell(person, tags=["hot", "spot"])
            await change(person, item, status="draft", tags=["hot"])
            await change(person, item, status="active", tags=["spot"])
            ok(await person.api.delete(path_of(await sell(person, tags=["hot"]))))

    async def go_on_folding() -> None:
        while not done.is_set():
            await asyncio.gather(fold(world), fold(world))
            await asyncio.sleep(0)

    folding = asyncio.create_task(go_on_folding())
    await asyncio.gather(*(write(person) for person in people))
    done.set()
    await folding
    assert (await kept(world))["tag", "spot", "active"] == 12
    assert await differences(world) == []


async def test_folding_takes_batches(world: World, alice: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tradepost.items.counting.FOLD_BATCH", 2)
    for _ in range(5):
        await sell(alice, tags=["red"])
    before = await kept(world)
    await fold(world)
    assert await kept(world) == before
    async with world.database.read() as db:
        assert await db.scalar(select(ItemCountChange.id)) is None
        assert await db.scalar(select(ItemCount.n).where(ItemCount.key == "red")) == 5


async def test_differences_that_no_job_folds_stay_few(world: World, alice: Person) -> None:
    if world.database.is_sqlite:
        pytest.skip("its counts have no differences")
    await sell(alice, tags=["red"])
    many = text(
        "INSERT INTO item_count_changes (status, tag, n) SELECT 'active', 'red', 1 FROM generate_series(1, 5000)"
    )
    for _ in range(12):
        async with world.database.transaction() as db:
            await db.execute(many)
    async with world.database.transaction() as db:
        # One transaction folds once, whatever it writes.
        for _ in range(3):
            await db.execute(many)
        left = await db.scalar(select(func.count()).select_from(ItemCountChange)) or 0
    assert 5_000 <= left <= 35_000
    assert (await kept(world))["tag", "red", "active"] == 75_001
    await fold(world)
    assert (await kept(world))["tag", "red", "active"] == 75_001


async def test_writers_that_fold_wait_for_no_other(world: World) -> None:
    if world.database.is_sqlite:
        pytest.skip("its counts have no differences")
    many = text(
        "INSERT INTO item_count_changes (status, tag, n) SELECT 'active', :tag, 1 FROM generate_series(1, 30000)"
    )

    async def write(tag: str) -> int | None:
        """Write many differences, and return what their transaction has folded of them."""
        async with world.database.transaction() as db:
            await db.execute(many, {"tag": tag})
            folded = await db.scalar(select(ItemCount.n).where(ItemCount.key == tag))
            if tag == "one":
                # While this one is under way.
                async with asyncio.timeout(20):
                    assert await asyncio.create_task(write("other")) is None
            return folded

    assert await write("one")
    found = await kept(world)
    assert (found["tag", "one", "active"], found["tag", "other", "active"]) == (30_000, 30_000)


async def test_what_is_wrong_is_found_and_repaired(world: World, alice: Person, tmp_path: Path) -> None:
    item = await sell(alice, tags=["red"])
    await fold(world)
    async with world.database.transaction() as db:
        await db.execute(text("INSERT INTO item_counts VALUES ('tag', 'gone', 'draft', 3)"))
        await db.execute(text("UPDATE item_counts SET n = n + 4 WHERE dimension = 'all'"))
    assert await differences(world) == [
        Difference("all", "", "active", 1, 5),
        Difference("tag", "gone", "draft", 0, 3),
    ]
    env = environment(tmp_path, world.url)
    found = await called("counts", env=env)
    assert found.status == 1
    assert "all, active: 5 kept, 1 there are\ntag gone, draft: 3 kept, 0 there are\n" in found.output
    mended = await called("counts", "--repair", env=env)
    assert (mended.status, mended.output.splitlines()[-1]) == (0, "2 counts repaired")
    assert await differences(world) == []
    assert (await called("counts", env=env)).output == "Every count is right\n"
    assert (await kept(world))["all", "", "active"] == 1
    async with world.database.read() as db:
        assert await db.scalar(select(ItemCount.n).where(ItemCount.key == "gone")) is None
    ok(await alice.api.delete(path_of(item)))


async def test_a_repair_waits_for_no_writer_of_what_has_no_items(world: World, alice: Person) -> None:
    if world.database.is_sqlite:
        pytest.skip("its writers wait for each other")
    await sell(alice, tags=["red"])
    await fold(world)
    async with world.database.transaction() as db:
        await db.execute(
            text("INSERT INTO item_counts VALUES ('tag', 'empty', 'draft', 0), ('tag', 'held', 'draft', 0)")
        )
        await db.execute(update(ItemCount).where(ItemCount.key == "red").values(n=7))
    async with world.database.transaction() as db:
        await db.execute(update(ItemCount).where(ItemCount.key == "held").values(n=0))
        async with asyncio.timeout(20):
            await asyncio.create_task(ItemCounting(world.database).repair())
    assert await differences(world) == []
    async with world.database.read() as reading:
        assert set(await reading.scalars(select(ItemCount.key).where(ItemCount.n == 0))) == {"held"}


async def test_two_repairs_at_once_add_what_is_missing_once(
    world: World, alice: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    await sell(alice, tags=["red"])
    await fold(world)
    looked = asyncio.Barrier(2)
    looks = Counter[asyncio.Task[Any] | None]()
    # SQLite's first one is for the rows to count in.
    deciding = 2 if world.database.is_sqlite else 1
    find = ItemCountRepository.find_differences
    for wrongly in (4, -1):
        async with world.database.transaction() as db:
            await db.execute(
                update(ItemCount).where(ItemCount.dimension == "all").values(n=ItemCount.n + wrongly)
            )

        async def find_both(counts: ItemCountRepository) -> list[Difference]:
            found = await find(counts)
            looks[asyncio.current_task()] += 1
            if looks[asyncio.current_task()] == deciding:
                # Both have seen what is wrong before either makes it right.
                await looked.wait()
            return found

        monkeypatch.setattr(ItemCountRepository, "find_differences", find_both)
        await asyncio.gather(*(ItemCounting(world.database).repair() for _ in range(2)))
        monkeypatch.undo()
        assert await differences(world) == []
        assert (await kept(world))["all", "", "active"] == 1


async def test_what_is_deleted_while_a_count_without_a_row_is_repaired_counts(
    world: World, alice: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    items = [await sell(alice, tags=["red"]) for _ in range(4)]
    await fold(world)
    async with world.database.transaction() as db:
        await db.execute(delete(ItemCount))
    find = ItemCountRepository.find_differences

    async def find_and_delete(counts: ItemCountRepository) -> list[Difference]:
        found = await find(counts)
        if len(items) > 2:
            await asyncio.create_task(alice.api.delete(path_of(items.pop())))
        return found

    monkeypatch.setattr(ItemCountRepository, "find_differences", find_and_delete)
    await ItemCounting(world.database).repair()
    monkeypatch.undo()
    assert await differences(world) == []
    assert (await kept(world))["all", "", "active"] == len(items)
