"""The statements of search over a table of a test's own, with an index of blocks and fields on either engine."""

import itertools
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from sqlalchemy import (
    CTE,
    BigInteger,
    Column,
    MetaData,
    Select,
    Table,
    Text,
    column,
    insert,
    literal,
    select,
    text,
)
from sqlalchemy import table as lightweight

from tests.conftest import World
from tradepost.core.database.sessions import WriteSession
from tradepost.core.search import statements
from tradepost.core.search.index import BLOCK_BITS, LARGE_BLOCK_BITS, TextIndex
from tradepost.core.search.question import Term, parse
from tradepost.core.search.statements import End, Narrowing, SearchStatements
from tradepost.core.search.steps import Choice, Resolved, resolve
from tradepost.core.wire.folding import searchable

TEXTS = Table(
    "notes",
    MetaData(),
    Column("id", BigInteger),
    *(Column(name, Text) for name in ("title", "body", "facts")),
)
INDEX = TextIndex(TEXTS, TEXTS.c.id, ((TEXTS.c.title, 3), (TEXTS.c.body, 1)), TEXTS.c.facts)
FAR = 3 << LARGE_BLOCK_BITS
NEAR = 1 << BLOCK_BITS
ROWS = {
    1: ("old lamp", "", "\u00a7sa"),
    2: ("lamps", "old", "\u00a7sb"),
    NEAR: ("chair", "a lamp on it", "\u00a7sa"),
    NEAR + 1: ("lamp", "for old and new", "\u00a7sb"),
    FAR: ("lomp", "", "\u00a7sa"),
    FAR + 7: ("lamp, old", "", "\u00a7sa"),
}


@asynccontextmanager
async def filled(world: World) -> AsyncIterator[WriteSession]:
    """A transaction with a table of texts and its index, both of which go with it."""
    try:
        async with world.database.transaction() as db:
            await db.execute(
                text("CREATE TABLE notes (id BIGINT PRIMARY KEY, title TEXT, body TEXT, facts TEXT)")
            )
            rows = [
                {"id": row_id, "title": searchable(title), "body": searchable(body), "facts": facts}
                for row_id, (title, body, facts) in ROWS.items()
            ]
            await db.execute(insert(TEXTS), rows)
            if world.database.is_sqlite:
                await db.execute(
                    text(
                        "CREATE VIEW notes_words AS SELECT id, title, body, "
                        "facts || ' \u2039' || replace(title, ' ', ' \u2039') AS facts FROM notes"
                    )
                )
                await db.execute(
                    text(
                        "CREATE VIRTUAL TABLE notes_search USING fts5(title, body, facts, content = 'notes_words', "
                        "content_rowid = 'id', tokenize = 'ascii', detail = column, columnsize = 0)"
                    )
                )
                await db.execute(text("INSERT INTO notes_search (notes_search) VALUES ('rebuild')"))
            yield db
            _end()
    except _Over:
        pass


class _Over(Exception):
    """Takes a transaction back."""


def _end() -> None:
    raise _Over


def of(
    world: World,
    typed: str,
    narrowing: Narrowing | None = None,
    *,
    looks_at: int | None = None,
    is_open: bool = False,
    is_dense: bool = False,
) -> SearchStatements:
    question = parse(typed)
    begun = {
        term: None
        if is_open
        else [
            word for word in ("lamp", "lamps", "old", "chair", "chairs", "new") if word.startswith(term.word)
        ]
        for term in question.terms
        if term.begins
    }
    dense = frozenset(term.word for term in question.terms if is_dense and is_open and term.begins)
    typos = {term: ["lomp"] for term in question.terms if term.typos}
    found = resolve(question, begun, typos, dense=dense)
    return SearchStatements(
        INDEX, found, narrowing or Narrowing(), is_sqlite=world.database.is_sqlite, looks_at=looks_at
    )


async def ranked(
    db: WriteSession, asked: SearchStatements, needed: int = 10, after: End | None = None
) -> list[Any]:
    rows = asked.ranked(needed, after)
    return [tuple(row) for row in await db.execute(select(rows.c.id, rows.c.tier, rows.c.score))]


LAMPS = [(FAR + 7, 0, 3), (NEAR + 1, 0, 3), (1, 0, 3), (NEAR, 0, 1), (2, 1, 3), (FAR, 2, 3)]
"""What the word finds: by tier, by field, and the newest first, across blocks of ids."""


