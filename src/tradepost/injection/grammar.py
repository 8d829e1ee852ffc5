"""The notation of faults: ``delay=200ms;spread=50ms;p=0.5, status=503;p=0.1, drop;p=0.01;seed=7``.

Faults by commas, each a kind, its amount after ``=`` and parameters after ``;``: ``p`` is the probability (1 unless said),
``spread`` how much a delay varies to either side, ``for`` how long memory is held or a clock is wrong. A ``seed``, wherever it
stands, is that of all of them: with the same seed the same requests of a sequence are struck. Durations have a unit (``ms``
or ``s``), sizes too (``B``, ``kB``, ``MB``). Every amount has an upper bound (``KINDS``): a fault always ends by itself.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Final

from tradepost.web.strikes import Blow

LONGEST: Final = 500
"""Characters of a notation."""
NAME_LENGTH: Final = 50
METHOD_LENGTH: Final = 10
PATH_LENGTH: Final = 200
REPLICA_LENGTH: Final = 100
MOST: Final = 16
"""Faults in one notation."""


class Trouble(StrEnum):
    """The kinds of faults that a whole process has for a while."""

    POOL = "pool"
    STORAGE = "storage"
    MAIL = "mail"
    STALL = "stall"
    CPU = "cpu"
    MEMORY = "memory"
    UNREADY = "unready"
    SKEW = "skew"


class Unit(StrEnum):
    """What the amount of a kind is measured in."""

    NONE = "nothing"
    STATUS = "a status from 400 to 599"
    BYTES = "a size such as 100B, 64kB or 64MB"
    SECONDS = "a time such as 200ms or 5s"
    OFFSET = "a time such as 300s or -300s"


@dataclass(frozen=True, slots=True)
class Kind:
    """What may be said of a kind: its unit, the most of it, what is meant when nothing is said (None: it must be)."""

    name: Blow | Trouble
    unit: Unit
    most: float = 0.0
    otherwise: float | None = None
    lasts: float = 0.0
    """Seconds that it lasts unless ``for`` says it; 0 where ``for`` is nothing to be said."""


MOST_HELD: Final = 300.0
"""Seconds that a process may have a trouble."""
KINDS: Final = {
    kind.name.value: kind
    for kind in (
        Kind(Blow.DELAY, Unit.SECONDS, 60),
        Kind(Blow.STATUS, Unit.STATUS, 599),
        Kind(Blow.DROP, Unit.NONE, otherwise=0),
        Kind(Blow.TRUNCATE, Unit.BYTES, 2**20, otherwise=0),
        Kind(Blow.SLOW_BODY, Unit.SECONDS, 60),
        Kind(Blow.SLOW_DB, Unit.SECONDS, 10),
        Kind(Trouble.POOL, Unit.SECONDS, 60),
        Kind(Trouble.STORAGE, Unit.SECONDS, MOST_HELD),
        Kind(Trouble.MAIL, Unit.SECONDS, MOST_HELD),
        Kind(Trouble.STALL, Unit.SECONDS, 5),
        Kind(Trouble.CPU, Unit.SECONDS, 30),
        Kind(Trouble.MEMORY, Unit.BYTES, 512 * 10**6, lasts=5),
        Kind(Trouble.UNREADY, Unit.SECONDS, MOST_HELD),
        Kind(Trouble.SKEW, Unit.OFFSET, 366 * 86_400, lasts=5),
    )
}
"""Every kind by its name."""

_PART: Final = re.compile(r"\s*([a-z-]+)\s*(?:=\s*([^;,\s]+))?\s*")
_NUMBER: Final = r"([0-9]{1,9}(?:\.[0-9]{1,6})?)"
_TIME: Final = re.compile(rf"(-?){_NUMBER}(ms|s)")
_SIZE: Final = re.compile(rf"{_NUMBER}(B|kB|MB)")
_BYTES: Final = {"B": 1, "kB": 1_000, "MB": 1_000_000}
_PROBABILITY: Final = re.compile(r"(?:0(?:\.[0-9]{1,9})?|1(?:\.0{1,9})?)")
_SEED: Final = re.compile(r"[0-9]{1,18}")


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of a notation. ``amount`` and ``spread`` in seconds, bytes or a status, by its kind; ``lasts`` in seconds."""

    kind: Blow | Trouble
    amount: float
    probability: float = 1.0
    spread: float = 0.0
    lasts: float = 0.0

    @property
    def is_trouble(self) -> bool:
        """Whether a whole process has it."""
        return isinstance(self.kind, Trouble)

    def varied(self, draw: float) -> float:
        """Return the amount of one strike; ``draw`` is from 0 to 1."""
        return max(0.0, self.amount + self.spread * (2 * draw - 1))


