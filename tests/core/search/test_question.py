"""The parser of questions: words, phrases and exclusions, and that nothing else is an operator."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradepost.core.search.question import Passage, Question, Term, has_digit, parse
from tradepost.core.wire.folding import WORD_LENGTH, searchable, words


def asked(*terms: Term, passages: tuple[Passage, ...] = (), excluded: tuple[Passage, ...] = ()) -> Question:
    return Question(terms, passages, excluded)


@pytest.mark.parametrize(
    ("typed", "question"),
    [
        ("lamp", asked(Term("lamp", begins=True, typos=1))),
        ("Old LAMP", asked(Term("old"), Term("lamp", begins=True, typos=1))),
        ("caf\u00e9 la", asked(Term("cafe", typos=1), Term("la", begins=True))),
        ("lamp, lamp", asked(Term("lamp", begins=True, typos=1))),
        ("keyboard", asked(Term("keyboard", begins=True, typos=2))),
        ("model 1234", asked(Term("model", typos=1), Term("1234", begins=True))),
        ("a*b OR c:d", asked(Term("a"), Term("b"), Term("or"), Term("c"), Term("d", begins=True))),
        ("", asked()),
        ("  \u3000 ", asked()),
    ],
)
def test_words_are_wanted_and_the_last_may_go_on(typed: str, question: Question) -> None:
    assert parse(typed) == question


@pytest.mark.parametrize(
    ("typed", "question"),
    [
        ('"old lamp"', asked(Term("old"), Term("lamp"), passages=(Passage(("old", "lamp")),))),
        (
            "\u201cold lamp\u201e x",
            asked(Term("old"), Term("lamp"), Term("x", begins=True), passages=(Passage(("old", "lamp")),)),
        ),
        # One word in quotation marks is the whole word, and says so even where it stands once more without.
        ('"lamp"', asked(Term("lamp"))),
        ('lamp "lamp"', asked(Term("lamp"))),
        # With nothing in them they are what is asked for: items with such a mark.
        ('"" ""', asked(Term("\u00a422"))),
        # A mark that is not closed is none.
        ('"old lamp', asked(Term("old"), Term("lamp", begins=True, typos=1))),
    ],
)
def test_phrases(typed: str, question: Question) -> None:
    assert parse(typed) == question


@pytest.mark.parametrize(
    ("typed", "question"),
    [
        ("-lamp", asked(excluded=(Passage(("lamp",)),))),
        ('red -"old lamp"', asked(Term("red", begins=True), excluded=(Passage(("old", "lamp")),))),
        ("red \uff0dlamp", asked(Term("red", begins=True), excluded=(Passage(("lamp",)),))),
        # Within a word, or by itself, it is no operator.
        ("t-shirt", asked(Term("t"), Term("shirt", begins=True, typos=1))),
        ("red - lamp", asked(Term("red"), Term("lamp", begins=True, typos=1))),
        (
            'red-"old lamp"',
            asked(Term("red"), Term("old"), Term("lamp"), passages=(Passage(("old", "lamp")),)),
        ),
    ],
)
def test_exclusions(typed: str, question: Question) -> None:
    assert parse(typed) == question


def test_a_run_without_spaces_is_its_pairs_in_a_row() -> None:
    pairs = ("東京", "京都")
    assert parse("東京都") == asked(*map(Term, pairs), passages=(Passage(pairs),))
    # One character begins a pair, or ends a run.
    assert parse("京") == asked(Term("京", begins=True))
    assert parse('-"京"') == asked(excluded=(Passage(("京",), open_end=True),))
    # Between two runs the first one ends: its last character stands by itself.
    assert parse('"東京 大阪"').passages == (Passage(("東京", "京", "大阪")),)


def test_a_passage_stands_in_stored_text_as_it_is_asked_for() -> None:
    for text, typed in (("An old lamp.", '"old lamp"'), ("東京都の店", "京都"), ("東京 大阪", '"東京 大阪"')):
        (passage,) = parse(typed).passages or parse(f"-{typed}").excluded
        assert passage.text in f" {searchable(text)} "
    assert Passage(("old", "lamp")).text not in f" {searchable('old lamps')} "
    assert Passage(("京",), open_end=True).text in f" {searchable('京都')} "


def test_symbols_are_asked_for_where_there_is_nothing_else() -> None:
    (name,) = [term.word for term in parse("\u2665").terms]
    assert name in searchable("I \u2665 lamps").split()
    assert parse("lamp \u2665") == asked(Term("lamp", begins=True, typos=1))


def test_only_so_much_of_a_word_counts() -> None:
    (term,) = parse("x" * 200).terms
    assert term.word == "x" * WORD_LENGTH
    assert words("x" * 200) == [term.word]


@pytest.mark.parametrize(("word", "told"), [("abc", False), ("a1", True), ("٣", True), ("", False)])
def test_digits_are_told_in_any_script(*, word: str, told: bool) -> None:
    assert has_digit(word) is told


@given(st.text(max_size=80))
def test_whatever_is_typed_is_a_question_of_words_that_texts_can_have(typed: str) -> None:
    question = parse(typed)
    assert question.is_empty is not bool(question.terms or question.excluded)
    assert len({term.word for term in question.terms}) == len(question.terms)
    for term in question.terms:
        assert term.word.split() == [term.word]
        assert len(term.word) <= WORD_LENGTH
        assert not set(term.word) & set("\"'*():&|!\\<>\u2039\u203a\u00a7")
    assert sum(term.begins for term in question.terms if term.word < "\u0e00") <= 1
