"""Spans: what takes its time because of one request, from its head to the e-mail that it causes, told to a tracing system.

These are the ports. Where no spans are sent, nothing supplies them, and the places that would tell of one ask nobody:
a request that is recorded has a ``Timing`` with its span, and each of those places looks for a ``Timing`` anyway.
"""

from collections.abc import Mapping
from typing import Literal, Protocol

Kind = Literal["server", "client", "producer", "consumer", "internal"]
Facts = Mapping[str, str | int]
"""What is told of a span besides its name and times: words of the code, numbers and ids, never what somebody sent."""


class Span(Protocol):
    """Something that takes its time, and is over when ``end`` is called; one that never ends is never told."""

    context: str
    """The trace context for what happens because of it."""
    is_recorded: bool
    """Whether it is among those that are sent."""

    def part(self, name: str, seconds: float, *, kind: Kind = "internal", facts: Facts | None = None) -> None:
        """Tell of a part that has taken ``seconds`` and is over now."""

    def end(self, *, name: str | None = None, facts: Facts | None = None, failure: str | None = None) -> None:
        """Tell that it is over, what it turned out to be, and the word for why it failed."""


class Tracing(Protocol):
    """Begins spans."""

    def begin(self, name: str, *, kind: Kind, cause: str | None, ago: float = 0.0) -> Span:
        """Begin a span ``ago`` seconds before now, because of the trace context ``cause``; None begins a trace."""

    def close(self) -> None:
        """Send what is left, for a moment at most."""
