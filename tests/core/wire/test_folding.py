"""One normal form for stored text and for questions: what differs to the eye alone is the same."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradepost.core.wire.folding import (
    KEY_LENGTH,
    WORD_LENGTH,
    fold,
    searchable,
    searchable_each,
    searchable_list,
    sort_key,
    symbols,
    words,
)

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


@pytest.mark.parametrize(
    "alike",
    [
        ("Café", "Cafe\u0301", "CAFÉ", "cafe"),
        ("İstanbul", "ISTANBUL", "ıstanbul", "i\u0307stanbul"),
        ("Straße", "STRASSE", "STRAẞE", "strasse"),
        ("ΟΔΟΣ", "οδός", "οδοσ", "ὀδὸς"),
        ("Ёлка", "елка", "Е\u0308ЛКА"),
        ("ＬＥＧＯ　１２", "Lego 12"),
        ("ｶﾞｷﾞ", "ガギ"),
        ("한국", unicodedata.normalize("NFD", "한국")),
        ("Łódź", "lodz"),
        ("Ærø", "aero"),
        ("Tiếng Việt", unicodedata.normalize("NFD", "tieng viet")),
        ("مُحَمَّد", "محمد", "محـمد"),
        ("أحمد", "احمد"),
        ("٣٫٥".replace("٫", "."), "3.5"),
        ("क़लम", "कलम"),
        ("שָׁלוֹם", "שלום"),
        ("soft\u00adware", "software"),
        ("ﬁne", "fine"),
        ("m²", "M2"),
    ],
)
def test_what_folds_alike(alike: tuple[str, ...]) -> None:
    assert len({fold(text) for text in alike}) == 1, [fold(text) for text in alike]


def test_what_stays_apart() -> None:
    for one, other in (("か", "が"), ("कल", "कुल"), ("ก้า", "กา"), ("o'brien", "obrien"), ("ab", "a b")):
        assert fold(one) != fold(other)


def test_words() -> None:
    assert words("O'Brien's 2nd-best   lamp, 50% off!") == [
        "o",
        "brien",
        "s",
        "2nd",
        "best",
        "lamp",
        "50",
        "off",
    ]
    assert words("日本語 ok") == ["日本", "本語", "語", "ok"]
    assert words("猫") == ["猫"]
    assert words("a日本") == ["a", "日本", "本"]
    assert words("हिन्दी किताब") == ["हिन्दी", "किताब"]
    assert words("LEGO™ set") == ["lego", "set"]
    assert words("\u0301 \u200d \n") == []
    assert words("x" * 99) == ["x" * WORD_LENGTH]


def test_symbols() -> None:
    assert symbols("50% off! 50%") == ["¤25", "¤21"]
    assert symbols("🦊 ß") == ["¤1f98a"]
    assert symbols("nothing else") == symbols("\x00\t") == []


def test_searchable_text() -> None:
    assert searchable(None) == searchable("") == ""
    assert searchable("Brass lamp!") == "brass lamp \n ¤21"
    assert searchable_list(["old lamp", "brass"]) == "old lamp \n brass"


def test_sort_keys() -> None:
    assert sort_key("  Éa\tb ") == "ea b"
    assert sorted(["Zebra", "éclair", "Eclipse", "apple"], key=sort_key) == [
        "apple",
        "éclair",
        "Eclipse",
        "Zebra",
    ]
    assert len(sort_key("\ufdfa" * 200)) == KEY_LENGTH


@given(TEXTS)
def test_folding_once_is_enough(text: str) -> None:
    assert fold(fold(text)) == fold(text)
    for form in ("NFC", "NFD"):
        assert fold(unicodedata.normalize(form, text)) == fold(text)


@given(TEXTS)
def test_words_are_of_letters_alone(text: str) -> None:
    for word in words(text):
        assert 0 < len(word) <= WORD_LENGTH
        assert {unicodedata.category(character)[0] for character in word} <= set("LMN")
    assert "\x00" not in searchable(text)


@given(st.text(st.characters(codec="ascii"), max_size=60))
def test_ascii_takes_the_short_way_to_the_same_words(text: str) -> None:
    assert words(f"{text} é") == [*words(text), "e"]
    assert symbols(text) == symbols(f"{text}é")


@given(st.lists(st.none() | TEXTS | st.text(st.characters(max_codepoint=127), max_size=60), max_size=8))
def test_many_texts_at_once_are_what_each_is_by_itself(texts: list[str | None]) -> None:
    assert searchable_each(texts) == [searchable(text) for text in texts]


@pytest.mark.parametrize(
    "text", ["x" * 65, f"a {'x' * 64}", f"a\0{'x' * 70}", "\0", " . ", "", "a\0b", "  a  --  b  "]
)
def test_many_texts_at_once_whatever_stands_at_their_ends(text: str) -> None:
    for texts in ([text], [text, "a."], ["a.", text], ["Löwe", text, None, text, "b"]):
        assert searchable_each(texts) == [searchable(one) for one in texts]
