"""Names of people, in the case that people write them in.

A name is title-cased only when it was written all in lower or all in upper case, by hurry or by a form: ``McDonald`` and
``van der Berg`` are left alone. Python's ``str.title`` begins a new word at every character that is no letter, and so
would turn ``дем'ян`` into ``Дем'Ян``.
"""

import unicodedata
from typing import Final

_APOSTROPHES: Final = frozenset("'\u2018\u2019")
_MIDDLE_DOTS: Final = frozenset("\u00b7\u2027")
_JOINERS: Final = frozenset("\u200c\u200d")


def cased_name(name: str) -> str:
    """Return ``name`` title-cased, or as it is when it has both cases, or none."""
    composed = unicodedata.normalize("NFC", name)
    if any(map(str.islower, composed)) and any(map(str.isupper, composed)):
        return name
    # Lowered as a whole, since a sigma at the end of a word is another one. The capital dotted I alone becomes two
    # characters when it is lowered, of which the second is a dot upon a dot.
    lowered = composed.replace("\u0130", "i").lower()
    return unicodedata.normalize(
        "NFC",
        "".join(
            composed[index].title() if _begins_word(composed, index) else small
            for index, small in enumerate(lowered)
        ),
    )


def _begins_word(text: str, index: int) -> bool:
    if index == 0:
        return True
    before = text[index - 1]
    if unicodedata.category(before)[0] in "LMN" or before in _MIDDLE_DOTS or before in _JOINERS:
        # Modifier letters (the okina of Hawaiian, the apostrophe of Uzbek) are letters by their category.
        return False
    if before in _APOSTROPHES:
        # O'Brien and d'Arc: a lone letter is elided or means "son of"; any more of them, and the word goes on.
        return _letters_before(text, index - 1) == 1
    return True


def _letters_before(text: str, index: int) -> int:
    """Count the letters that stand right before ``index``; an accent of its own belongs to the letter it is on."""
    count = 0
    for character in reversed(text[:index]):
        category = unicodedata.category(character)[0]
        if category == "L":
            count += 1
        elif category != "M":
            break
    return count
