"""Highlights: marks around what was found, in the original's own letters, and nothing that a browser would run."""

import re
from html import unescape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradepost.core.search.highlights import Marker
from tradepost.core.search.question import Term, parse
from tradepost.core.search.steps import resolve


def marked(
    typed: str, text: str | None, begun: tuple[str, ...] = (), typos: dict[str, list[str]] | None = None
) -> str | None:
    question = parse(typed)
    beginnings = {
        term: [word for word in begun if word.startswith(term.word)] for term in question.terms if term.begins
    }
    similar = {term: (typos or {}).get(term.word, []) for term in question.terms}
    return Marker(resolve(question, beginnings, similar)).mark(text)


@pytest.mark.parametrize(
    ("typed", "text", "shown"),
    [
        ("lamp", "An old lamp, two LAMPS.", "An old <mark>lamp</mark>, two <mark>LAMPS</mark>."),
        # Only the last word may go on.
        ("lamp old", "older lamps and a lamp", "<mark>older</mark> lamps and a <mark>lamp</mark>"),
        ("cafe", "Café, Cafe\u0301 and \uff23\uff21\uff26\uff25",
         "<mark>Café</mark>, <mark>Cafe\u0301</mark> and <mark>\uff23\uff21\uff26\uff25</mark>"),
        ("strasse", "Die Straße 5", "Die <mark>Straße</mark> 5"),
        ("\u03bf\u03b4\u03bf\u03c2", "\u039f\u0394\u039f\u03a3", "<mark>\u039f\u0394\u039f\u03a3</mark>"),
        ('"old lamp"', "old, old lamp", "<mark>old</mark>, <mark>old</mark> <mark>lamp</mark>"),
        ("red -lamp", "a red lamp", "a <mark>red</mark> lamp"),
        ("nothing", "a red lamp", "a red lamp"),
        ("lamp", "", ""),
        ("lamp", None, None),
    ],
)  # fmt: skip
def test_words_are_marked_as_they_were_written(typed: str, text: str | None, shown: str | None) -> None:
    assert marked(typed, text) == shown


def test_text_is_escaped_within_marks_and_without() -> None:
    assert marked("lamp", "<b>lamp</b> & \"co\" 'x'") == (
        "&lt;b&gt;<mark>lamp</mark>&lt;/b&gt; &amp; &quot;co&quot; &#x27;x&#x27;"
    )
    assert marked("mark", "<mark>") == "&lt;<mark>mark</mark>&gt;"


def test_pairs_of_a_run_are_marked_as_one() -> None:
    assert marked("東京都", "私は東京都にいる") == "私は<mark>東京都</mark>にいる"
    # Of one character only those that begin a pair, or end a run, are words.
    assert marked("京", "東京に京都", ("京に", "京都")) == "東<mark>京に京都</mark>"


def test_begun_words_and_typos_are_marked() -> None:
    assert marked("lam", "a lampshade") == "a <mark>lampshade</mark>"
    assert marked("lxmp", "one lamp", typos={"lxmp": ["lamp"]}) == "one <mark>lamp</mark>"


@given(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=60),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12),
)
def test_without_marks_and_entities_the_text_is_the_original(text: str, typed: str) -> None:
    shown = marked(typed, text)
    assert shown is not None
    assert unescape(re.sub("</?mark>", "", shown)) == text
    assert shown.count("<mark>") == shown.count("</mark>")
    assert "<" not in re.sub("</?mark>", "", shown)


def test_the_words_of_a_choice_are_told_by_its_term() -> None:
    (term,) = parse("lamp").terms
    assert term == Term("lamp", begins=True, typos=1)
    resolved = resolve(parse("lamp"), {term: None}, {})
    # Too many words begin so to name them: any that does is marked.
    assert Marker(resolved).mark("lamps and a lamb") == "<mark>lamps</mark> and a lamb"