@pytest.mark.parametrize("is_open", [False, True])
async def test_results_come_class_by_class_and_the_newest_first(world: World, *, is_open: bool) -> None:
    async with filled(world) as db:
        asked = of(world, "lamp", is_open=is_open)
        found = await ranked(db, asked)
        assert [(row_id, tier) for row_id, tier, _ in found] == [(row_id, tier) for row_id, tier, _ in LAMPS]
        assert await ranked(db, asked, 2) == found[:2]
        last_id, last_tier, last_score = found[4]
        for after, tier in ((None, 0), (End(last_tier, last_score, last_id, 5), 1)):
            rows = asked.ranked(10, after, in_one_tier=True)
            tiers = {row.tier for row in await db.execute(select(rows.c.tier))}
            assert tiers <= {tier}
        # What a look at the texts tells is the same.
        placed = asked.placed()
        told = await db.execute(select(placed.c.id, placed.c.tier, placed.c.score), {"ids": list(ROWS)})
        assert sorted(tuple(row) for row in told) == sorted(found)
        assert await db.scalar(asked.counted()) == len(LAMPS)


async def test_several_words_are_scored_together(world: World) -> None:
    async with filled(world) as db:
        # All in the title, then one in each, whatever the order of words is.
        assert await ranked(db, of(world, 'old "lamp"')) == [(FAR + 7, 0, 6), (1, 0, 6), (NEAR + 1, 0, 4)]
        # The words of a phrase stand in one text, in a row.
        assert await ranked(db, of(world, '"old lamp"')) == [(1, 0, 6)]
        assert await ranked(db, of(world, '"lamp" -old')) == [(NEAR, 0, 1)]
        assert [row_id for row_id, *_ in await ranked(db, of(world, "-lamp -lamps"))] == [FAR]


async def test_a_page_goes_on_after_a_place(world: World) -> None:
    async with filled(world) as db:
        for typed in ("lamp", 'old "lamp"'):
            whole = await ranked(db, of(world, typed))
            for at, (row_id, tier, score) in enumerate(whole):
                rest = await ranked(db, of(world, typed), 10, End(tier, score, row_id, at + 1))
                assert [row for row in rest if row in whole[at + 1 :]] == whole[at + 1 :]


async def test_a_page_goes_on_after_a_place_of_a_class_that_there_is_no_more(world: World) -> None:
    """What the vocabulary knows of a word changes from page to page, and with it the classes."""
    async with filled(world) as db:
        whole = await ranked(db, of(world, "lamp"))
        for tier, score in ((0, 99), (0, 3), (1, 3), (9, 1)):
            later = [row for row in whole if (row[1], -row[2]) > (tier, -score)]
            rest = await ranked(db, of(world, "lamp"), 10, End(tier, score, 5, 1))
            assert [row for row in rest if row in later] == later


async def test_facts_words_and_other_tables_narrow(world: World) -> None:
    others = lightweight("notes", column("id", BigInteger)).alias("others")
    fact, word = Choice(("\u00a7sa",)), Choice(("old",))

    def join(rows: Any, key: Any) -> Any:
        return rows.join(others, others.c.id == key).where(others.c.id != literal(1))

    async with filled(world) as db:

        async def found(narrowing: Narrowing, typed: str = '"lamp"') -> list[int]:
            asked = of(world, typed, narrowing)
            ids = [row_id for row_id, *_ in await ranked(db, asked)]
            assert set(await db.scalars(asked.matching())) == set(ids)
            assert set(await db.scalars(asked.among(select(TEXTS.c.id)))) >= set(ids)
            return ids

        assert await found(Narrowing(facts=(fact,))) == [FAR + 7, 1, NEAR]
        assert await found(Narrowing(facts=(fact,), words=(word,))) == [FAR + 7, 1]
        assert await found(Narrowing(join=join)) == [FAR + 7, NEAR + 1, NEAR]
        assert await found(Narrowing(facts=(fact,), words=(word,), join=join)) == [FAR + 7]
        assert await found(Narrowing(facts=(fact, Choice(("\u00a7sa", "\u00a7sb")))), "-new") == [
            FAR + 7,
            FAR,
            NEAR,
            1,
        ]


async def test_no_more_are_counted_and_read_than_are_ranked(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statements, "RANKED", 2)
    async with filled(world) as db:
        asked = of(world, '"lamp"')
        assert await db.scalar(asked.counted()) == 2
        assert await facts(db, asked.best()) == {FAR + 7: "\u00a7sa", NEAR + 1: "\u00a7sb"}
        assert len(list(await db.scalars(asked.matching()))) == 4


