"""Numbers in tokens and ids that come back to us, read in the one form in which we write them."""

from typing import Final

from tradepost.core.wire.schemas import MAX_ID

_MOST_DIGITS: Final = len(str(MAX_ID))


def plain_number(text: str) -> int | None:
    """Return a whole number from 0 to ``MAX_ID``, or None for any other text.

    ``int`` takes signs, spaces, underscores, leading zeros and the digits of other scripts as well: two texts for one number,
    of which a signature would have seen only one.
    """
    plain = text.isascii() and text.isdigit() and (text == "0" or text[0] != "0")
    number = int(text) if plain and len(text) <= _MOST_DIGITS else None
    return number if number is not None and number <= MAX_ID else None
