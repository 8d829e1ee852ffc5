"""The plans of lists: the choice by the sizes of a filter's parts, and that every plan finds the same."""

import itertools
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from tests.conftest import NewPerson, Person, World
from tests.items.market import ITEMS, sell
from tradepost.categories.models import Category
from tradepost.items.plans import (
    ALIKE,
    BY_ENGINE,
    FROM_MOST,
    LEAST,
    MOST_SIEVED,
    TO_MOST,
    Plan,
    chosen,
    counting,
    unfiltered,
)
from tradepost.items.repository import sizes

NOW = datetime(2026, 1, 1, tzinfo=UTC)
MILLION = 1_000_000


def gathers(driver: str, **more: Any) -> Plan:
    return Plan(driver, gathers=True, **more)


@pytest.mark.parametrize(
    ("parts", "sort", "stages"),
    [
        ({}, "price", [BY_ENGINE]),
        ({"tag_0": 300}, "price", [gathers("tag_0")]),
        ({"tag_0": 3_000}, "price", [gathers("tag_0")]),
        # What is known to be common is walked to; farther if it is nowhere near; and gathered in the end.
        (
            {"tag_0": 300_000},
            "price",
            [Plan("price", steps=256), Plan("price", steps=2048), gathers("tag_0")],
        ),
        ({"tag_0": 300_000}, "-created_at", [Plan(steps=256), Plan(steps=2048), gathers("tag_0")]),
        (
            {"tag_0": 34_000},
            "price",
            [Plan("price", steps=2048), Plan("price", steps=16_384, sieve="tag_0"), gathers("tag_0")],
        ),
        # Where its links are fewer than rows that are walked past, they are read as a whole first.
        ({"tag_0": 9_000}, "title", [Plan(steps=8192), Plan(steps=32_768, sieve="tag_0"), gathers("tag_0")]),
        ({"tag_0": 6_000}, "title", [Plan(steps=16_384, sieve="tag_0"), gathers("tag_0")]),
        # An order without an index has none to walk along.
        ({"tag_0": 300_000}, "-views", [gathers("tag_0")]),
        ({"tag_0": 300_000}, "price,title", [gathers("tag_0")]),
        # The smallest part finds the rows.
        ({"tag_0": 300_000, "category": 500, "tag_1": 9_000}, "title", [gathers("category")]),
        # What an index sorts by itself is gathered more often.
        ({"owner_id": 20_000}, "price", [gathers("owner_id")]),
        # Two that are common each have few rows in common.
        ({"tag_0": 9_000, "tag_1": 9_000}, "title", [gathers("tag_0")]),
        (
            {"tag_0": 40_000, "tag_1": 60_000},
            "title",
            [Plan(steps=16_384, sieve="tag_0"), gathers("tag_0")],
        ),
        # Both are many: they are read as wholes, not one link for each item of the category.
        ({"tag_0": 100_000, "category": 150_000}, "-views", [gathers("category", joins_tags=True)]),
        (
            {"tag_0": 100_000, "category": 150_000},
            "price",
            [Plan("price", steps=4096), gathers("category", joins_tags=True)],
        ),
        ({"tag_0": 40_000, "category": 50_000}, "price", [gathers("category", sieve="tag_0")]),
        ({"tag_0": 300_000, "category": 20_000}, "-views", [gathers("category")]),
        ({"tag_0": 1_000, "category": 20_000}, "-views", [gathers("tag_0")]),
        (
            {"tag_0": 200_000, "tag_1": 300_000},
            "title",
            [Plan(steps=1024), Plan(steps=8192), gathers("tag_0")],
        ),
        (
            {"status": MILLION},
            "price",
            [Plan("price", steps=64), Plan("price", steps=512), gathers("status")],
        ),
    ],
)
def test_the_choice(parts: dict[str, int], sort: str, stages: list[Plan]) -> None:
    assert staged(chosen(MILLION, parts, sort=sort, needed=21)) == stages


def test_a_walk_that_has_to_look_at_the_owner_goes_not_far() -> None:
    plan = chosen(MILLION, {"tag_0": 34_000}, sort="price", needed=21, goes_far=False)
    assert staged(plan) == [Plan("price", steps=2048), gathers("tag_0")]


def test_all_links_of_a_tag_are_read_at_once_only_where_they_are_few_whoever_sees_the_items() -> None:
    few, most = {"tag_0": 9_000}, {"tag_0": MOST_SIEVED}
    plan = chosen(MILLION, few, sort="title", needed=21, links=most)
    assert staged(plan)[1:] == [Plan(steps=65_536, sieve="tag_0"), gathers("tag_0")]
    for links in (MOST_SIEVED + 1, 500_000):
        stages = staged(chosen(MILLION, few, sort="title", needed=21, links={"tag_0": links}))
        assert stages[-1] == gathers("tag_0")
        assert not any(plan.sieve for plan in stages)
    # Few of another part are rather looked at one by one, and no walk is as long as what is left of less than nothing.
    drafts = {"tag_0": 600, "status": 1_000}
    assert staged(chosen(100_000, drafts, sort="title", needed=21, links={"tag_0": 60_000})) == [
        gathers("status")
    ]


