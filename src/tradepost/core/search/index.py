"""The full-text index over a table of normalised texts, and what can be told of a row from its texts alone.

On PostgreSQL it is a GIN index of the words as a ``tsvector``; on SQLite an FTS5 table whose content is a view of the table.
Both index the words that ``core.wire.folding`` made, as they are: no dictionary, stemmer or parser of an engine has a say,
so both find the same. Neither keeps places of words. What needs these (phrases, exclusions, the rank among several words)
looks into the texts of the rows that the index found, in one way for both.

Besides its words a row has *facts*: words about what the text is of, such as its status. So the index answers filters too,
and rows that a filter hides are never read.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Integer,
    Table,
    Text,
    and_,
    bindparam,
    case,
    literal_column,
    not_,
    or_,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from tradepost.core.search.question import Passage, Question, Term
from tradepost.core.search.spelling import FACT, MARKS
from tradepost.core.search.steps import SCORED_TERMS, Choice, Resolved, Tier, begins, is_classed
from tradepost.core.wire.folding import APART

BLOCK_BITS: Final = 14
"""The binary digits of an id within its block."""
LARGE_BLOCK_BITS: Final = 17
"""Likewise within a large block."""
BLOCKS: Final = {BLOCK_BITS: "b", LARGE_BLOCK_BITS: "l"}
"""What the facts begin with that tell of a row's blocks."""
SCORED_TYPOS: Final = 12
"""Words that a word of a question may be a typo of, whose places in a text count for the rank."""

_SPACE: Final = literal_column("' '", Text())
_GAP: Final = literal_column(f"' {APART} '", Text())
"""Constants stand in the text of a statement: the planner sees them, and there is less to send."""


def number(value: int) -> ColumnElement[int]:
    """Return a number that stands in the text of a statement."""
    return literal_column(str(value), Integer())


class Contains(FunctionElement[int]):
    """Where a text begins within another, 0 if it is not in it."""

    type = Integer()
    inherit_cache = True


@compiles(Contains, "postgresql")
def _strpos(element: Contains, compiler: SQLCompiler, **options: Any) -> str:
    return f"strpos({compiler.process(element.clauses, **options)})"


@compiles(Contains, "sqlite")
def _instr(element: Contains, compiler: SQLCompiler, **options: Any) -> str:
    return f"instr({compiler.process(element.clauses, **options)})"


def contains(text: ColumnElement[str], part: str, name: str | None = None) -> ColumnElement[bool]:
    """Match a text that has ``part`` in it, letter for letter; ``name`` is what the parameter is called."""
    return Contains(text, bindparam(name, part, type_=Text())) > number(0)


def named(name: str, parts: Sequence[str]) -> Mapping[str, str]:
    """Return parts by the names of their parameters, the last one again up to a round number: few texts for any number."""
    half = 1 << max(0, (len(parts) - 1).bit_length() - 2)
    whole = list(parts)
    whole += whole[-1:] * (-len(whole) % half)
    return {f"{name}_{place}": part for place, part in enumerate(whole)}


