"""Which characters are seen, which are letters, and which join others: the one answer for every field of text.

By Unicode's own properties: general categories, Default_Ignorable_Code_Point, and the joiners of UTS #51 and of RFC 5892,
appendix A, without which Persian, Sinhala and Malayalam words and most emoji of people cannot be spelt.
"""

import unicodedata
from typing import Final

SEEN_PATTERN: Final = r"[\p{L}\p{M}\p{N}\p{P}\p{S}]"
"""What a JSON Schema says of text of which something is seen (ECMA-262 with ``u``; the rules here are finer)."""
# Characters by themselves, and runs that joiners hold together: of letters, marks and digits, and of emoji. These are the
# symbols that are left without the blocks of mathematics, which NFC may take apart. No class names a character past U+FFFF:
# what compiles patterns without the flag would take it for two, and the range between them for a fault.
_WORD: Final = r"[\p{L}\p{M}\p{N}]"
_EMOJI: Final = (
    r"[^\u0000-\u218F\u2200-\u22FF\u2A00-\u2AFF\u2C00-\uFFFF\p{L}\p{M}\p{N}\p{P}\p{Z}\p{C}]\uFE0F?"
)
_JOINED_RUN: Final = rf"{_WORD}(?:[\u200C\u200D]{_WORD})+|{_EMOJI}(?:\u200D{_EMOJI})+"
PLAIN_PATTERN: Final = (
    rf"^\p{{Z}}*(?:{_JOINED_RUN}|[^\p{{C}}\p{{Z}}])(?:{_JOINED_RUN}|[^\p{{C}}\u2028\u2029])*$"
)
"""What it says of text that also holds no control character but joiners that join something."""

_CONTROLS: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_JOINERS: Final = frozenset("\u200c\u200d")
"""ZERO WIDTH NON-JOINER and ZERO WIDTH JOINER."""
_JOINED: Final = frozenset("LMN")
"""Major categories of what a joiner may stand between: letters, marks and digits."""
# Letters and marks by their category that nevertheless leave no ink (Unicode's Default_Ignorable_Code_Point, and the
# empty pattern of Braille).
_BLANKS: Final = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0")
_EMOJI_BLOCKS: Final = ((0x2190, 0x2BFF), (0x1F000, 0x1FAFF))
"""Blocks of symbols that emoji are made of; a keycap and a copyright sign join nothing."""


def is_control(character: str) -> bool:
    """Tell whether ``character`` is a control, format, private or unassigned one, or ends a line. A joiner is one."""
    return unicodedata.category(character) in _CONTROLS


def is_invisible(character: str) -> bool:
    """Tell whether ``character`` is a control, or one that leaves no ink though it counts as a letter, mark or symbol.

    Spaces are not meant. Some of these are a part of spelling: variation selectors are in Japanese surnames.
    """
    return character in _BLANKS or _is_variation_selector(character) or is_control(character)


def is_blank(text: str) -> bool:
    """Tell whether nothing of ``text`` is seen on a screen."""
    if text.isascii() and text.isprintable():
        return not text.strip()
    return all(character.isspace() or is_invisible(character) for character in text)


def has_controls(text: str) -> bool:
    """Tell whether ``text`` holds a control character other than a joiner that joins something."""
    if text.isprintable():
        # No character of category C, and no separator but the space: what most text is, told by one call.
        return False
    return any(is_control(character) and not _joins(text, index) for index, character in enumerate(text))


def without_controls(text: str, instead: str = " ") -> str:
    """Return ``text`` with ``instead`` in the place of each control character; joiners that join something stay."""
    return "".join(
        instead if is_control(character) and not _joins(text, index) else character
        for index, character in enumerate(text)
    )


def _joins(text: str, index: int) -> bool:
    """Tell whether the character at ``index`` is a joiner with something to join: letters of a word, parts of an emoji.

    Anywhere else it is an invisible difference between two texts that look alike.
    """
    if text[index] not in _JOINERS or not 0 < index < len(text) - 1:
        return False
    before, after = text[index - 1], text[index + 1]
    if _is_letter(before):
        # Sinhala and Malayalam end a cluster with virama and joiner, and a letter follows; so does a Persian suffix.
        return _is_letter(after)
    return text[index] == "\u200d" and _is_emoji(before) and _is_emoji(after)


def _is_letter(character: str) -> bool:
    return (
        unicodedata.category(character)[0] in _JOINED
        and character not in _BLANKS
        and not _is_variation_selector(character)
    )


def _is_emoji(character: str) -> bool:
    code = ord(character)
    return character == "\ufe0f" or any(first <= code <= last for first, last in _EMOJI_BLOCKS)


def _is_variation_selector(character: str) -> bool:
    return "\ufe00" <= character <= "\ufe0f" or "\U000e0100" <= character <= "\U000e01ef"
