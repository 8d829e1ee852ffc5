"""The plan of a search: the steps in which an index is asked, the best results first.

Results are ranked by how well a text meets a question (whole words, begun words, typos), and only then by the fields in
which the words stand. Each such class that an index can tell by itself is a step of its own, so a page that the best class
fills is read without a look at the others.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from dataclasses import field as attribute
from itertools import product
from typing import Final

from tradepost.core.search.question import Question, Term
from tradepost.core.wire.folding import is_unspaced

SCORED_TERMS: Final = 8
"""Words of a question whose place in a text counts for the rank."""
CLASSED_TERMS: Final = 2
"""Words of a question each score of which is a step of its own; of more words there would be too many."""
TYPOS: Final = 2
"""The rank of the last tier."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The ways in which one term is met: by one of these words, or by any that begins so."""

    words: tuple[str, ...]
    beginning: str | None = None
    field: str | None = None
    """The one field in which it stands; without it, any."""
    is_dense: bool = False
    """So many texts have a word that begins so that reading texts is cheaper than asking the index."""
    place: str = attribute(default="", compare=False)
    """Its place in a search, after which its parameters are called."""

    def within(self, field: str) -> "Choice":
        """Return the same choice in one field."""
        return replace(self, field=field)


Tier = tuple[Choice, ...]
"""What a text must have: of each term one of the words."""


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

    @property
    def widest(self) -> Tier:
        """The last tier, which lets in whatever meets the question at all."""
        return self.tiers[-1][1]

    @property
    def is_read(self) -> bool:
        """Whether texts are read for some of its choices."""
        return any(choice.is_dense for choice in self.widest)


@dataclass(frozen=True, slots=True)
class Step:
    """A class of results: texts that meet one of the tiers ``wanted``, and none of ``without``.

    All have one ``score``, or None: then each text is read for its own.
    """

    rank: int
    wanted: tuple[Tier, ...]
    without: tuple[Tier, ...]
    score: int | None


def resolve(
    question: Question,
    beginnings: Mapping[Term, Sequence[str] | None],
    typos: Mapping[Term, Sequence[str]],
    *,
    dense: frozenset[str] = frozenset(),
) -> Resolved:
    """Return the tiers of a question.

    ``beginnings`` are the words that begin like a term, None for too many; ``dense`` are those of which a large part of all
    texts has one.
    """

    def choice(place: int, term: Term, rank: int) -> Choice:
        words, beginning = {term.word: None}, None
        # One character of a script without spaces is a word of its own only at the end of a run.
        if begins(term, rank):
            begun = beginnings[term]
            beginning = term.word if begun is None else None
            words |= dict.fromkeys(begun or ())
        if rank == TYPOS:
            words |= dict.fromkeys(typos.get(term, ()))
        return Choice(tuple(words), beginning, is_dense=beginning in dense, place=f"{rank}_{place}")

    tiers: list[tuple[int, Tier]] = []
    for rank in range(TYPOS + 1):
        tier = tuple(choice(place, term, rank) for place, term in enumerate(question.terms))
        if not tiers or tier != tiers[-1][1]:
            tiers.append((rank, tier))
    forms = {term: choice.words for term, choice in zip(question.terms, tiers[-1][1], strict=True)}
    return Resolved(question, tuple(tiers), forms)


def begins(term: Term, rank: int) -> bool:
    """Tell whether a term is met, in a tier of this rank, by words that only begin like it."""
    return term.begins and (rank >= 1 or is_unspaced(term.word))


def steps_of(resolved: Resolved, fields: Sequence[tuple[str, int]]) -> list[Step]:
    """Return the steps of a search, the best first; ``fields`` have their weights, the heaviest first."""
    steps: list[Step] = []
    before: tuple[Tier, ...] = ()
    for rank, tier in resolved.tiers:
        steps += _steps_of_tier(rank, tier, before, fields)
        before = (tier,)
    return steps


def numbered(steps: Sequence[Step], *, in_one_tier: bool = False) -> Sequence[tuple[str, Step]]:
    """Return steps, or only those of the first tier, with the names of their parts."""
    return [
        (f"step_{place}", step)
        for place, step in enumerate(steps)
        if not in_one_tier or step.rank == steps[0].rank
    ]


def is_classed(tier: Tier) -> bool:
    """Tell whether each score of a tier is a step of its own; else only what has all words in the heaviest field is one."""
    return len(tier) <= CLASSED_TERMS and all(choice.beginning is None for choice in tier)


def _steps_of_tier(
    rank: int, tier: Tier, before: tuple[Tier, ...], fields: Sequence[tuple[str, int]]
) -> list[Step]:
    if not tier:
        return [Step(rank, ((),), (), 0)]
    if is_classed(tier):
        return _classes(rank, tier, before, fields)
    (heaviest, weight), *lighter = fields
    top = tuple(choice.within(heaviest) for choice in tier)
    # More than any text can have of which not all words are in the heaviest field.
    best = weight * min(len(tier), SCORED_TERMS) + 1
    rest = Step(rank, (tier,), (*before, top), None if lighter else weight)
    return [Step(rank, (top,), before, best), rest]


def _classes(
    rank: int, tier: Tier, before: tuple[Tier, ...], fields: Sequence[tuple[str, int]]
) -> list[Step]:
    """Return a step for each score: the sum of the weights of the heaviest field that has each word."""
    classes: dict[int, list[Tier]] = {}
    for placed in product(fields, repeat=len(tier)):
        # What is in the lightest field at least is in any: better places are left out by the steps before.
        choices = (
            choice if (name, weight) == fields[-1] else choice.within(name)
            for choice, (name, weight) in zip(tier, placed, strict=True)
        )
        classes.setdefault(sum(weight for _, weight in placed), []).append(tuple(choices))
    steps = []
    for score in sorted(classes, reverse=True):
        steps.append(Step(rank, tuple(classes[score]), before, score))
        before = (*before, *classes[score])
    return steps