@dataclass(frozen=True, slots=True)
class TextIndex:
    """The index over ``texts``, whose ``key`` is the id of what they are of; the heaviest of its ``fields`` first."""

    texts: Table
    key: ColumnElement[int]
    fields: tuple[tuple[ColumnElement[str], int], ...]
    """Each text with its weight."""
    facts: ColumnElement[str]
    counted: tuple[ColumnElement[Any], ...] = ()
    """What facets count of a row besides its facts."""

    @property
    def told(self) -> list[ColumnElement[Any]]:
        """What facets read of a row, named."""
        return [column.label(column.name) for column in (self.facts, *self.counted)]

    @property
    def name(self) -> str:
        """The name of FTS5's table."""
        return f"{self.texts.name}_search"

    @property
    def weights(self) -> list[tuple[str, int]]:
        """The names of the fields with their weights."""
        return [(text.name, weight) for text, weight in self.fields]

    @property
    def marked(self) -> list[str]:
        """The fields whose words the index has once more, under a mark: all but the lightest."""
        return [name for name, _ in self.weights[:-1]]

    def document(self) -> str:
        """Return the words of a row as PostgreSQL indexes them."""
        table = self.texts.name
        parts = [f"{table}.{name}" for name in (*(name for name, _ in self.weights), self.facts.name)]
        for bits, sign in BLOCKS.items():
            parts.append(f"'{FACT}{sign}' || ({table}.{self.key.name} >> {bits})::text")
        for name, mark in zip(self.marked, MARKS, strict=False):
            parts.append(f"'{mark}' || replace({table}.{name}, ' ', ' {mark}')")
        words = " || ' ' || ".join(parts)
        return f"(({words})::tsvector)"

    @property
    def whole(self) -> ColumnElement[str]:
        """All texts of a row as one."""
        return _SPACE + reduce(add, (part for text, _ in self.fields for part in (text, _GAP)))

    def meets(self, choice: Choice) -> ColumnElement[bool]:
        """Match a row whose texts meet a choice, by a look at them."""
        if choice.field is None:
            text = self.whole
        else:
            text = _SPACE + next(text for text, _ in self.fields if text.name == choice.field) + _SPACE
        return _has(text, choice_parts(choice))

    def has(self, facts: Choice) -> ColumnElement[bool]:
        """Match a row with one of these facts, likewise."""
        return _has(_SPACE + self.facts + _SPACE, choice_parts(facts))

    def misses(self, tier: Tier) -> ColumnElement[bool]:
        """Match a row whose texts do not meet a tier, likewise."""
        return not_(and_(*map(self.meets, tier)))

    def checks(self, question: Question) -> list[ColumnElement[bool]]:
        """Return what no index tells: phrases that are in one of the texts, and exclusions that are in none."""
        return [
            *(contains(self.whole, part, name) for name, part in _passages("passage", question.passages)),
            *(~contains(self.whole, part, name) for name, part in _passages("excluded", question.excluded)),
        ]

    @staticmethod
    def values(resolved: Resolved, facts: Tier) -> dict[str, str]:
        """Return what is looked for in texts, by the names of its parameters."""
        question = resolved.question
        # Of choices only where a dense one is: for all others the index is asked.
        read = [choice for _, tier in resolved.tiers for choice in tier] if resolved.is_read else []
        values = dict([*_passages("passage", question.passages), *_passages("excluded", question.excluded)])
        for rank, _ in resolved.tiers:
            for parts in (*_parts_of(resolved, rank), *_parts_of(resolved, rank, SCORED_TYPOS)):
                values |= parts
        for choice in (*facts, *read):
            values |= choice_parts(choice)
        return values

    def met(self, resolved: Resolved, rank: int) -> list[ColumnElement[bool]]:
        """Match a row that meets each term in a tier, by a look at its texts."""
        return [_has(self.whole, parts) for parts in _parts_of(resolved, rank)]

    def score(
        self, resolved: Resolved, rank: int, *, most_typos: int | None = SCORED_TYPOS
    ) -> ColumnElement[int]:
        """Return how much the fields weigh in which the terms are found, each in its heaviest."""
        *heavier, (_, lightest) = [(_SPACE + text + _SPACE, number(weight)) for text, weight in self.fields]
        scores = [
            case(*((_has(text, parts), weight) for text, weight in heavier), else_=lightest)
            if heavier
            else lightest
            for parts in _parts_of(resolved, rank, most_typos)[:SCORED_TERMS]
        ]
        return reduce(add, scores) if scores else number(0)

    def place(self, resolved: Resolved) -> tuple[ColumnElement[int], ColumnElement[int]]:
        """Return tier and score of a row that meets a question, from its texts: the same that the steps of a search tell."""
        *better, (last, _) = resolved.tiers
        tier, score = number(last), self._score_of_step(resolved, last)
        if not better:
            return tier, score
        in_tier = [(and_(*self.met(resolved, rank)), rank) for rank, _ in better]
        return (
            case(*((is_met, number(rank)) for is_met, rank in in_tier), else_=tier),
            case(*((is_met, self._score_of_step(resolved, rank)) for is_met, rank in in_tier), else_=score),
        )

    def _score_of_step(self, resolved: Resolved, rank: int) -> ColumnElement[int]:
        score, tier = self.score(resolved, rank, most_typos=None), dict(resolved.tiers)[rank]
        if not tier or is_classed(tier):
            return score
        # What has all words in the heaviest field is a step before all others.
        heaviest = _SPACE + self.fields[0][0] + _SPACE
        is_top = and_(*(_has(heaviest, parts) for parts in _parts_of(resolved, rank)))
        return score + case((is_top, number(1)), else_=number(0))


def _has(text: ColumnElement[str], parts: Mapping[str, str]) -> ColumnElement[bool]:
    return or_(*(contains(text, part, name) for name, part in parts.items()))


def _passages(name: str, passages: Sequence[Passage]) -> list[tuple[str, str]]:
    return [(f"{name}_{place}", passage.text) for place, passage in enumerate(passages)]


def choice_parts(choice: Choice) -> Mapping[str, str]:
    """Return what a text has in it, spaces at its ends, when it meets a choice."""
    parts = [f" {word} " for word in choice.words]
    if choice.beginning is not None:
        parts.append(f" {choice.beginning}")
    return named(f"choice_{choice.place}", parts)


def _parts_of(resolved: Resolved, rank: int, most_typos: int | None = None) -> list[Mapping[str, str]]:
    """Return for each term what a field has in it, likewise, when it meets the term in a tier."""
    pairs = zip(resolved.question.terms, dict(resolved.tiers)[rank], strict=True)
    name = "term" if most_typos is None else "scored"
    return [
        named(f"{name}_{rank}_{place}", _parts(term, choice, rank, most_typos))
        for place, (term, choice) in enumerate(pairs)
    ]


def _parts(term: Term, choice: Choice, rank: int, most_typos: int | None) -> Sequence[str]:
    is_begun = begins(term, rank)
    typos = [
        word for word in choice.words if word != term.word and not (is_begun and word.startswith(term.word))
    ]
    return [
        f" {term.word}" if is_begun else f" {term.word} ",
        *(f" {word} " for word in typos[:most_typos]),
    ]