async def test_what_is_known_of_all_that_is_found(world: World) -> None:
    async with filled(world) as db:
        asked = of(world, '"lamp"')
        everything = {row_id: ROWS[row_id][2] for row_id in (FAR + 7, NEAR + 1, 1, NEAR)}
        assert await facts(db, asked.best()) == everything
        assert await facts(db, asked.unranked()) == everything
        assert await facts(db, asked.told(), [1, NEAR]) == {1: "\u00a7sa", NEAR: "\u00a7sa"}


async def test_so_many_texts_are_looked_into(world: World) -> None:
    """Three rows have both words, and the oldest alone has them in a row."""
    async with filled(world) as db:
        for looks_at, found in ((2, []), (3, [1]), (None, [1])):
            asked = of(world, '"old lamp"', looks_at=looks_at)
            assert list(await db.scalars(asked.matching(10))) == found
            assert await db.scalar(asked.counted()) == len(found)
            looked_at = asked.looked_at()
            assert (looked_at is None) is (looks_at is None)
            if looked_at is not None:
                assert await db.scalar(looked_at) == looks_at
        assert of(world, "lamp", looks_at=2).looked_at() is None
        # Of each class so many: in the title both words stand twice.
        assert await ranked(db, of(world, '"old lamp"', looks_at=2)) == [(1, 0, 6)]
        assert await ranked(db, of(world, '"old lamp"', looks_at=1)) == []


async def facts(db: WriteSession, rows: Any, ids: Sequence[int] = ()) -> dict[int, str]:
    return {
        row.id: row.facts for row in await db.execute(select(rows.c.id, rows.c.facts), {"ids": list(ids)})
    }


def test_the_condition_of_a_text_alone_is_of_the_widest_tier(world: World) -> None:
    found: Resolved = of(world, "lamp")._resolved
    assert found.widest == (Choice(("lamp", "lamps", "lomp")),)
    assert found.forms == {Term("lamp", begins=True, typos=1): ("lamp", "lamps", "lomp")}
    assert len(of(world, "lamp").matches()) == 1


def _spelt(world: World, statement: Select[Any] | CTE) -> tuple[str, set[str]]:
    """The text of a statement, and the names of the parameters whose values a question has."""
    rows = select(statement) if isinstance(statement, CTE) else statement
    compiled = rows.compile(world.database.engine.sync_engine)
    return str(compiled), {
        name for name in compiled.params if re.match("term|scored|choice|passage|excl|ask", name)
    }


async def test_questions_of_one_shape_share_their_statements(world: World) -> None:
    """Each is the same text, and has all of its values by name, whatever the words are."""
    groups = [
        ("lamp", "chair"),
        ("old lamp", "new chair"),
        ('"old lamp" -new', '"new chair" -old'),
        ("-lamp", "-chair"),
        ("東京都 lamp", "大阪府 chair"),
    ]
    narrowing = Narrowing((Choice(("\u00a7sa", "\u00a7sb")), Choice(("\u00a7o1",))), (Choice(("old",)),))
    other = Narrowing((Choice(("\u00a7sc", "\u00a7sd")), Choice(("\u00a7o2",))), (Choice(("new",)),))
    seen: dict[Any, list[str]] = {}
    for group in groups:
        for is_open, is_dense, looks_at in itertools.product([False, True], [False, True], [None, 3]):
            shapes = set()
            for typed, narrowed in zip(group, (narrowing, other), strict=True):
                asked = of(world, typed, narrowed, looks_at=looks_at, is_open=is_open, is_dense=is_dense)
                texts, ranked = asked.text_values.keys(), asked.values().keys()
                found, first = asked.values(is_found=True).keys(), asked.values(in_one_tier=True).keys()
                spelt = [
                    (_spelt(world, asked.ranked(9)), ranked),
                    (_spelt(world, asked.ranked(9, in_one_tier=True)), first),
                    (_spelt(world, asked.best()), ranked),
                    (_spelt(world, asked.unranked()), found),
                    (_spelt(world, asked.counted()), found),
                    (_spelt(world, asked.matching(9)), found),
                    (_spelt(world, asked.placed()), texts),
                    (_spelt(world, asked.among(select(TEXTS.c.id))), texts),
                ]
                assert all(names <= values for (_, names), values in spelt)
                shapes.add(asked.shape)
                assert seen.setdefault(asked.shape, [text for (text, _), _ in spelt]) == [
                    text for (text, _), _ in spelt
                ]
            assert len(shapes) == 1
