"""Search, held against a model: any text is a question, and both engines find what the model finds, in its order."""

import asyncio
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, insert, make_url, select

from tradepost.accounts.models import User
from tradepost.accounts.permissions import Role
from tradepost.core.database.engines import Database
from tradepost.core.database.options import DatabaseOptions
from tradepost.core.search import vocabulary
from tradepost.core.search.question import Question, Term, has_digit, parse
from tradepost.core.search.steps import SCORED_TERMS, begins
from tradepost.core.search.vocabulary import LONGEST, Vocabulary
from tradepost.core.wire.folding import is_unspaced
from tradepost.core.wire.pagination import Window
from tradepost.items.filters import ItemFilter
from tradepost.items.indexing import ItemIndexer
from tradepost.items.models import Item, ItemTag, ItemText
from tradepost.items.repository import search as repository
from tradepost.items.repository.items import ItemRepository
from tradepost.items.repository.search import ItemSearchRepository
from tradepost.items.repository.search_statements import BEST_FIRST
from tradepost.items.schemas import ItemStatus
from tradepost.tags.models import Tag

NOW = datetime(2026, 1, 1, tzinfo=UTC)
WORDS = [
    *(
        "lamp",
        "lamps",
        "lampshade",
        "Lámp",
        "clamp",
        "lomp",
        "old",
        "oldest",
        "Straße",
        "strasse",
        "strassen",
    ),
    *(
        "keyboard",
        "keybaord",
        "keyboards",
        "a",
        "b",
        "x2",
        "13",
        "133",
        "Ёлка",
        "елки",
        "καφές",
        "ΚΑΦΕΣ",
        "'",
        "%",
    ),
    *(
        "日本語",
        "日本",
        "本語",
        "京",
        "東京都",
        "ラーメン",
        "ต้มยำ",
        "김치",
        "🦊",
        "lamp-old",
        "İzmir",
        "izmir",
        "don't",
    ),
]
TAGS = ("lamp", "old lamp", "京都", "%")
PRICES = ("0.01", "9.99", "10.00", "24.99", "25.00", "300.00")
TEXTS = 40


@dataclass(frozen=True)
class Row:
    """An item of the model, with its texts as search has them."""

    id: int
    status: ItemStatus
    owner_id: int
    price: Decimal
    tags: tuple[str, ...]
    fields: tuple[str, str, str]

    @property
    def whole(self) -> str:
        return " " + "".join(f"{text} \n " for text in self.fields)

    def is_wanted(self, wanted: ItemFilter) -> bool:
        """Tell whether a filter lets it through, its words aside."""
        seen = wanted.sees_all or self.status is ItemStatus.ACTIVE or self.owner_id == wanted.visitor_id
        return (
            seen
            and wanted.status in (None, self.status)
            and wanted.owner_id in (None, self.owner_id)
            and (wanted.min_price is None or self.price >= wanted.min_price)
            and (wanted.max_price is None or self.price <= wanted.max_price)
            and set(wanted.tags) <= set(self.tags)
        )


def distance(one: str, other: str) -> int:
    """Return the number of edits between two words."""
    row = list(range(len(other) + 1))
    for at, letter in enumerate(one, 1):
        row, before = [at], row
        for place, another in enumerate(other, 1):
            row.append(min(before[place] + 1, row[-1] + 1, before[place - 1] + (letter != another)))
    return row[-1]


def is_met(term: Term, rank: int, text: str) -> bool:
    """Tell whether a text meets a term in a tier of this rank."""

    def fits(word: str) -> bool:
        if word == term.word or (begins(term, rank) and word.startswith(term.word)):
            return True
        may_be_typo = rank == 2 and term.typos and max(len(term.word), len(word)) <= LONGEST
        if not may_be_typo or is_unspaced(word) or has_digit(word):
            return False
        return distance(term.word, word) <= term.typos

    return any(map(fits, text.split()))


def place_of(question: Question, row: Row) -> tuple[int, int, int] | None:
    """Return the sort key of a result, None if it is none."""
    if any(passage.text not in row.whole for passage in question.passages):
        return None
    if question.is_empty or any(passage.text in row.whole for passage in question.excluded):
        return None
    for rank in range(3):
        if all(is_met(term, rank, row.whole) for term in question.terms):
            scores = (
                max(
                    weight
                    for text, weight in zip(row.fields, (4, 2, 1), strict=True)
                    if is_met(term, rank, text)
                )
                for term in question.terms[:SCORED_TERMS]
            )
            return rank, -sum(scores), -row.id
    return None