def staged(plan: Plan | None) -> list[Plan]:
    """Return a plan with those that follow should it not find enough, of each of which the next is not compared."""
    return [] if plan is None else [plan, *staged(plan.second)]


@pytest.mark.parametrize("number", [5_000, 10_000, 50_000, 65_536, 65_537, 100_000])
@pytest.mark.parametrize("others", [{}, {"tag_1": 90_000}, {"category": 80_000}])
def test_no_walk_is_short_and_each_goes_farther_than_the_one_before(
    number: int, others: dict[str, int]
) -> None:
    parts = {"tag_0": number, **others}
    expected = MILLION
    for one in parts.values():
        expected = expected * one // MILLION
    *walks, last = staged(chosen(MILLION, parts, sort="title", needed=21))
    assert last.gathers
    steps = [walk.steps or 0 for walk in walks]
    assert all(step > LEAST * 21 * MILLION / expected * 0.99 for step in steps)
    assert all(later >= 2 * earlier for earlier, later in itertools.pairwise(steps))
    assert all(walk.sieve is None or parts[walk.sieve] <= MOST_SIEVED for walk in walks)


@pytest.mark.parametrize(
    ("sort", "views", "stages"),
    [
        ("-views", None, [FROM_MOST, BY_ENGINE]),
        ("-views", 100, [FROM_MOST, BY_ENGINE]),
        ("-views", 99, [ALIKE, BY_ENGINE]),
        ("views", None, [ALIKE, BY_ENGINE]),
        ("views", 0, [ALIKE, BY_ENGINE]),
        ("views", 99, [ALIKE, BY_ENGINE]),
        # Whatever follows has many views as well.
        ("views", 100, [TO_MOST]),
        ("views,price", None, [BY_ENGINE]),
        ("price", None, [BY_ENGINE]),
    ],
)
def test_everything_by_views(sort: str, views: int | None, stages: list[Plan]) -> None:
    assert staged(unfiltered(sort, views)) == stages


@pytest.mark.parametrize(
    ("parts", "plan"),
    [
        ({"tag_0": 100_000, "category": 150_000}, Plan("category", gathers=True, joins_tags=True)),
        ({"tag_0": 60_000, "category": 150_000}, Plan("category", gathers=True, sieve="tag_0")),
        ({"tag_0": 100_000, "price": 300_000}, Plan("price", gathers=True, joins_tags=True)),
        ({"tag_0": 20_000, "price": 300_000}, Plan("tag_0", gathers=True)),
        ({"tag_0": 100_000, "tag_1": 90_000}, Plan("tag_1", gathers=True)),
        ({"category": 100_000, "price": 300_000}, Plan("category", gathers=True)),
    ],
)
def test_what_is_counted_is_joined_where_that_is_cheaper(parts: dict[str, int], plan: Plan) -> None:
    assert counting(parts) == plan


FILTERS: list[dict[str, Any]] = [
    {"tag": "red"},
    {"tag": ["red", "blue"]},
    {"tag": ["red", "none"]},
    {"owner_id": "ann"},
    {"category": "above"},
    {"category": "above", "tag": "red"},
    {"status_filter": "draft"},
    {"status_filter": "active", "tag": "blue"},
    {"min_price": 2, "max_price": 5},
    {"min_price": 3, "tag": "red", "owner_id": "bob"},
    {"max_price": 1},
    {"min_price": 2},
    {"min_price": 2, "status_filter": "active"},
    {"min_price": 2, "status_filter": "draft"},
    {"owner_id": "ann", "status_filter": "inactive"},
]


