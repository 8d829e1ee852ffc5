"""An event as an iCalendar object (RFC 5545), which calendar programs import and keep in step."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlsplit

from tradepost.core.wire.characters import without_controls
from tradepost.events.reader import EventReader
from tradepost.events.schemas import EventRow, EventStatus

LONGEST_LINE: Final = 75
"""Octets of a line without its end (section 3.1)."""
_STATUSES: Final = {EventStatus.PLANNED: "CONFIRMED", EventStatus.CANCELLED: "CANCELLED"}


def calendar_of(row: EventRow, *, project: str, host: str, url: str) -> bytes:
    """Return the calendar with one event; ``host`` is what makes its UID unique in the world.

    All times are in UTC, which needs no VTIMEZONE: a calendar shows them in its owner's zone, and rules of daylight saving
    that change later cannot move them.
    """
    lines = [
        "BEGIN:VCALENDAR",
        "VERSION:2.0",
        f"PRODID:-//{_text(project)}//Events//EN",
        "CALSCALE:GREGORIAN",
        "METHOD:PUBLISH",
        "BEGIN:VEVENT",
        f"UID:event-{row.id}@{host}",
        f"SEQUENCE:{row.version}",
        # When this edition of the event came about (section 3.8.7.2): the same bytes for the same version.
        f"DTSTAMP:{_moment(row.updated_at)}",
        f"CREATED:{_moment(row.created_at)}",
        f"LAST-MODIFIED:{_moment(row.updated_at)}",
        f"DTSTART:{_moment(row.start_date)}",
        f"DTEND:{_moment(row.end_date)}",
        f"SUMMARY:{_text(row.title)}",
        f"DESCRIPTION:{_text(row.description)}",
        f"STATUS:{_STATUSES[EventStatus(row.status)]}",
        f"URL:{url}",
        "END:VEVENT",
        "END:VCALENDAR",
    ]
    return b"".join(part + b"\r\n" for line in lines for part in _folded(line))


def _moment(moment: datetime) -> str:
    # Not strftime: it leaves out the zeros before a year of fewer than four digits.
    return (
        moment.astimezone(UTC)
        .replace(microsecond=0, tzinfo=None)
        .isoformat()
        .replace("-", "")
        .replace(":", "")
        + "Z"
    )


def _text(text: str) -> str:
    """Return a TEXT value: what has a meaning is escaped (section 3.3.11), and no control character is left."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return r"\n".join(
        without_controls(line).replace("\\", r"\\").replace(";", r"\;").replace(",", r"\,") for line in lines
    )


def _folded(line: str) -> Iterator[bytes]:
    """Yield a line in parts of at most 75 octets, those after the first with a space before; no character is cut in two."""
    part = b""
    for character in line:
        octets = character.encode()
        if len(part) + len(octets) > LONGEST_LINE:
            yield part
            part = b" "
        part += octets
    yield part


class EventCalendars:
    """Reads events as calendar files. Lives as long as the process."""

    def __init__(self, reader: EventReader, *, project: str, public_url: str, path: str) -> None:
        self._reader = reader
        self._project = project
        self._host = urlsplit(public_url).hostname or "localhost"
        self._start = public_url.rstrip("/") + path

    async def get(self, event_id: int) -> bytes:
        """Return an event as an iCalendar object."""
        row = await self._reader.row(event_id)
        return calendar_of(row, project=self._project, host=self._host, url=f"{self._start}{event_id}")
