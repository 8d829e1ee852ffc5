"""Whether contestants answered the same requests with the same content."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d(:\d\d)?)")
COUNTED = {"views"}
"""Tradepost counts the views that the measurement makes; the others do not."""
CURSOR = "next_cursor"
"""Tradepost has cursors in its lists."""
OWN_TO_EACH_CREATION = {"id", "created_at", "updated_at"}


def differences(one: Mapping[str, str], other: Mapping[str, str], *, created: bool = False) -> Iterator[str]:
    """Where two contestants' bodies, by the number of the request, are not the same.

    Times are compared as moments and numbers by value, because `.5` and `.500000` say the same. `created` leaves
    out what must differ between two items made by the same request.
    """
    ignored = COUNTED | (OWN_TO_EACH_CREATION if created else set())
    for number in sorted(one.keys() & other.keys(), key=int):
        yield from _between(json.loads(one[number]), json.loads(other[number]), f"answer {number}", ignored)


def _between(one: Any, other: Any, where: str, ignored: set[str]) -> Iterator[str]:
    if isinstance(one, dict) and isinstance(other, dict):
        for key in sorted((one.keys() | other.keys()) - {CURSOR}):
            if key not in one or key not in other:
                yield f"{where}.{key} is only in one of them"
            # Only the new row's own fields differ: its owner, one level below, is the same for all.
            elif key not in ignored:
                yield from _between(one[key], other[key], f"{where}.{key}", COUNTED)
    elif isinstance(one, list) and isinstance(other, list):
        if len(one) != len(other):
            yield f"{where} has {len(one)} and {len(other)} entries"
        for position, (mine, theirs) in enumerate(zip(one, other, strict=False)):
            yield from _between(mine, theirs, f"{where}[{position}]", ignored)
    elif _comparable(one) != _comparable(other):
        yield f"{where} is {one!r} and {other!r}"


def _comparable(value: Any) -> Any:
    if isinstance(value, str) and MOMENT.fullmatch(value):
        return datetime.fromisoformat(value).astimezone(UTC)
    if isinstance(value, bool):
        return str(value)
    return value
