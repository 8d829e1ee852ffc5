"""Highlights: the original text as HTML, with a mark around what a question found in it.

A question knows folded words. Each character of the original is folded by itself, together with the marks that combine
with it, and remembers where it came from; so accents, case and width are shown as they were written.
"""

import unicodedata
from collections.abc import Iterable, Iterator
from html import escape
from typing import NamedTuple

from tradepost.core.search.steps import Resolved
from tradepost.core.wire.folding import WORD_LENGTH, fold, is_unspaced, spaced


class Marker:
    """Marks what one question found."""

    def __init__(self, resolved: Resolved) -> None:
        self._words = {word for words in resolved.forms.values() for word in words}
        self._beginnings = tuple(term.word for term in resolved.question.terms if term.begins)
        # Of a script without spaces a word is two characters in a row: they are marked wherever they stand.
        self._pairs = {word for word in (*self._words, *self._beginnings) if is_unspaced(word)}

    def mark(self, text: str | None) -> str | None:
        """Return text as HTML, with ``<mark>`` around each word that was found."""
        if text is None:
            return None
        shown: list[str] = []
        done = 0
        for start, end in _joined(self._found(list(_clusters(text)))):
            shown += (escape(text[done:start]), "<mark>", escape(text[start:end]), "</mark>")
            done = end
        return "".join((*shown, escape(text[done:])))

    def _found(self, clusters: "list[_Cluster]") -> Iterator[tuple[int, int]]:
        """Yield where what was found begins and ends in the original."""
        folded = "".join(cluster.folded for cluster in clusters)
        origins = [cluster for cluster in clusters for _ in cluster.folded]
        at = 0
        for chunk in spaced(folded):
            at = folded.find(chunk, at)
            if at < 0:
                return
            for start, end in self._within(chunk):
                yield origins[at + start].start, origins[at + end - 1].end
            at += len(chunk)

    def _within(self, chunk: str) -> Iterator[tuple[int, int]]:
        if is_unspaced(chunk):
            for pair in self._pairs:
                at = chunk.find(pair)
                while at >= 0:
                    yield at, at + len(pair)
                    at = chunk.find(pair, at + 1)
        elif chunk[:WORD_LENGTH] in self._words or chunk.startswith(self._beginnings):
            yield 0, len(chunk)


class _Cluster(NamedTuple):
    """A character with the marks that combine with it: where it stands in the original, and what it folds to."""

    start: int
    end: int
    folded: str


def _clusters(text: str) -> Iterator[_Cluster]:
    start = 0
    for end in range(1, len(text) + 1):
        if end == len(text) or not _goes_on(text[end]):
            yield _Cluster(start, end, fold(text[start:end]))
            start = end


def _goes_on(character: str) -> bool:
    """Tell whether a character belongs to the one before: a mark, a joiner, the vowel or end of a Korean syllable."""
    return (
        unicodedata.category(character)[0] == "M" or "\u1160" <= character <= "\u11ff" or not fold(character)
    )


def _joined(spans: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Yield spans in their order, those that meet as one."""
    current: tuple[int, int] | None = None
    for span in sorted(spans):
        if current is None:
            current = span
        elif span[0] <= current[1]:
            current = current[0], max(current[1], span[1])
        else:
            yield current
            current = span
    if current is not None:
        yield current