@dataclass(frozen=True, slots=True)
class Notation:
    """What a text says: faults in their order, and the seed of their sequence."""

    text: str
    faults: tuple[Fault, ...]
    seed: int | None


class NoNotationError(ValueError):
    """The text is no notation of faults; the message says which part, and what it should be."""


@lru_cache(maxsize=512)
def parsed(text: str) -> Notation:
    """Read a notation; raises ``NoNotationError``."""
    if len(text) > LONGEST:
        raise NoNotationError(f"at most {LONGEST} characters are read")
    parts = text.split(",")
    if len(parts) > MOST:
        raise NoNotationError(f"at most {MOST} faults go together")
    seeds: list[int] = []
    faults = tuple(_fault(part, seeds) for part in parts)
    if len(set(seeds)) > 1:
        raise NoNotationError("one seed is for all of them")
    return Notation(text, faults, seeds[0] if seeds else None)


def _fault(text: str, seeds: list[int]) -> Fault:
    first, *rest = text.split(";")
    name, value = _said(first)
    kind = KINDS.get(name)
    if kind is None:
        raise NoNotationError(f"`{name}` is none of {', '.join(KINDS)}")
    probability, spread, lasts = 1.0, 0.0, kind.lasts
    for key, said in map(_said, rest):
        if key == "p" and said is not None and _PROBABILITY.fullmatch(said):
            probability = float(said)
        elif key == "seed" and said is not None and _SEED.fullmatch(said):
            seeds.append(int(said))
        elif key == "spread" and kind.name is Blow.DELAY:
            spread = _amount(Kind(kind.name, Unit.SECONDS, kind.most), said)
        elif key == "for" and kind.lasts:
            lasts = _amount(Kind(kind.name, Unit.SECONDS, MOST_HELD), said)
        else:
            raise NoNotationError(
                f"`{key}` of `{name}` is not written so: p=0.5, seed=7, spread=50ms, for=5s"
            )
    amount = _amount(kind, value)
    if spread > max(amount, 0.0):
        raise NoNotationError("a delay cannot vary by more than itself")
    return Fault(kind.name, amount, probability, spread, lasts)


def _said(part: str) -> tuple[str, str | None]:
    found = _PART.fullmatch(part)
    if found is None:
        raise NoNotationError("write faults as delay=200ms;p=0.5, status=503;p=0.1")
    return found[1], found[2]


def _amount(kind: Kind, text: str | None) -> float:
    if text is None and kind.otherwise is not None:
        return kind.otherwise
    amount = None if text is None else _measured(kind.unit, text)
    if amount is None or abs(amount) > kind.most:
        bound = "" if kind.unit in {Unit.NONE, Unit.STATUS} else f", at most {kind.most:g}"
        raise NoNotationError(f"`{kind.name.value}` takes {kind.unit.value}{bound}")
    return amount


def _measured(unit: Unit, text: str) -> float | None:
    if unit is Unit.STATUS:
        return float(text) if re.fullmatch("[45][0-9][0-9]", text) else None
    if unit is Unit.BYTES:
        size = _SIZE.fullmatch(text)
        return None if size is None else float(int(float(size[1]) * _BYTES[size[2]]))
    time = _TIME.fullmatch(text) if unit in {Unit.SECONDS, Unit.OFFSET} else None
    if time is None or (time[1] and unit is Unit.SECONDS):
        return None
    seconds = float(time[2]) / (1000 if time[3] == "ms" else 1)
    return -seconds if time[1] else seconds
