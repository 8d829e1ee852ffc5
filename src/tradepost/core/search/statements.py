"""The statements that ask a full-text index, spelt for either engine: the best results, their number, and all matches.

A word that is in very many texts is not looked up to its end: the newest rows that match are read, from the highest id
down, until there are enough. FTS5 can walk that way by itself. GIN cannot, so the number of each row's block of ids is one
of its facts, and blocks are asked for one after the other.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final, NamedTuple, TypeAlias

from sqlalchemy import (
    BigInteger,
    Boolean,
    ColumnElement,
    Integer,
    Label,
    Select,
    Text,
    and_,
    bindparam,
    column,
    func,
    literal_column,
    select,
    true,
    union_all,
)
from sqlalchemy import table as lightweight
from sqlalchemy.sql.selectable import CTE, TableClause

from tradepost.core.database.elements import AmongIds, AmongSelected
from tradepost.core.search.blocks import InBlock, Matches, all_blocks, blocks_below
from tradepost.core.search.index import TextIndex, number
from tradepost.core.search.spelling import Fts5, Gin
from tradepost.core.search.steps import Choice, Resolved, Step, Tier, numbered, steps_of

RANKED: Final = 10_000
"""Rows that a search ranks and counts, and no more: the best ones, and of equal ones the newest."""
NEAR_BLOCKS: Final = 2
"""Large blocks that are gone through by small ones."""
FEW_WORDS: Final = 8
"""Words of a choice that GIN looks up again for each small block."""
ID: Final = column("id", BigInteger)
SCORE: Final = column("score", Integer)
IS_MET: Final = column("is_met", Boolean)
BLOCK: Final = column("block", Text)
"""Columns as a statement names what its subqueries have."""

Rows: TypeAlias = Select[*tuple[Any, ...]]
Join = Callable[[Rows, ColumnElement[int]], Rows]
"""Adds to a statement the table that ids are of, joined on them, and the conditions of a filter."""


@dataclass(frozen=True, slots=True)
class Narrowing:
    """A filter of a search: facts that rows must have, words that they must have, and what no index tells.

    ``texts`` are conditions on the row of texts, which is read for them; ``join`` is for what only another table can tell.
    """

    facts: Tier = ()
    words: Tier = ()
    texts: tuple[ColumnElement[bool], ...] = ()
    join: Join | None = None
    shape: Hashable = None
    """The same where ``texts`` and ``join`` are the same but for the values of parameters."""


class End(NamedTuple):
    """Where a page of ranked rows ends."""

    tier: int
    score: int
    row_id: int
    seen: int
    """The number of rows up to there."""


@dataclass(frozen=True, slots=True)
class _Part:
    """A part of a statement: the rows of a step."""

    name: str
    step: Step
    shown: tuple[ColumnElement[Any], ...] = ()
    """What is read besides the ids."""
    reads_texts: bool = False
    """Whether that is in the table of the texts."""
    below: int | None = None
    """The rows have lower ids than this."""
    in_order: bool = True


class _Asked(NamedTuple):
    """What a step asks of the index, and what of the texts of the rows that the index finds."""

    wanted: tuple[Tier, ...]
    without: tuple[Tier, ...]
    texts: list[ColumnElement[bool]]


class SearchStatements:
    """Makes the statements of one question and its filter."""

    def __init__(
        self,
        index: TextIndex,
        resolved: Resolved,
        narrowing: Narrowing,
        *,
        is_sqlite: bool,
        looks_at: int | None = None,
    ) -> None:
        """Take ``looks_at`` for the most rows of a step whose texts are looked into for phrases and exclusions: the newest."""
        self._index = index
        self._resolved = resolved
        facts = (replace(choice, place=f"fact_{place}") for place, choice in enumerate(narrowing.facts))
        self._narrowing = replace(narrowing, facts=tuple(facts))
        self._is_sqlite = is_sqlite
        self._looks_at = looks_at if resolved.question.passages or resolved.question.excluded else None
        self._steps = steps_of(resolved, index.weights)

    @cached_property
    def _checks(self) -> list[ColumnElement[bool]]:
        return self._index.checks(self._resolved.question)

    @cached_property
    def _fts(self) -> TableClause:
        return lightweight(self._index.name, column("rowid", BigInteger))

    @cached_property
    def _document(self) -> ColumnElement[Any]:
        return literal_column(self._index.document())

    @property
    def shape(self) -> Hashable:
        """The same for all questions and filters whose statements are the same but for the values of parameters."""
        return (
            self._is_sqlite,
            RANKED,
            self._looks_at,
            tuple((rank, tuple(map(_shape_of, tier))) for rank, tier in self._resolved.tiers),
            tuple(self.text_values),
            len(self._narrowing.words),
            self._narrowing.shape,
        )

    def values(self, *, is_found: bool = False, in_one_tier: bool = False) -> dict[str, str]:
        """Return the values of the parameters of statements for ranked rows, or for all that ``is_found``."""
        found, values = self._found, dict(self.text_values)
        steps = [(found.name, found.step)] if is_found else numbered(self._steps, in_one_tier=in_one_tier)
        for name, step in steps:
            values |= self._questions(name, *self._of_index(step, reads_dense=True))
        return values

    @cached_property
    def text_values(self) -> dict[str, str]:
        """The values of the parameters that are looked for in texts."""
        return self._index.values(self._resolved, self._narrowing.facts)

    @property
    def looks_into(self) -> bool:
        """Whether only so many texts are looked into."""
        return self._looks_at is not None

    @property
    def has_tiers(self) -> bool:
        """Whether rows are in several tiers."""
        return len(self._resolved.tiers) > 1

    def ranked(self, needed: int, after: End | None = None, *, in_one_tier: bool = False) -> CTE:
        """Return the best ``needed`` rows as ``id``, ``tier`` (the lowest is the best) and ``score``.

        With ``after`` those that come after that place; some before it may be among them. ``in_one_tier``: only those of the
        tier that comes first, which is a smaller statement.
        """
        steps, below = self._steps, None
        if after is not None:
            needed = min(needed, max(0, RANKED - after.seen))
            classes = [(step.rank, step.score) for step in steps]
            if (after.tier, after.score) in classes:
                steps, below = steps[classes.index((after.tier, after.score)) :], after.row_id
            else:
                # Among rows that have scores of their own, or of a class that there is no more: the vocabulary has changed.
                place = (after.tier, -after.score)
                scores = [after.score if step.score is None else step.score for step in steps]
                is_later = [(step.rank, -score) >= place for step, score in zip(steps, scores, strict=True)]
                steps, needed = steps[is_later.index(True) if any(is_later) else -1 :], RANKED
        parts = [
            _Part(
                name,
                step,
                (number(step.rank).label("tier"), self._score(step).label("score")),
                reads_texts=step.score is None,
                below=below if step is steps[0] else None,
            )
            for name, step in numbered(steps, in_one_tier=in_one_tier)
        ]
        return self._chained("ranked", parts, needed)

    def placed(self) -> CTE:
        """Return the rows of the parameter ``ids``, all of which meet the question, likewise: by a look at their texts."""
        key, (tier, score) = self._index.key, self._index.place(self._resolved)
        rows = select(key.label("id"), tier.label("tier"), score.label("score")).where(AmongIds(key))
        return rows.cte("ranked").prefix_with("MATERIALIZED")

    def among(self, rows: Rows) -> Rows:
        """Return which of these rows, of a statement for their ids, meet the question, by a look at their texts."""
        part = _Part("among", Step(0, (), (), 0))
        found = self._rows(
            part,
            _Asked(
                (),
                (),
                [*self.matches(), *map(self._index.has, self._narrowing.facts), *self._narrowing.texts],
            ),
        )
        return found.where(AmongSelected(self._index.key, rows))

    def told(self) -> CTE:
        """Return the rows of the parameter ``ids`` as ``best`` does."""
        key = self._index.key
        rows = select(key.label("id"), *self._index.told).where(AmongIds(key))
        return rows.cte("best").prefix_with("MATERIALIZED")

    def unranked(self) -> CTE:
        """Return all rows that meet the question as ``best`` does, where they are no more than a search ranks."""
        part = replace(self._found, shown=tuple(self._index.told), reads_texts=True)
        return self._newest(part, number(RANKED)).cte("best").prefix_with("MATERIALIZED")

    def best(self) -> CTE:
        """Return the rows that a search ranks, in no order, as ``id`` and what facets read of them."""
        parts = [
            _Part(name, step, (*self._index.told, self._score(step).label("score")), reads_texts=True)
            for name, step in numbered(self._steps)
        ]
        return self._chained("best", parts, RANKED)

    def looked_at(self) -> Select[int] | None:
        """Return the number of rows whose texts are looked into; None for a question that looks into none, or into all."""
        if self._looks_at is None:
            return None
        looked_at = self._first(self._found, number(self._looks_at), checks=False)
        return select(func.count()).select_from(looked_at.subquery("looked_at"))

    def counted(self) -> Select[int]:
        """Return the number of matches, as far as they are counted."""
        return select(func.count()).select_from(self.matching(RANKED).subquery("found"))

    def matching(self, limit: int | None = None) -> Rows:
        """Return the ids of the rows that meet the question, in no order: all of them, or no more than ``limit``."""
        part = self._found
        if limit is not None:
            return self._newest(part, number(limit))
        asked = self._asked(part.step, reads_dense=False, checks=True)
        if self._is_sqlite:
            return self._by_fts5(part, asked)
        return self._rows(part, asked).where(*self._documents(part, asked))

    def matches(self) -> list[ColumnElement[bool]]:
        """Return the conditions by which the texts of a row alone tell whether it meets the question."""
        return [*self._index.met(self._resolved, self._resolved.tiers[-1][0]), *self._checks]

    @property
    def _found(self) -> _Part:
        return _Part("found", Step(0, (self._resolved.widest,), (), 0), in_order=False)

    def _chained(self, name: str, parts: Sequence[_Part], needed: int) -> CTE:
        """Return the first ``needed`` rows of several parts, one after the other: a part is read once those before it ended.

        Parts are materialized: PostgreSQL could read others at once, and would mix their rows.
        """
        chain: list[Rows] = []
        for part in parts:
            is_sorted = part.step.score is None
            newest = self._newest(part, number(RANKED if is_sorted else needed))
            rows, shown = newest.cte(part.name).prefix_with("MATERIALIZED"), _named(part.shown)
            if is_sorted:
                by_score = select(*shown).select_from(rows).order_by(SCORE.desc(), ID.desc())
                rows = by_score.cte(f"sorted_{part.name}").prefix_with("MATERIALIZED")
            chain.append(select(*shown).select_from(rows))
        first = union_all(*chain).limit(number(needed))
        return first.cte(name).prefix_with("MATERIALIZED")

    def _score(self, step: Step) -> ColumnElement[int]:
        return self._index.score(self._resolved, step.rank) if step.score is None else number(step.score)

    def _of_index(self, step: Step, *, reads_dense: bool) -> tuple[tuple[Tier, ...], tuple[Tier, ...]]:
        """Return what the index is asked for and to leave out: all of a step but what reading texts tells sooner."""

        def is_read(tier: Tier) -> bool:
            return reads_dense and any(choice.is_dense for choice in tier)

        wanted = step.wanted
        if len(wanted) == 1:
            wanted = (tuple(choice for choice in wanted[0] if not is_read((choice,))),)
        return wanted, tuple(tier for tier in step.without if any(wanted) and not is_read(tier))

    def _asked(self, step: Step, *, reads_dense: bool, checks: bool) -> _Asked:
        wanted, without = self._of_index(step, reads_dense=reads_dense)
        read = [choice for choice in step.wanted[0] if choice not in wanted[0]] if len(wanted) == 1 else []
        texts = list(map(self._index.meets, read))
        texts += [self._index.misses(tier) for tier in step.without if tier not in without]
        texts += self._narrowing.texts
        return _Asked(wanted, without, [*texts, *self._checks] if checks else texts)

    def _questions(self, name: str, wanted: Sequence[Tier], without: Sequence[Tier]) -> Mapping[str, str]:
        """Return what the index is asked for a part, by the names of the parameters."""
        facts = (*self._narrowing.facts, *self._narrowing.words)
        if self._is_sqlite:
            if not (facts or any(wanted)):
                return {}
            return {f"asked_{name}": Fts5(self._index.marked).question(wanted, facts, without)}
        gin = Gin(self._index.marked)
        queries = [*gin.conditions(wanted, without), *gin.conditions([facts], ())]
        return {f"asked_{name}_{place}": query for place, query in enumerate(queries)}

    def _newest(self, part: _Part, limit: ColumnElement[int]) -> Rows:
        """Return the newest rows of a part."""
        if self._looks_at is None:
            return self._first(part, limit, checks=True)
        is_met = and_(*self._checks).label("is_met")
        looked_at = replace(part, shown=(*part.shown, is_met), reads_texts=True, in_order=True)
        rows = self._first(looked_at, number(self._looks_at), checks=False).subquery(f"looked_at_{part.name}")
        return select(*_named(part.shown)).select_from(rows).where(IS_MET).limit(limit)

    def _first(self, part: _Part, limit: ColumnElement[int], *, checks: bool) -> Rows:
        asked, facts, words = (
            self._asked(part.step, reads_dense=True, checks=checks),
            self._narrowing.facts,
            self._narrowing.words,
        )
        if any(asked.wanted) or words or (facts and (self._is_sqlite or len(facts) > 1)):
            if self._is_sqlite:
                return self._by_fts5(part, asked).order_by(self._fts.c.rowid.desc()).limit(limit)
            return self._by_blocks(part, asked, limit)
        # What nearly every row has: they are read one after the other.
        rows = self._rows(part, asked).where(*map(self._index.has, facts))
        return rows.order_by(self._index.key.desc()).limit(limit)

    def _rows(self, part: _Part, asked: _Asked) -> Rows:
        key = self._index.key
        rows = select(key.label("id"), *part.shown).select_from(self._index.texts).where(*asked.texts)
        if part.below is not None:
            rows = rows.where(key < number(part.below))
        return rows if self._narrowing.join is None else self._narrowing.join(rows, key)

    def _by_fts5(self, part: _Part, asked: _Asked) -> Rows:
        questions = self._questions(part.name, asked.wanted, asked.without)
        if not questions:
            return self._rows(part, asked)
        ((name, text),) = questions.items()
        row_id = self._fts.c.rowid
        rows = select(row_id.label("id"), *part.shown).select_from(self._fts)
        if asked.texts or part.reads_texts:
            rows = rows.join(self._index.texts, self._index.key == row_id).where(*asked.texts)
        question = bindparam(name, text, type_=Text())
        rows = rows.where(literal_column(self._index.name, Text()).op("MATCH")(question))
        if part.below is not None:
            rows = rows.where(row_id < number(part.below))
        return rows if self._narrowing.join is None else self._narrowing.join(rows, row_id)

    def _by_blocks(self, part: _Part, asked: _Asked, limit: ColumnElement[int]) -> Rows:
        key = self._index.key
        is_long = any(
            choice.beginning is not None or len(choice.words) > FEW_WORDS
            for tier in asked.wanted
            for choice in tier
        )
        near = 0 if is_long else NEAR_BLOCKS
        blocks = all_blocks(key, near)
        if part.below is not None:
            blocks = blocks_below(number(part.below), near=near).cte("blocks_below")
        rows = self._rows(part, asked).where(*self._documents(part, asked))
        rows = rows.where(InBlock(self._document, BLOCK))
        if part.in_order:
            rows = rows.order_by(key.desc())
        block = rows.limit(number(RANKED)).lateral(f"block_{part.name}")
        return select(*_named(part.shown)).select_from(blocks.join(block, true())).limit(limit)

    def _documents(self, part: _Part, asked: _Asked) -> list[ColumnElement[bool]]:
        questions = self._questions(part.name, asked.wanted, asked.without)
        return [
            Matches(self._document, bindparam(name, query, type_=Text())) for name, query in questions.items()
        ]


def _shape_of(choice: Choice) -> Hashable:
    return choice.beginning is None, choice.is_dense, len(choice.words) > FEW_WORDS


def _named(shown: Sequence[ColumnElement[Any]]) -> list[ColumnElement[Any]]:
    """Return the id and what is shown of a row, as the statement around it names them.

    The columns that SQLAlchemy makes of a subquery's own take longer to be made than a search does.
    """
    return [ID, *(column(one.name, one.type) for one in shown if isinstance(one, Label))]
