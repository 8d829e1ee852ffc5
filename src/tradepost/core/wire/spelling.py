"""Names that were probably meant: the known one nearest to one that nothing knows."""

from collections.abc import Iterable
from difflib import get_close_matches


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name most like ``name``, None when none is like it."""
    return next(iter(get_close_matches(name, list(known), n=1, cutoff=0.6)), None)


def is_one_edit_away(name: str, other: str) -> bool:
    """Tell whether one letter more, less or other, or two neighbours swapped, is all that is between two names."""
    if name == other or abs(len(name) - len(other)) > 1:
        return False
    at = next((index for index, (a, b) in enumerate(zip(name, other, strict=False)) if a != b), None)
    if at is None:
        return True
    rest, other_rest = name[at:], other[at:]
    return (
        rest[1:] == other_rest[1:]
        or rest[1:] == other_rest
        or rest == other_rest[1:]
        or (rest[1::-1] == other_rest[:2] and rest[2:] == other_rest[2:])
    )
