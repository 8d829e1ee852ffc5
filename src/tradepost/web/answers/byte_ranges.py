"""Byte ranges: the parts of a file that a ``Range`` header names (RFC 9110, section 14)."""

import re
from itertools import pairwise
from typing import Final

from tradepost.core.errors import NoSuchRange

MOST_RANGES: Final = 16
"""Ranges of one request; players and readers of documents ask for one to three."""
_UNIT: Final = "bytes="
_SPECIFICATION: Final = re.compile(r"([0-9]*)-([0-9]*)")
_MOST_DIGITS: Final = 18

Span = tuple[int, int]
"""The first byte of a range, and the one after its last."""


def asked_spans(header: str, size: int) -> list[Span] | None:
    """Return which parts of ``size`` bytes a ``Range`` asks for, in its order; None for a unit that is not ours.

    Parts that overlap are made one, or a request could have the same bytes sent many times. ``NoSuchRange`` for what
    cannot be read, for more than ``MOST_RANGES``, and if there is no such byte.
    """
    if header[: len(_UNIT)].lower() != _UNIT:
        return None
    wanted = [text.strip() for text in header[len(_UNIT) :].split(",", MOST_RANGES)]
    if len(wanted) > MOST_RANGES:
        raise NoSuchRange(size=size)
    spans = [span for text in wanted if (span := _span(text, size)) is not None]
    if not spans:
        raise NoSuchRange(size=size)
    ordered = sorted(spans)
    if any(later[0] < earlier[1] for earlier, later in pairwise(ordered)):
        return _merged(ordered)
    return spans


def _span(text: str, size: int) -> Span | None:
    found = _SPECIFICATION.fullmatch(text)
    if found is None or text == "-":
        raise NoSuchRange(size=size)
    first, last = (_number(digits) for digits in found.groups())
    if first is None:
        start, end = max(0, size - (last or 0)), size
    else:
        if last is not None and last < first:
            raise NoSuchRange(size=size)
        start, end = first, size if last is None else min(last + 1, size)
    return (start, end) if start < end else None


def _number(digits: str) -> int | None:
    if not digits:
        return None
    # Python refuses to read thousands of digits.
    return int(digits) if len(digits) <= _MOST_DIGITS else 10**_MOST_DIGITS


def _merged(ordered: list[Span]) -> list[Span]:
    merged = [ordered[0]]
    for start, end in ordered[1:]:
        if start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged
