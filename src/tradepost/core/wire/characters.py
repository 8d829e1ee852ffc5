"""Which letters are seen, and which are not."""

import unicodedata
from typing import Final

_CONTROLS: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
# Letters and marks by their category that nevertheless leave no ink (Unicode's Default_Ignorable_Code_Point, and the
# empty pattern of Braille).
_BLANKS: Final = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0")


def is_control(letter: str) -> bool:
    """Tell whether ``letter`` is a control, format, private or unassigned character, or ends a line."""
    return unicodedata.category(letter) in _CONTROLS


def is_invisible(letter: str) -> bool:
    """Tell whether ``letter`` is a control, or one that leaves no ink though it counts as a letter, mark or symbol.

    Spaces are not meant. Some of these letters are a part of spelling: variation selectors are in Japanese surnames.
    """
    return (
        letter in _BLANKS
        or "\ufe00" <= letter <= "\ufe0f"
        or "\U000e0100" <= letter <= "\U000e01ef"
        or is_control(letter)
    )


def is_blank(text: str) -> bool:
    """Tell whether nothing of ``text`` is seen on a screen."""
    return all(letter.isspace() or is_invisible(letter) for letter in text)
