"""What is told of a row from its texts alone: whether it meets a choice, a phrase or an exclusion, and its score."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import BigInteger, Column, MetaData, Table, Text, literal, select
from sqlalchemy.dialects import sqlite

from tests.spelling import spelt
from tradepost.core.database.engines import Database
from tradepost.core.search.index import SCORED_TYPOS, TextIndex, contains
from tradepost.core.search.question import Term, parse
from tradepost.core.search.steps import Choice, Resolved, resolve
from tradepost.core.wire.folding import searchable, searchable_list

TEXTS = Table(
    "texts",
    MetaData(),
    Column("id", BigInteger),
    *(Column(name, Text) for name in ("title", "body", "facts")),
)
INDEX = TextIndex(TEXTS, TEXTS.c.id, ((TEXTS.c.title, 3), (TEXTS.c.body, 1)), TEXTS.c.facts)


def of(title: str, body: str = "", facts: str = "") -> TextIndex:
    """The index over one row, whose values stand in the statement."""
    row = select(
        literal(1).label("id"),
        *(
            literal(value, Text()).label(name)
            for name, value in (
                ("title", searchable(title)),
                ("body", searchable_list(body.split("|"))),
                ("facts", facts),
            )
        ),
    ).subquery("texts")
    return TextIndex(TEXTS, row.c.id, ((row.c.title, 3), (row.c.body, 1)), row.c.facts)


async def told(database: Database, *values: Any) -> list[Any]:
    async with database.read() as db:
        return list(
            (await db.execute(select(*(value.label(f"v{at}") for at, value in enumerate(values))))).one()
        )


def test_a_document_has_words_blocks_and_marked_words() -> None:
    assert INDEX.name == "texts_search"
    assert INDEX.marked == ["title"]
    assert INDEX.document() == (
        "((texts.title || ' ' || texts.body || ' ' || texts.facts || ' ' || '\u00a7b' || (texts.id >> 14)::text || ' ' || "
        "'\u00a7l' || (texts.id >> 17)::text || ' ' || '\u2039' || replace(texts.title, ' ', ' \u2039'))::tsvector)"
    )


def test_a_part_of_a_text_is_looked_for_letter_for_letter() -> None:
    assert spelt(contains(TEXTS.c.title, "50% _x_")) == (
        "strpos(texts.title, $1::VARCHAR) > 0",
        "instr(texts.title, ?) > 0",
    )


async def test_a_choice_is_met_by_whole_words_and_by_beginnings(database: Database) -> None:
    index = of("old lamps", "of brass|and more")
    asked = [
        (Choice(("old",)), True),
        (Choice(("lamp",)), False),
        (Choice(("lamp",), "lamp"), True),
        (Choice(("amps",), "amps"), False),
        (Choice(("x", "brass")), True),
        (Choice(("brass",)).within("title"), False),
        (Choice(("brass",)).within("body"), True),
        (Choice(("lamps",)).within("title"), True),
    ]
    choices = [(replace(choice, place=str(at)), is_met) for at, (choice, is_met) in enumerate(asked)]
    assert await told(database, *(index.meets(choice) for choice, _ in choices)) == [
        met for _, met in choices
    ]
    assert await told(
        database, index.misses((choices[0][0], choices[1][0])), index.misses((choices[0][0],))
    ) == [
        True,
        False,
    ]


async def test_facts_are_whole_words(database: Database) -> None:
    index = of("x", facts="\u00a7sactive \u00a7o12")
    asked = [("\u00a7o12",), ("\u00a7o1",), ("\u00a7o1", "\u00a7sactive")]
    assert await told(
        database, *(index.has(Choice(words, place=str(at))) for at, words in enumerate(asked))
    ) == [True, False, True]


@pytest.mark.parametrize(
    ("typed", "is_met"),
    [
        ('"old lamp"', True),
        ('"lamp old"', False),
        ('"old lam"', False),
        # From one text, or one of a list, into the next no phrase reaches.
        ('"lamp of"', False),
        ('"brass and"', False),
        ('"of brass"', True),
        ("x -lamp", False),
        ("x -lam", True),
        ('x -"old lamp"', False),
        ('x -"lamp old"', True),
        ("x -and", False),
    ],
)
async def test_phrases_and_exclusions(database: Database, *, typed: str, is_met: bool) -> None:
    checks = of("Old lamp", "of brass|and more").checks(parse(typed))
    assert len(checks) == 1
    assert await told(database, *checks) == [is_met]


def resolved(typed: str, typos: Sequence[str] = ()) -> Resolved:
    question = parse(typed)
    begun = {term: [term.word, f"{term.word}s"] for term in question.terms if term.begins}
    return resolve(question, begun, {term: typos for term in question.terms if term.typos})


async def test_each_term_scores_in_its_heaviest_field(database: Database) -> None:
    index = of("old lamp", "old brass lamps")
    scores = {"old": 3, "brass": 1, "old brass": 4, "old lamp": 6, "old old": 3, "brass lamps": 2}
    for typed, score in scores.items():
        assert await told(database, index.score(resolved(typed), 0)) == [score]


async def test_beginnings_and_typos_score_in_their_tiers_alone(database: Database) -> None:
    index = of("lamps", "lamp lomp")
    found = resolved("lamp", ["lomp"])
    assert await told(database, *(index.score(found, rank) for rank, _ in found.tiers)) == [1, 3, 3]
    found = resolved("lump", ["lamp", "lamps"])
    assert await told(database, index.score(found, 2)) == [3]


def test_so_many_typos_are_looked_for_in_a_text() -> None:
    typos = [f"lam{letter}" for letter in "abcdefghijklmnop"]
    term = Term("lamp", begins=True, typos=1)
    found = resolve(parse('"x" lamp'), {term: None}, {term: typos})
    parts = [
        value
        for value in INDEX.score(found, 2).compile(dialect=sqlite.dialect()).params.values()
        if "lam" in value
    ]
    # The last one again and again, up to a round number.
    assert list(dict.fromkeys(parts)) == [" lamp", *(f" {typo} " for typo in typos[:SCORED_TYPOS])]
    # Of exclusions alone there is nothing to score.
    assert str(INDEX.score(resolve(parse("-x"), {}, {}), 0)) == "0"
