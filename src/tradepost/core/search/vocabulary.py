"""The vocabulary of search: every word that stands in a text, found by how it begins and by what it almost is.

Typos are looked up among the distinct words, of which there are few, not among the texts. By the pigeonhole principle
(Pass-Join): a word that is d edits away has one of its d + 1 pieces untouched, near its place. The pieces are rows of a
plain index, so this needs no extension of PostgreSQL and is exact, and alike, on both engines.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Final, cast

from sqlalchemy import Select, String, Table, bindparam, select
from sqlalchemy.orm import Mapped, mapped_column

from tradepost.core.database.elements import AmongTexts
from tradepost.core.database.many_rows import Insertion, insert_together
from tradepost.core.database.models import Base
from tradepost.core.database.repository import Repository
from tradepost.core.database.sessions import WriteSession
from tradepost.core.search.question import TWO_TYPOS_FROM, TYPO_FROM, Term, has_digit
from tradepost.core.wire.folding import WORD_LENGTH, is_unspaced

LONGEST: Final = 32
"""Letters of the longest word whose typos are looked up."""
MOST_BEGINNINGS: Final = 300
"""Words that a beginning stands for one by one; if there are more, the index itself puts them together."""
MOST_TYPOS: Final = 50
"""Words that a word may be a typo of: the nearest ones, in the order of the alphabet."""
MOST_TYPED: Final = 8
"""Words of a question whose typos are looked up."""
REMEMBERED: Final = 200_000
"""Words that a process remembers to be in the vocabulary."""
_REACHED: Final = {1: (TYPO_FROM - 1, TWO_TYPOS_FROM), 2: (TWO_TYPOS_FROM - 2, LONGEST)}
"""How short and long a word is that a question's word may be a typo of, by the number of edits."""
_WHOLE: Final = ""
"""The piece that is no piece: under it stands each word by itself."""

_BYTES: Final = String(WORD_LENGTH + 8).with_variant(String(WORD_LENGTH + 8, collation="C"), "postgresql")


class SearchWord(Base):
    """A word under one of its pieces."""

    __tablename__ = "vocabulary"
    __table_args__ = ({"sqlite_with_rowid": False},)

    piece: Mapped[str] = mapped_column(_BYTES, primary_key=True)
    word: Mapped[str] = mapped_column(_BYTES, primary_key=True)


_WORDS: Final = cast("Table", SearchWord.__table__)
_STANDING: Final = select(_WORDS.c.word).where(AmongTexts(_WORDS.c.piece)).distinct()
"""The words under some pieces."""


@lru_cache
def _begun(most: int) -> Select[str]:
    """Return the statement for the words from one up to another, so many at the most."""
    lowest, highest = (bindparam(name, type_=_WORDS.c.word.type) for name in ("beginning", "after"))
    begun = select(_WORDS.c.word).where(_WORDS.c.piece == _WHOLE)
    return begun.where(_WORDS.c.word >= lowest, _WORDS.c.word < highest).limit(most)


def _cuts(length: int, typos: int) -> Iterator[tuple[int, int]]:
    """Yield where the pieces of a word of so many letters begin and end."""
    size, longer = divmod(length, typos + 1)
    start = 0
    for number in range(typos + 1):
        end = start + size + (number > typos - longer)
        yield start, end
        start = end


def _key(typos: int, length: int, number: int, piece: str) -> str:
    return f"{typos}{length}.{number}{piece}"


def pieces(word: str) -> Iterator[str]:
    """Yield under what a word stands in the vocabulary."""
    yield _WHOLE
    if len(word) > LONGEST or is_unspaced(word) or has_digit(word):
        return
    for typos, (shortest, longest) in _REACHED.items():
        if shortest <= len(word) <= longest:
            for number, (start, end) in enumerate(_cuts(len(word), typos)):
                yield _key(typos, len(word), number, word[start:end])


def _near(word: str, typos: int) -> Iterator[str]:
    """Yield the pieces under one of which every word stands that is so many edits away."""
    for length in range(len(word) - typos, len(word) + typos + 1):
        shift = len(word) - length
        for number, (start, end) in enumerate(_cuts(length, typos)):
            lowest = max(0, start - number, start + shift - (typos - number))
            highest = min(len(word) - (end - start), start + number, start + shift + (typos - number))
            for place in range(lowest, highest + 1):
                yield _key(typos, length, number, word[place : place + end - start])


def edits(one: str, other: str, most: int) -> int:
    """Return how many letters must be added, left out or changed to make one word the other; past ``most``, any more."""
    before = list(range(len(other) + 1))
    for row, letter in enumerate(one, 1):
        after = [row]
        for column, another in enumerate(other, 1):
            after.append(min(before[column] + 1, after[-1] + 1, before[column - 1] + (letter != another)))
        if min(after) > most:
            return most + 1
        before = after
    return before[-1]


class Vocabulary:
    """Knows which words the vocabulary holds already: most words of a new text are. Lives as long as the process."""

    def __init__(self) -> None:
        self._known: set[str] = set()

    async def learn(self, db: WriteSession, texts: Iterable[str]) -> None:
        """Put the words of normalised texts in, in the caller's transaction."""
        await insert_together(db, self.addition(db, texts))

    def addition(self, db: WriteSession, texts: Iterable[str]) -> Insertion:
        """Return what is to be inserted for the words of normalised texts, in this transaction."""
        new = {word for text in texts for word in text.split()} - self._known
        if new:
            db.after_commit(lambda: self._remember(new))
        # In one order for everybody: two that put the same new words in would wait for each other.
        rows = sorted((piece, word) for word in new for piece in pieces(word))
        return Insertion(
            _WORDS, [{"piece": piece, "word": word} for piece, word in rows], "ON CONFLICT DO NOTHING"
        )

    def _remember(self, words: Collection[str]) -> None:
        if len(self._known) > REMEMBERED:
            self._known.clear()
        self._known.update(words)

    def forget(self) -> None:
        """Ask the database again about every word: it may hold others now."""
        self._known.clear()


class VocabularyRepository(Repository):
    """The rows of ``vocabulary``."""

    async def find_beginning(self, beginning: str) -> Sequence[str] | None:
        """Return the words that begin so, itself too; None when they are too many."""
        values = {"beginning": beginning, "after": beginning + "\U0010ffff"}
        found = await self.rows(_begun(MOST_BEGINNINGS + 1), values)
        return None if len(found) > MOST_BEGINNINGS else [word for (word,) in found]

    async def find_similar(self, terms: Sequence[Term]) -> Mapping[Term, Sequence[str]]:
        """Return for each term the words that it may be a typo of, the nearest first."""
        asked = [term for term in terms if term.typos and TYPO_FROM <= len(term.word) <= LONGEST][:MOST_TYPED]
        keys = sorted({key for term in asked for key in _near(term.word, term.typos)})
        if not keys:
            return {}
        candidates = [word for (word,) in await self.rows(_STANDING, {"texts": keys})]
        return {term: _nearest(term, candidates) for term in asked}


def _nearest(term: Term, candidates: Iterable[str]) -> Sequence[str]:
    word, most = term.word, term.typos
    far = sorted(
        (distance, candidate)
        for candidate in candidates
        if abs(len(candidate) - len(word)) <= most and 0 < (distance := edits(word, candidate, most)) <= most
    )
    return [candidate for _, candidate in far[:MOST_TYPOS]]