@pytest.fixture(scope="module")
def filled(database_url: str) -> Iterator[tuple[asyncio.Runner, Database, list[Row], list[int]]]:
    """A loop for hypothesis, a database with random items of two people, and the same items as the model has them."""

    async def opened() -> tuple[Database, list[Row], list[int]]:
        url = database_url.replace("sqlite:", "sqlite+aiosqlite:").replace(
            "postgresql:", "postgresql+asyncpg:"
        )
        database, chance = Database(DatabaseOptions(make_url(url))), random.Random(7)
        times = {"created_at": NOW, "updated_at": NOW}
        async with database.transaction() as db:
            person = {
                "hashed_password": "x",
                "first_name": "A",
                "last_name": "B",
                "role": Role.USER,
                "is_active": True,
            }
            people = [{"email": f"seller{number}@example.com", **person, **times} for number in (0, 1)]
            await db.execute(insert(User), people)
            await db.execute(insert(Tag), [{"name": tag, **times} for tag in TAGS])
            owners = list(
                await db.scalars(select(User.id).where(User.email.like("seller%")).order_by(User.id))
            )
            for _ in range(TEXTS):
                item: dict[str, Any] = {
                    "title": " ".join(chance.choices(WORDS, k=chance.randint(1, 3))),
                    "description": chance.choice([None, " ".join(chance.choices(WORDS, k=5))]),
                    "price": Decimal(chance.choice(PRICES)),
                    "status": chance.choice([ItemStatus.ACTIVE, ItemStatus.ACTIVE, ItemStatus.DRAFT]),
                    "owner_id": chance.choice(owners),
                }
                item_id = (
                    await db.execute(insert(Item).values(**item, **times).returning(Item.id))
                ).scalar_one()
                for position, tag in enumerate(chance.sample(TAGS, k=chance.randint(0, 2))):
                    await db.execute(insert(ItemTag).values(item_id=item_id, tag=tag, position=position))
        await ItemIndexer(database, Vocabulary()).refresh()
        columns = (Item.id, Item.status, Item.owner_id, Item.price)
        texts = (ItemText.title, ItemText.tags, ItemText.description)
        async with database.read() as db:
            links = (await db.execute(select(ItemTag.item_id, ItemTag.tag))).all()
            found = await db.execute(select(*columns, *texts).join(ItemText, ItemText.item_id == Item.id))
            rows = [
                Row(
                    row[0],
                    row[1],
                    row[2],
                    row[3],
                    tuple(tag for owner, tag in links if owner == row[0]),
                    (row[4], row[5], row[6]),
                )
                for row in found
            ]
        return database, rows, owners

    async def closed(database: Database) -> None:
        async with database.transaction() as db:
            await db.execute(delete(User).where(User.email.like("seller%")))
            await db.execute(delete(Tag))
            await db.execute(delete(vocabulary.SearchWord))
        await database.close()

    with asyncio.Runner() as runner:
        database, rows, owners = runner.run(opened())
        yield runner, database, rows, owners
        runner.run(closed(database))


def _typed(sign: str, words: list[str]) -> str:
    return sign + " ".join(words) + ('"' if sign.endswith('"') else "")


TYPED = st.lists(
    st.tuples(
        st.sampled_from(["", "", "", "-", '"', '-"']),
        st.lists(
            st.sampled_from([*WORDS, "lam", "ol", "stra", "メ", "keybrd", "ltmp"]), min_size=1, max_size=2
        ),
    ),
    min_size=1,
    max_size=4,
).map(lambda parts: " ".join(_typed(sign, words) for sign, words in parts))
ANYTHING = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=60)
FILTERS = st.fixed_dictionaries(
    {
        "status": st.sampled_from([None, None, ItemStatus.DRAFT, ItemStatus.ACTIVE]),
        "min_price": st.sampled_from([None, None, Decimal("9.99"), Decimal(25)]),
        "max_price": st.sampled_from([None, None, Decimal("24.99"), Decimal(26)]),
        "tags": st.sampled_from([(), (), ("lamp",), ("%",), ("old lamp", "京都")]),
        "visitor": st.sampled_from([None, None, 0, "staff"]),
        "owner": st.sampled_from([None, None, 1]),
    }
)
HELD = settings(
    max_examples=20, database=None, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck)
)


async def compare(database: Database, rows: Sequence[Row], wanted: ItemFilter, text: str) -> None:
    """Ask a question, and hold its answer, and that of the list that is filtered by it, against the model."""
    question = parse(text)
    placed = [(place_of(question, row), row.id) for row in rows if row.is_wanted(wanted)]
    model = [
        row_id for place, row_id in sorted((place, row_id) for place, row_id in placed if place is not None)
    ]
    async with database.read() as db:
        search = ItemSearchRepository(db)
        if not question.is_empty:
            resolved = await search.resolve(question)
            found = await search.page(resolved, wanted, Window(limit=TEXTS, sort=BEST_FIRST))
            assert (found.ids, found.total) == (model, len(model)), text
            seen: list[int] = []
            window = Window(limit=15, sort=BEST_FIRST)
            while len(seen) < TEXTS:
                part = await search.page(resolved, wanted, window)
                seen += part.ids
                if part.end is None:
                    break
                window = replace(window, after=part.end)
            assert seen == model, text
        asked = replace(wanted, q=text)
        by_words = await search.find_for_list(asked)
        listed = await ItemRepository(db).page(
            asked, Window(limit=TEXTS, sort="-created_at"), by_words=by_words
        )
        assert ({row.id for row in listed.rows}, listed.total) == (set(model), len(model)), text


@pytest.mark.parametrize(("most_beginnings", "few"), [(300, 1_000), (0, 1_000), (300, 0), (0, 0)])
def test_both_engines_find_what_the_model_finds(
    filled: tuple[asyncio.Runner, Database, list[Row], list[int]],
    monkeypatch: pytest.MonkeyPatch,
    most_beginnings: int,
    few: int,
) -> None:
    runner, database, rows, owners = filled
    monkeypatch.setattr(vocabulary, "MOST_BEGINNINGS", most_beginnings)
    monkeypatch.setattr(repository, "FEW", few)
    monkeypatch.setattr(repository, "MOST_PRICED", few)

    @HELD
    @given(st.one_of(TYPED, TYPED, TYPED, ANYTHING), FILTERS)
    def check(text: str, chosen: dict[str, Any]) -> None:
        visitor, owner = chosen["visitor"], chosen["owner"]
        wanted = ItemFilter(
            status=chosen["status"],
            min_price=chosen["min_price"],
            max_price=chosen["max_price"],
            tags=chosen["tags"],
            owner_id=None if owner is None else owners[owner],
            visitor_id=owners[0] if visitor == 0 else None,
            sees_all=visitor == "staff",
        )
        runner.run(compare(database, rows, wanted, text))

    check()
