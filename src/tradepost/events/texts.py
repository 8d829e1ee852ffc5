"""The words of events, by which lists filter: stored beside the texts, folded as questions are."""

from collections.abc import Iterator

from sqlalchemy import ColumnElement, false

from tradepost.core.search.question import Question
from tradepost.core.wire.folding import APART, searchable
from tradepost.events.models import Event


def words_of(title: str, description: str) -> str:
    """Return what is stored of an event for filters by words: each with a space at either end."""
    return f" {searchable(title)} {APART} {searchable(description)} "


def mentions(question: Question) -> Iterator[ColumnElement[bool]]:
    """Yield what an event must fulfil that a question finds: all words and phrases, and nothing that it excludes.

    Words hold letters and digits alone, so LIKE's own wildcards cannot be among them.
    """
    if question.is_empty:
        yield false()
    for term in question.terms:
        yield Event.words.like(f"% {term.word}%" if term.begins else f"% {term.word} %")
    for passage in question.passages:
        yield Event.words.like(f"%{passage.text}%")
    for passage in question.excluded:
        yield Event.words.not_like(f"%{passage.text}%")
