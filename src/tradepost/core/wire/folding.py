"""Text folding: the one normal form in which text is compared, sorted and searched.

Case, accents, width and the many ways in which Unicode spells one letter do not matter in it. Stored text and questions
go through the same functions, so that they cannot differ in a rule; ``RULE`` tells stored text of an older rule apart.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Final

from tradepost.core.wire.characters import is_invisible

RULE: Final = 1
"""The version of the rules below. Who changes what they answer raises it: what is stored is then made anew."""
WORD_LENGTH: Final = 64
"""Characters of a word that count, in stored text and in questions alike: PostgreSQL indexes no endless word."""
KEY_LENGTH: Final = 200
"""Characters of a sort key that count: a key of the longest title must fit into an index."""
APART: Final = "\n"
"""Stands between parts of searchable text that no phrase reaches across: tags, and symbols."""

# What no normal form takes apart, though people type it as these letters.
_LETTERS: Final = str.maketrans(
    {
        "ı": "i",  # noqa: RUF001 - Turkish: I and İ fold to the same i
        "ł": "l",
        "ø": "o",
        "đ": "d",
        "ð": "d",
        "ħ": "h",
        "þ": "th",
        "æ": "ae",
        "œ": "oe",
        "ŋ": "n",
        "ʻ": "",  # noqa: RUF001 - modifier letters within a word (Hawaiian, Ukrainian)
        "ʼ": "",  # noqa: RUF001
        "ـ": "",  # the Arabic stretch
    }
)
_STROKES: Final = 1
_NUKTA: Final = 7
_POINTS: Final = range(10, 37)
"""Combining classes of Hebrew points and of Arabic and Syriac vowels, which are mostly not written."""
_ACCENTS: Final = range(200, 241)
"""Combining classes of accents: above, below, across, attached."""
_UNSPACED: Final = (
    "\u0e00-\u0eff\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff\u1950-\u19df\u1a20-\u1aaf\ua9e0-\ua9ff\uaa60-\uaa7f"
    "\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3038-\u30ff\u3105-\u312f\u31a0-\u31bf\u31f0-\u31ff\u3400-\u4dbf"
    "\u4e00-\u9fff\uf900-\ufaff\U00016fe0-\U00018dff\U0001b000-\U0001b16f\U00020000-\U000323af"
)
"""Thai, Lao, Tibetan, Burmese, Khmer, Tai; Chinese and Japanese characters, kana, bopomofo."""
_RUNS: Final = re.compile(f"[{_UNSPACED}]+|[^{_UNSPACED}]+")
_IS_UNSPACED: Final = re.compile(f"[{_UNSPACED}]")
_SYMBOL_MARK: Final = "\u00a4"
"""Begins the name of a symbol in stored text; a sign of currency, hence never a part of a word."""
_BYTES: Final = bytes(range(256))
# Most text is ASCII, and ``bytes.translate`` takes a tenth of the time of an expression.
_ASCII_SPACED: Final = (
    bytes(ord(chr(code).lower()) if chr(code).isalnum() else ord(" ") for code in range(128)) + _BYTES[128:]
)
_NO_SYMBOLS: Final = bytes(
    code for code in range(128) if chr(code).isalnum() or not chr(code).isprintable() or code == ord(" ")
)
_BETWEEN: Final = b"\0"
"""Parts texts that are folded at once; a text that has one is folded by itself."""
_TABLE_OF_MANY: Final = _BETWEEN + _ASCII_SPACED[1:]
_NO_SYMBOLS_OF_MANY: Final = _NO_SYMBOLS.replace(_BETWEEN, b"")
_LETTERS_ALIKE: Final = bytes(code if code in b" \0" else ord("x") for code in range(256))
_TOO_LONG: Final = b"x" * (WORD_LENGTH + 1)


class _Folds(dict[int, str]):
    """What each character folds to, for ``str.translate``: worked out when it is first met."""

    def __missing__(self, code: int) -> str:
        self[code] = folded = _fold_character(chr(code))
        return folded


class _Spaced(dict[int, str]):
    """A folded character, or a space where it belongs to no word."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        self[code] = kept = character if unicodedata.category(character)[0] in "LMN" else " "
        return kept


def _fold_character(character: str) -> str:
    category = unicodedata.category(character)
    if category in {"Cc", "Zl", "Zp"}:
        return " "
    if category in {"Cn", "Co"}:
        return character
    if is_invisible(character):
        return ""
    if character in "™℠":
        # Their letters are no part of the word before.
        return " "
    bare = _without_accents(unicodedata.normalize("NFKD", character))
    return _without_accents(unicodedata.normalize("NFKD", bare.casefold())).translate(_LETTERS)


