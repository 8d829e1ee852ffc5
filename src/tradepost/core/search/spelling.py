"""How each engine's full-text index is asked for words: PostgreSQL's ``tsquery``, and the language of FTS5.

Nothing that a person types gets there: only words that ``core.wire.folding`` has cut, of letters and digits alone, and the
facts of a row, which our own code writes.
"""

from collections.abc import Sequence
from typing import Final

from tradepost.core.search.steps import Choice, Tier

MARKS: Final = "\u2039\u203a"
"""Before a word says that it stands in the first field, or the second; no word has them."""
FACT: Final = "\u00a7"
"""Begins a fact about what a text is of, which is a word of the index like any other; no word has it."""


class _Marked:
    """An index of the words of a row. ``fields`` are those whose words are in it once more, under a mark.

    Asked for a word of one field, an index without marks would go through all rows that have it in any.
    """

    def __init__(self, fields: Sequence[str]) -> None:
        self._marks = dict(zip(fields, MARKS, strict=False))

    def _mark(self, choice: Choice) -> str:
        return "" if choice.field is None else self._marks.get(choice.field, "")


class Gin(_Marked):
    """A GIN index."""

    def conditions(self, wanted: Sequence[Tier], without: Sequence[Tier]) -> list[str]:
        """Return queries all of which must be met, to have what one of ``wanted`` lets in and none of ``without``.

        Each choice is one, where it can be: GIN then leaps from one row of all to the next. In one query of all choices it
        would look at every row of the rarest word.
        """
        if len(wanted) == 1:
            asked = [self._choice(choice) for choice in wanted[0]]
        else:
            asked = [f"({' | '.join(f'({self._all(tier)})' for tier in wanted)})"]
        if asked and without:
            asked[0] += "".join(f" & !({self._all(tier)})" for tier in without)
        return asked

    def _all(self, tier: Tier) -> str:
        return " & ".join(map(self._choice, tier))

    def _choice(self, choice: Choice) -> str:
        mark = self._mark(choice)
        ways = [f"'{mark}{word}'" for word in choice.words]
        if choice.beginning is not None:
            ways.append(f"'{mark}{choice.beginning}':*")
        return f"({' | '.join(ways)})"


class Fts5(_Marked):
    """An FTS5 table."""

    def question(self, wanted: Sequence[Tier], facts: Tier, without: Sequence[Tier]) -> str:
        """Return one question for what has all ``facts``, and one of ``wanted``, and none of ``without``."""
        parts = [self._any(wanted)] if any(wanted) else []
        asked = " AND ".join((*parts, *map(self._choice, facts)))
        return f"({asked}) NOT ({self._any(without)})" if without else asked

    def _any(self, tiers: Sequence[Tier]) -> str:
        return f"({' OR '.join(f'({self._all(tier)})' for tier in tiers)})"

    def _all(self, tier: Tier) -> str:
        return " AND ".join(map(self._choice, tier))

    def _choice(self, choice: Choice) -> str:
        mark = self._mark(choice)
        ways = [f'"{mark}{word}"' for word in choice.words]
        if choice.beginning is not None:
            ways.append(f'"{mark}{choice.beginning}"*')
        return f"({' OR '.join(ways)})"
