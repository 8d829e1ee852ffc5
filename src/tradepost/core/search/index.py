"""The full-text index over a table of normalised texts, and the statements that ask it, spelt for either engine.

On PostgreSQL it is a GIN index of the words as a ``tsvector``; on SQLite an FTS5 table whose content is the table itself.
Both index the words that ``core.wire.folding`` made, as they are: no dictionary, stemmer or parser of an engine has a say,
so both find the same. Neither keeps places or weights of words. What needs these (phrases, exclusions, the rank) looks
into the texts of the few rows that the index found, in one way for both.

A word that is in very many texts is not looked up to its end: the newest rows that match are read, from the highest id
down, until there are enough. FTS5 can walk that way by itself. GIN cannot, so each text also has the number of its block of
ids as a word, and blocks are asked for one after the other.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Integer,
    Select,
    Table,
    Text,
    bindparam,
    case,
    column,
    func,
    literal_column,
    or_,
    select,
    true,
)
from sqlalchemy import table as lightweight
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.sql.selectable import CTE

from tradepost.core.search.question import Question, Term
from tradepost.core.wire.folding import APART, is_unspaced

RANKED: Final = 10_000
"""Rows that a search ranks and counts, and no more: of whole words the newest, then those of beginnings, then of typos."""
BLOCK_BITS: Final = 14
"""The binary digits of an id within its block."""
SCORED_TERMS: Final = 8
"""Words of a question whose place in a text counts for the rank."""
SCORED_TYPOS: Final = 12
"""Words that each of these may be a typo of, likewise."""


_SPACE: Final = literal_column("' '", Text())
_GAP: Final = literal_column(f"' {APART} '", Text())
"""Constants stand in the text of a statement: the planner sees them, and there is less to send."""


def _number(value: int) -> ColumnElement[int]:
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


def contains(text: ColumnElement[str], part: str) -> ColumnElement[bool]:
    """Match a text that has ``part`` in it, letter for letter."""
    return Contains(text, bindparam(None, part, type_=Text())) > _number(0)


@dataclass(frozen=True, slots=True)
class Choice:
    """The ways in which one term is met: by one of these words, or by any that begins so."""

    words: tuple[str, ...]
    beginning: str | None = None


Rows = Select[*tuple[Any, ...]]
Narrow = Callable[[Rows, ColumnElement[int]], Rows]
"""Adds to a statement the table that ids are of, joined on them, and the conditions of a filter."""
Tier = tuple[Choice, ...]
"""What a text must have to be in a tier: of each term one of the words."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """A question with what the vocabulary knows of its terms.

    ``tiers`` are how well a text meets it: by the whole words; by words that begin so, too; by typos, too. One that lets
    nothing new in is left out.
    """

    question: Question
    tiers: tuple[tuple[int, Tier], ...]
    forms: Mapping[Term, Sequence[str]]
    """The words by which each term is met."""


def resolve(
    question: Question,
    beginnings: Mapping[Term, Sequence[str] | None],
    typos: Mapping[Term, Sequence[str]],
) -> Resolved:
    """Return the tiers of a question. ``beginnings`` are the words that begin like a term, None for too many."""

    def choice(term: Term, rank: int) -> Choice:
        words, beginning = {term.word: None}, None
        # One character of a script without spaces is a word of its own only at the end of a run.
        if term.begins and (rank >= 1 or is_unspaced(term.word)):
            begin = beginnings[term]
            beginning = term.word if begin is None else None
            words |= dict.fromkeys(begin or ())
        if rank == 2:  # noqa: PLR2004 - the last tier
            words |= dict.fromkeys(typos.get(term, ()))
        return Choice(tuple(words), beginning)

    tiers: list[tuple[int, Tier]] = []
    for rank in range(3):
        tier = tuple(choice(term, rank) for term in question.terms)
        if not tiers or tier != tiers[-1][1]:
            tiers.append((rank, tier))
    forms = {term: choice.words for term, choice in zip(question.terms, tiers[-1][1], strict=True)}
    return Resolved(question, tuple(tiers), forms)


class Engine:
    """How an engine spells what is asked of its index."""

    both: str
    either: str
    but_not: str

    @staticmethod
    def word(word: str) -> str:
        """Spell a word."""
        raise NotImplementedError

    @staticmethod
    def beginning(word: str) -> str:
        """Spell every word that begins so."""
        raise NotImplementedError

    def spell(self, tier: Tier, without: Tier | None) -> str:
        """Spell the question of a tier, without what meets the tier before."""
        asked = self.both.join(self._choice(choice) for choice in tier)
        return asked if without is None else f"({asked}){self.but_not}({self.spell(without, None)})"

    def _choice(self, choice: Choice) -> str:
        ways = [self.word(word) for word in choice.words]
        if choice.beginning is not None:
            ways.append(self.beginning(choice.beginning))
        return f"({self.either.join(ways)})"


class _Gin(Engine):
    both, either, but_not = " & ", " | ", " & !"

    @staticmethod
    def word(word: str) -> str:
        return f"'{word}'"

    @staticmethod
    def beginning(word: str) -> str:
        return f"'{word}':*"


class _Fts5(Engine):
    both, either, but_not = " AND ", " OR ", " NOT "

    @staticmethod
    def word(word: str) -> str:
        return f'"{word}"'

    @staticmethod
    def beginning(word: str) -> str:
        return f'"{word}"*'


GIN: Final = _Gin()
FTS5: Final = _Fts5()


@dataclass(frozen=True)
class TextIndex:
    """The index over ``texts``, whose ``key`` is the id of what they are of; the heaviest of its ``fields`` first."""

    texts: Table
    key: ColumnElement[int]
    fields: tuple[tuple[ColumnElement[str], int], ...]
    """Each text with its weight."""

    @property
    def name(self) -> str:
        """The name of FTS5's table, and the end of that of PostgreSQL's index."""
        return f"{self.texts.name}_search"

    def document(self) -> str:
        """Return the words of a row as PostgreSQL indexes them."""
        texts = " || ' ' || ".join(f"{self.texts.name}.{field.name}" for field, _ in self.fields)
        block = f"({self.texts.name}.{self.key.name} >> {BLOCK_BITS})::text"
        return f"(({texts} || ' \u00a7' || {block})::tsvector)"

    def newest(
        self, resolved: Resolved, place: int, *, is_sqlite: bool, narrowed: Narrow, limit: ColumnElement[int]
    ) -> Rows:
        """Return ``id``, ``tier`` and ``score`` of the newest rows of a tier, the highest ids first.

        ``narrowed`` joins what the ids are of, and adds the conditions of a filter.
        """
        rank, tier = resolved.tiers[place]
        rows = select(
            self.key.label("id"), _number(rank).label("tier"), self.score(resolved, rank).label("score")
        ).where(*self.checks(resolved.question))
        if tier and is_sqlite:
            return self._by_fts5(rows, narrowed, self._asked(resolved, place, FTS5), limit)
        rows = narrowed(rows.select_from(self.texts), self.key)
        if not tier:
            return rows.order_by(self.key.desc()).limit(limit)
        return self._by_gin(rows, place, self._asked(resolved, place, GIN), limit)

    def _asked(self, resolved: Resolved, place: int, engine: Engine) -> ColumnElement[str]:
        tier = resolved.tiers[place][1]
        without = resolved.tiers[place - 1][1] if place else None
        return bindparam(None, engine.spell(tier, without), type_=Text())

    def _by_fts5(
        self,
        rows: Rows,
        narrowed: Narrow,
        asked: ColumnElement[str],
        limit: ColumnElement[int],
    ) -> Rows:
        index = lightweight(self.name, column("rowid", BigInteger))
        match = literal_column(self.name, Text()).op("MATCH")(asked)
        rows = rows.select_from(index).join(self.texts, self.key == index.c.rowid).where(match)
        return narrowed(rows, index.c.rowid).order_by(index.c.rowid.desc()).limit(limit)

    def _by_gin(self, rows: Rows, place: int, asked: ColumnElement[str], limit: ColumnElement[int]) -> Rows:
        top = select(func.max(self.key).op(">>")(_number(BLOCK_BITS))).scalar_subquery()
        blocks = (
            func.generate_series(top, _number(0), _number(-1))
            .table_valued("number", name=f"blocks_{place}")
            .render_derived()
        )
        within = rows.where(_InBlock(literal_column(self.document()), asked, blocks.c.number))
        block = within.order_by(self.key.desc()).limit(_number(RANKED)).lateral(f"block_{place}")
        return select(*block.c).select_from(blocks.join(block, true())).limit(limit)

    def matching(self, resolved: Resolved, *, is_sqlite: bool) -> Select[int]:
        """Return the ids of all rows that meet a question, in no order: for a filter of another list."""
        checks = self.checks(resolved.question)
        place = len(resolved.tiers) - 1
        if not resolved.tiers[place][1]:
            return select(self.key).where(*checks)
        whole = Resolved(resolved.question, (resolved.tiers[place],), resolved.forms)
        if is_sqlite:
            index = lightweight(self.name, column("rowid", BigInteger))
            match = literal_column(self.name, Text()).op("MATCH")(self._asked(whole, 0, FTS5))
            ids = select(index.c.rowid).where(match)
            return select(self.key).where(self.key.in_(ids), *checks) if checks else ids
        document: ColumnElement[Any] = literal_column(self.document())
        return select(self.key).where(_Matches(document, self._asked(whole, 0, GIN)), *checks)

    def checks(self, question: Question) -> list[ColumnElement[bool]]:
        """Return what the texts themselves must fulfil: phrases that are in one of them, and exclusions that are in none."""
        whole = _SPACE + reduce(add, (part for text, _ in self.fields for part in (text, _GAP)))
        return [
            *(contains(whole, passage.text) for passage in question.passages),
            *(~contains(whole, passage.text) for passage in question.excluded),
        ]

    def score(self, resolved: Resolved, rank: int) -> ColumnElement[int]:
        """Return how much the fields weigh in which the terms are found, each in its heaviest."""
        padded = [(_SPACE + text + _SPACE, _number(weight)) for text, weight in self.fields]
        tier = dict(resolved.tiers)[rank]
        scores = [
            case(
                *((or_(*(contains(text, part) for part in parts)), weight) for text, weight in padded[:-1]),
                else_=padded[-1][1],
            )
            for term, choice in list(zip(resolved.question.terms, tier, strict=True))[:SCORED_TERMS]
            if (parts := _parts(term, choice, rank))
        ]
        return reduce(add, scores) if scores else _number(0)

    def ranked(self, resolved: Resolved, *, is_sqlite: bool, narrowed: Narrow) -> CTE:
        """Return the best ``RANKED`` rows as ``id``, ``tier`` (the lowest is the best) and ``score``."""
        left = _number(RANKED)
        parts: list[Rows] = []
        for place, (rank, _) in enumerate(resolved.tiers):
            found = self.newest(resolved, place, is_sqlite=is_sqlite, narrowed=narrowed, limit=left)
            named = found.cte(f"tier_{rank}").prefix_with("MATERIALIZED")
            parts.append(select(*named.c))
            left = left - select(func.count()).select_from(named).scalar_subquery()
        union = parts[0] if len(parts) == 1 else parts[0].union_all(*parts[1:])
        return union.cte("ranked").prefix_with("MATERIALIZED")


def _parts(term: Term, choice: Choice, rank: int) -> list[str]:
    """Return what a field has in it, spaces at its ends, when it meets a term."""
    whole = f" {term.word} "
    begins = term.begins and (rank >= 1 or is_unspaced(term.word))
    parts = [f" {term.word}" if begins else whole]
    typos = [
        word for word in choice.words if word != term.word and not (begins and word.startswith(term.word))
    ]
    return parts + [f" {word} " for word in typos[:SCORED_TYPOS]]


class _InBlock(FunctionElement[bool]):
    """The document of a row meets a question and is of a block; PostgreSQL alone."""

    inherit_cache = True


@compiles(_InBlock, "postgresql")
def _in_block(element: _InBlock, compiler: SQLCompiler, **options: Any) -> str:
    document, query, block = (compiler.process(clause, **options) for clause in element.clauses)
    return f"{document} @@ (CAST({query} AS tsquery) && CAST('''\u00a7' || {block} || '''' AS tsquery))"


class _Matches(FunctionElement[bool]):
    """The document of a row meets a question; PostgreSQL alone."""

    inherit_cache = True


@compiles(_Matches, "postgresql")
def _matches(element: _Matches, compiler: SQLCompiler, **options: Any) -> str:
    document, query = (compiler.process(clause, **options) for clause in element.clauses)
    return f"{document} @@ CAST({query} AS tsquery)"
