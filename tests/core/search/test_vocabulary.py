"""The vocabulary: distance in edits, the pieces that typos share, and what a database knows of words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, select

from tests.conftest import World
from tradepost.core.database.engines import Database
from tradepost.core.search import vocabulary
from tradepost.core.search.question import TWO_TYPOS_FROM, TYPO_FROM, Term
from tradepost.core.search.vocabulary import (
    LONGEST,
    SearchWord,
    Vocabulary,
    VocabularyRepository,
    edits,
    pieces,
)

WORDS = st.text("abc", min_size=1, max_size=12)


def distance(one: str, other: str) -> int:
    """The same as ``edits``, the plain way."""
    if not one or not other:
        return len(one) + len(other)
    return min(
        distance(one[1:], other) + 1,
        distance(one, other[1:]) + 1,
        distance(one[1:], other[1:]) + (one[0] != other[0]),
    )


@pytest.mark.parametrize(
    ("one", "other", "number"),
    [
        ("lamp", "lamp", 0),
        ("lamp", "lamps", 1),
        ("lamp", "lam", 1),
        ("lamp", "lomp", 1),
        ("lamp", "lapm", 2),
        ("keyboard", "kyebaord", 3),  # of four, and past two it is any more
        ("a", "", 1),
    ],
)
def test_edits(one: str, other: str, number: int) -> None:
    assert edits(one, other, 2) == number
    assert edits(other, one, 2) == number


@given(st.text("ab", max_size=6), st.text("ab", max_size=6))
def test_edits_are_the_distance_up_to_the_most(one: str, other: str) -> None:
    true = distance(one, other)
    assert edits(one, other, 2) == true or (true > 2 and edits(one, other, 2) > 2)


@given(st.text("abcd", min_size=3, max_size=12), st.data())
def test_a_typo_shares_a_piece_with_its_word(word: str, data: st.DataObject) -> None:
    """No word that is near enough is ever missed, whatever the edits are."""
    typed = list(word)
    for _ in range(data.draw(st.sampled_from([1, 2]))):
        at = data.draw(st.integers(0, len(typed)))
        typed[at : at + data.draw(st.integers(0, 1))] = data.draw(st.sampled_from(["", *"abcd"]))
    asked = "".join(typed)
    term_typos = 0 if len(asked) < TYPO_FROM else 1 if len(asked) < TWO_TYPOS_FROM else 2
    if 0 < edits(asked, word, 2) <= term_typos:
        assert set(vocabulary._near(asked, term_typos)) & set(pieces(word))


def test_what_is_no_word_of_letters_has_no_pieces() -> None:
    for word in ("abc123", "x" * (LONGEST + 1), "東京"):
        assert list(pieces(word)) == [""]
    assert list(pieces("abc")) == ["", "13.0a", "13.1bc"]


async def learn(database: Database, *texts: str, known: Vocabulary | None = None) -> Vocabulary:
    known = known or Vocabulary()
    async with database.transaction() as db:
        await known.learn(db, texts)
    return known


async def beginning(database: Database, word: str) -> list[str] | None:
    async with database.read() as db:
        found = await VocabularyRepository(db).find_beginning(word)
        return None if found is None else sorted(found)


async def similar(database: Database, *terms: Term) -> dict[str, list[str]]:
    async with database.read() as db:
        found = await VocabularyRepository(db).find_similar(terms)
        return {term.word: list(words) for term, words in found.items()}


async def test_words_are_found_by_how_they_begin(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await learn(world.database, "lamp lampshade lam", "LAMP lanp ławka \u00a424 lamp")
    assert await beginning(world.database, "lamp") == ["lamp", "lampshade"]
    assert await beginning(world.database, "x") == []
    # Capitals are no folded word: nothing takes them for the same.
    assert await beginning(world.database, "L") == ["LAMP"]
    monkeypatch.setattr(vocabulary, "MOST_BEGINNINGS", 2)
    assert await beginning(world.database, "lamp") == ["lamp", "lampshade"]
    assert await beginning(world.database, "la") is None


async def test_the_nearest_words_come_first(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await learn(world.database, "keyboard keyboards keybord kexxoard keyxxxrd kyebaord 1234 key")
    term = Term("keyboard", typos=2)
    assert await similar(world.database, term) == {
        "keyboard": ["keyboards", "keybord", "kexxoard"],
    }
    monkeypatch.setattr(vocabulary, "MOST_TYPOS", 1)
    assert await similar(world.database, term) == {"keyboard": ["keyboards"]}
    # A word that may have no typo is not looked up, and asks the database nothing.
    assert await similar(world.database, Term("key"), Term("keys", begins=True)) == {}


async def test_only_so_many_words_of_a_question_are_looked_up(world: World) -> None:
    await learn(world.database, "lamp")
    terms = [Term(f"lam{letter}", typos=1) for letter in "abcdefghi"]
    found = await similar(world.database, *terms)
    assert list(found) == [term.word for term in terms[: vocabulary.MOST_TYPED]]
    assert all(words == ["lamp"] for words in found.values())


async def test_a_process_remembers_what_was_committed_alone(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = Vocabulary()

    async def learn_and_fail() -> None:
        async with world.database.transaction() as db:
            await known.learn(db, ["lamp"])
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await learn_and_fail()
    await learn(world.database, "lamp", known=known)
    assert await beginning(world.database, "lamp") == ["lamp"]

    async def number() -> int:
        async with world.database.read() as db:
            return int(await db.scalar(select(func.count()).select_from(SearchWord)) or 0)

    rows = await number()
    # Twice the same, by one process and by another: nothing is added.
    await learn(world.database, "lamp", known=known)
    await learn(world.database, "lamp")
    assert await number() == rows
    monkeypatch.setattr(vocabulary, "REMEMBERED", 0)
    await learn(world.database, "old", known=known)
    await learn(world.database, "new", known=known)
    known.forget()
    await learn(world.database, "lamp old new", known=known)
    assert await beginning(world.database, "") == ["lamp", "new", "old"]