def _without_accents(decomposed: str) -> str:
    return "".join(
        str(unicodedata.decimal(mark)) if unicodedata.category(mark) == "Nd" else mark
        for mark in decomposed
        if not _is_accent(mark)
    )


def _is_accent(mark: str) -> bool:
    # Not a voiced kana's mark, a virama or a Thai tone: without them it would be another word.
    at = unicodedata.combining(mark)
    return at in _ACCENTS or at in _POINTS or at in (_STROKES, _NUKTA) or unicodedata.category(mark) == "Me"


_FOLDS: Final = _Folds()
_SPACED: Final = _Spaced()


def fold(text: str) -> str:
    """Return ``text`` without case, accents, width and invisible characters, in one normal form."""
    if text.isascii() and text.isprintable():
        return text.lower()
    # A character of its own may fold to parts that make one with its neighbours: Hangul, kana with their marks.
    return unicodedata.normalize("NFC", text.translate(_FOLDS))


def sort_key(text: str) -> str:
    """Return the key by which text is sorted, in the order of its code points: alike on both engines."""
    return " ".join(fold(text).split())[:KEY_LENGTH]


def searchable(text: str | None) -> str:
    """Return text as search has it: its words in their order, and the names of the symbols in it."""
    if text is None:
        return ""
    found, named = words(text), symbols(text)
    return " ".join([*found, APART, *named] if named else found)


def searchable_each(texts: Sequence[str | None]) -> list[str]:
    """Return what ``searchable`` says of each of many texts, in a fifth of the time: those in ASCII are cut into words at once."""
    between = _BETWEEN.decode()
    plain = [text for text in texts if text and text.isascii() and between not in text]
    joined = between.join(plain).encode()
    found = joined.translate(_TABLE_OF_MANY)
    if _TOO_LONG in found.translate(_LETTERS_ALIKE):
        return list(map(searchable, texts))
    while b"  " in found:
        found = found.replace(b"  ", b" ")
    found = found.replace(b" \0", _BETWEEN).replace(b"\0 ", _BETWEEN).strip(b" ")
    named = joined.translate(None, _NO_SYMBOLS_OF_MANY).split(_BETWEEN)
    made = map(_with_symbols, found.decode().split(between), named)
    return [
        next(made) if text and text.isascii() and between not in text else searchable(text) for text in texts
    ]


def _with_symbols(found: str, symbols_in_it: bytes) -> str:
    if not symbols_in_it:
        return found
    names = _names(symbols_in_it)
    return f"{found} {names}" if found else names


@lru_cache(maxsize=2**12)
def _names(symbols_in_it: bytes) -> str:
    return " ".join([APART, *symbols(symbols_in_it.decode())])


def searchable_list(texts: Iterable[str]) -> str:
    """Return several texts likewise; no phrase reaches from one into the next."""
    return f" {APART} ".join(map(_searchable, texts))


# The texts of a list are short, like tags, and most of them have come before.
_searchable: Final = lru_cache(maxsize=2**12)(searchable)


def words(text: str) -> list[str]:
    """Return the words of ``text`` in their order; of scripts without spaces, any two characters in a row.

    After those comes the last character of a run by itself, so that each one begins a word: one character is then found
    as a prefix.
    """
    if text.isascii():
        whole = text.encode().translate(_ASCII_SPACED).decode().split()
        if len(text) <= WORD_LENGTH or max(map(len, whole), default=0) <= WORD_LENGTH:
            return whole
        return [word[:WORD_LENGTH] for word in whole]
    found: list[str] = []
    for chunk in spaced(text):
        if is_unspaced(chunk):
            found += bigrams(chunk)
            found.append(chunk[-1])
        else:
            found.append(chunk[:WORD_LENGTH])
    return found


def spaced(text: str) -> Iterator[str]:
    """Yield the folded words of ``text`` in their order, and runs of scripts without spaces as a whole."""
    for chunk in fold(text).translate(_SPACED).split():
        if chunk.isascii():
            yield chunk
        else:
            yield from _RUNS.findall(chunk)


def is_unspaced(chunk: str) -> bool:
    """Tell whether what ``spaced`` yielded is a run of a script without spaces."""
    return _IS_UNSPACED.match(chunk) is not None


def bigrams(run: str) -> list[str]:
    """Return any two characters in a row."""
    return [run[at : at + 2] for at in range(len(run) - 1)]


def symbols(text: str) -> list[str]:
    """Return names for what is neither a letter nor a digit nor a space, each once: for a question of nothing else."""
    if text.isascii():
        return [
            f"{_SYMBOL_MARK}{code:x}" for code in dict.fromkeys(text.encode().translate(None, _NO_SYMBOLS))
        ]
    return [
        f"{_SYMBOL_MARK}{ord(character):x}"
        for character in dict.fromkeys(fold(text))
        if not character.isspace() and _SPACED[ord(character)] == " "
    ]
