"""The parser of search questions: words, phrases and exclusions. Whatever a person types is a question.

Stored text and questions are folded by the same module. What is no quotation mark around a phrase and no minus before a
word is no operator: an index is only asked for words that this module has cut.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from tradepost.core.wire.folding import WORD_LENGTH, bigrams, is_unspaced, spaced, symbols

_QUOTES: Final = str.maketrans(dict.fromkeys("“”„‟\uff02", '"') | {"\uff0d": "-"})
"""Quotation marks that keyboards put in the place of the plain one, and what is the same in another width."""
_PARTS: Final = re.compile(r'((?<!\S)-)?"([^"]*)"|(?<!\S)-(?=\S)([^\s"]+)|([^\s"]+)')
TYPO_FROM: Final = 4
"""Letters from which a word may differ by one edit."""
TWO_TYPOS_FROM: Final = 8


@dataclass(frozen=True, slots=True)
class Term:
    """A word that is wanted. ``begins``: words that begin with it are good too; ``typos``: so many edits are."""

    word: str
    begins: bool = False
    typos: int = 0


@dataclass(frozen=True, slots=True)
class Passage:
    """Words in a row, within one text. ``open_end``: the last one may go on."""

    words: tuple[str, ...]
    open_end: bool = False

    @property
    def text(self) -> str:
        """The passage as it stands in stored text, which has a space at either end."""
        return f" {' '.join(self.words)}{'' if self.open_end else ' '}"


@dataclass(frozen=True, slots=True)
class Question:
    """What is wanted: every term, every passage, and none of what is excluded."""

    terms: tuple[Term, ...]
    passages: tuple[Passage, ...]
    excluded: tuple[Passage, ...]

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to look for: nothing is found then."""
        return not (self.terms or self.excluded)


def parse(text: str) -> Question:
    """Read a question. ``"…"`` is a phrase, ``-word`` and ``-"…"`` exclude, everything else is letters."""
    terms: dict[Term, None] = {}
    passages: dict[Passage, None] = {}
    excluded: dict[Passage, None] = {}
    last: Term | None = None
    for minus, phrase, unwanted, plain in _PARTS.findall(text.translate(_QUOTES)):
        if minus or unwanted:
            if passage := _passage(phrase or unwanted):
                excluded[passage] = None
        elif plain:
            for chunk in spaced(plain):
                last = _add(chunk, terms, passages)
        elif passage := _passage(phrase):
            last = None
            terms |= dict.fromkeys(_terms_of(passage))
            if len(passage.words) > 1:
                passages[passage] = None
    wanted = list(terms)
    if last is not None:
        # The last word is perhaps not typed to its end.
        wanted[wanted.index(last)] = Term(last.word, begins=True, typos=last.typos)
    if not (terms or excluded):
        wanted = [Term(name) for name in symbols(text)]
    return Question(_without_doubles(wanted), tuple(passages), tuple(excluded))


def _add(chunk: str, terms: dict[Term, None], passages: dict[Passage, None]) -> Term | None:
    """Add a word that stands by itself; return it if it could go on."""
    if not is_unspaced(chunk):
        word = chunk[:WORD_LENGTH]
        term = Term(word, typos=_typos(word))
        terms[term] = None
        return term
    passage = _passage(chunk)
    if passage is not None:
        terms |= dict.fromkeys(_terms_of(passage))
        if len(passage.words) > 1:
            passages[passage] = None
    return None


def _typos(word: str) -> int:
    """Return how many edits a word may be away. A number with another digit is another number."""
    if len(word) < TYPO_FROM or has_digit(word):
        return 0
    return 1 if len(word) < TWO_TYPOS_FROM else 2


def has_digit(word: str) -> bool:
    """Tell whether a digit is in a word."""
    return any(letter.isdecimal() for letter in word)


def _passage(text: str) -> Passage | None:
    """Return the words of a phrase as they stand in a row in stored text, None if there are none."""
    chunks = list(spaced(text))
    if not chunks:
        return None
    found: list[str] = []
    for chunk in chunks[:-1]:
        found += [*bigrams(chunk), chunk[-1]] if is_unspaced(chunk) else [chunk[:WORD_LENGTH]]
    last = chunks[-1]
    if not is_unspaced(last):
        return Passage((*found, last[:WORD_LENGTH]))
    # Of a run, stored text may have more: it goes on with the next two characters, or ends with the last one.
    return Passage((*found, *bigrams(last))) if len(last) > 1 else Passage((*found, last), open_end=True)


def _terms_of(passage: Passage) -> Sequence[Term]:
    terms = [Term(word) for word in passage.words]
    if passage.open_end:
        terms[-1] = Term(passage.words[-1], begins=True)
    return terms


def _without_doubles(terms: Sequence[Term]) -> tuple[Term, ...]:
    """Leave out a term where the same word is wanted more strictly."""
    strictest: dict[str, Term] = {}
    for term in terms:
        known = strictest.get(term.word)
        if known is None or (term.begins, term.typos) < (known.begins, known.typos):
            strictest[term.word] = term
    return tuple(strictest.values())
