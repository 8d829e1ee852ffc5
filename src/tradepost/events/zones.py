"""Time zones by their IANA names: which there are, and a moment as a clock on the spot shows it.

The names come from the package ``tzdata``, never from the machine: a slim image has no zones of its own, and what one
replica takes another must not refuse.
"""

from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from zoneinfo import ZoneInfo

UTC_ZONE = "UTC"
LONGEST_ZONE = 64
"""Characters of a name; the longest that there is has 32."""


@cache
def zone_names() -> frozenset[str]:
    """Return the names of all zones."""
    return frozenset(files("tzdata").joinpath("zones").read_text(encoding="utf-8").split())


def local_time(moment: datetime, zone: str) -> str:
    """Return a moment for people: ``2026-12-05 18:00 (Europe/Berlin)``."""
    # A zone that a later edition of the names has dropped is no reason to tell nobody.
    known = zone if zone in zone_names() else UTC_ZONE
    try:
        shown = moment.astimezone(ZoneInfo(known))
    except OverflowError:
        # The year 10000 has begun there; Python counts to 9999.
        known, shown = UTC_ZONE, moment.astimezone(UTC)
    return f"{shown:%Y-%m-%d %H:%M} ({known})"