@pytest.mark.parametrize("who", ["stranger", "ann", "moderator"])
async def test_every_plan_finds_the_same(
    world: World, moderator: Person, new_person: NewPerson, monkeypatch: pytest.MonkeyPatch, who: str
) -> None:
    ann, bob = await new_person("Ann"), await new_person("Bob")
    async with world.database.transaction() as db:
        categories = [
            Category(name=name, slug=name, created_at=NOW, updated_at=NOW) for name in ("above", "below")
        ]
        db.add_all(categories)
        await db.flush()
        above, below = (category.id for category in categories)
        categories[1].parent_id = above
    tags = [["red"], ["blue", "red"], [], ["blue"], ["red", "green"]]
    made = [
        await sell(
            (ann, bob)[number % 3 == 0],
            f"T{number * 5 % 7}",
            1 + number * 3 % 7,
            status=("active", "draft", "active", "inactive")[number % 4],
            tags=tags[number % 5],
            category_id=(None, above, below)[number % 3],
        )
        for number in range(12)
    ]
    ids = {"ann": ann.id, "bob": bob.id, "above": above}
    sorts = itertools.cycle(["-created_at", "price", "title", "created_at"])
    plans = [
        None,
        lambda part: Plan(part, gathers=True),
        lambda _part: Plan(),
        # Given up before it found enough.
        lambda part: Plan(steps=3, second=Plan(part, gathers=True)),
        lambda part: Plan(part, gathers=True, joins_tags=True),
        lambda part: Plan(steps=3, second=Plan(part, gathers=True, joins_tags=True)),
        # By a tag where there is one.
        lambda part: Plan(steps=2, second=Plan(steps=6, sieve="tag_0", second=Plan(part, gathers=True))),
        lambda part: Plan("category" if part.startswith("tag") else part, gathers=True, sieve="tag_0"),
    ]
    async with world.caller() as stranger:
        caller = {"stranger": stranger, "ann": ann.api, "moderator": moderator.api}[who]
        for wanted, plan in itertools.product(FILTERS, plans):
            query = {
                name: ids.get(value, value) if isinstance(value, str) else value
                for name, value in wanted.items()
            }
            sort = next(sorts)
            seen = [
                item
                for item in made
                if (
                    item["status"] == "active"
                    or who == "moderator"
                    or (who == "ann" and item["owner"]["id"] == ann.id)
                )
                and _matches(item, query, {above, below})
            ]
            seen.sort(key=lambda item: (item[sort.strip("-")], item["id"]), reverse=sort[0] == "-")
            with monkeypatch.context() as patch:
                if plan is not None:
                    patch.setattr(sizes, "chosen", _always(plan))
                    patch.setattr(sizes, "counting", lambda parts, plan=plan: plan(next(iter(parts))))
                assert await _listed(caller, query | {"sort": sort}) == [item["id"] for item in seen], (
                    query,
                    sort,
                )


async def test_who_hides_nothing_asks_as_a_stranger_does(
    world: World, new_person: NewPerson, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, bob = await new_person("Ann"), await new_person("Bob")
    for person in (ann, bob):
        await sell(person, tags=["red"])
    asked: list[bool] = []
    hidden = False

    def choose(everything: int, parts: dict[str, int], **options: Any) -> Plan:
        asked.append(options["goes_far"])
        assert options["links"] == {"tag_0": 3 if hidden else 2}
        return chosen(everything, parts, **options)

    monkeypatch.setattr(sizes, "chosen", choose)
    for hidden in (False, True):
        if hidden:
            await sell(ann, tags=["red"], status="draft")
        for sort in ("created_at", "price"):
            for more in ({}, {"min_price": 1}):
                page = await _page(ann.api, {"tag": "red", "sort": sort, "total": "exact", **more})
                assert len(page["items"]) == page["total"] == 2 + hidden
                page = await _page(bob.api, {"tag": "red", "sort": sort, "total": "exact", **more})
                assert len(page["items"]) == page["total"] == 2
    assert asked == [True] * 8 + [False, True] * 4


def _always(plan: Any) -> Any:
    def choose(_everything: int, parts: dict[str, int], **_options: Any) -> Plan:
        found: Plan = plan(next(iter(parts))) if parts else BY_ENGINE
        return found

    return choose


def _matches(item: dict[str, Any], query: dict[str, Any], categories: set[int]) -> bool:
    tags = query.get("tag", [])
    return (
        set([tags] if isinstance(tags, str) else tags) <= set(item["tags"])
        and query.get("owner_id", item["owner"]["id"]) == item["owner"]["id"]
        and ("category" not in query or item["category_id"] in categories)
        and query.get("status_filter", item["status"]) == item["status"]
        and query.get("min_price", 0) <= item["price"] <= query.get("max_price", 100)
    )


async def _listed(caller: httpx.AsyncClient, query: dict[str, Any]) -> list[int]:
    """Return the ids of a whole list, page by page, each way of paging; the totals are right as well."""
    page = await _page(caller, query | {"limit": 4, "total": "exact"})
    total = page["total"]
    by_cursor = [item["id"] for item in page["items"]]
    by_skip = list(by_cursor)
    while page["next_cursor"]:
        page = await _page(caller, query | {"limit": 4, "cursor": page["next_cursor"]})
        by_cursor += [item["id"] for item in page["items"]]
    for skip in range(4, total, 4):
        page = await _page(caller, query | {"limit": 4, "skip": skip, "total": "false"})
        by_skip += [item["id"] for item in page["items"]]
    assert by_skip == by_cursor
    assert len(by_cursor) == total
    return by_cursor


async def _page(caller: httpx.AsyncClient, query: dict[str, Any]) -> dict[str, Any]:
    answer = await caller.get(ITEMS, params=query)
    assert answer.status_code == 200, answer.text
    page: dict[str, Any] = answer.json()
    return page
