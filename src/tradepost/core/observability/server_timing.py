"""Where the time of one request went, for the client that asks for it (W3C Server Timing), and of some for the metrics.

The parts are added where the waiting happens: in the queue of a coalescer, at the gate of the connection pool, while a
connection is held. A request that does not ask has no ``Timing``, and each of those places looks once for one.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final, Literal

from tradepost.core.observability.spans import Span

Part = Literal["auth", "wait", "db"]
PARTS: Final[tuple[Part, ...]] = ("auth", "wait", "db")
Phase = Literal["parse", "limits", "write"]
PHASES: Final[tuple[Phase, ...]] = ("parse", "limits", "write")
"""What the metrics tell apart besides; a client sees it as ``render``."""

LONGEST_STATEMENT: Final = 2000
"""Characters of a statement that its span has."""


class Timing:
    """The parts of one request, in seconds.

    ``auth`` is the check of its credentials, whatever that waits for; ``wait`` is for a lane or a connection; ``db`` is for
    statements and commits, of its own or of the batch that it shares with others.

    The phases are beside the parts, not of them: ``parse`` is for taking a body in and reading it, ``limits`` for counting,
    ``write`` for handing the answer to the server, each without the parts within.

    ``slowed`` returns by how many seconds a statement or a shared read is to take longer, and counts it; None for not at
    all, as ever but where faults are made on purpose.

    ``span`` is that of the request, where it is recorded: it is told of each part, too.
    """

    __slots__ = ("_inner", "_parts", "_phases", "_statement_began", "now", "slowed", "span")

    def __init__(
        self,
        monotonic: Callable[[], float],
        slowed: Callable[[], float] | None = None,
        *,
        span: Span | None = None,
    ) -> None:
        self.span = span
        self.slowed = slowed
        # The clock's: uvloop's own stands still within a turn of the loop, and knows whole milliseconds alone.
        self.now = monotonic
        self._parts = dict.fromkeys(PARTS, 0.0)
        self._phases = dict.fromkeys(PHASES, 0.0)
        self._inner = False
        self._statement_began = 0.0

    def add(self, part: Part, seconds: float) -> None:
        """Add to a part, unless this time is within a block whose whole length counts."""
        if not self._inner:
            self._parts[part] += seconds

    @contextmanager
    def spent_on(self, part: Part, *, called: str | None = None) -> Iterator[None]:
        """Add the length of the block to a part, and to no other; ``called`` is its name among the spans."""
        if self._inner:
            yield
            return
        began = self.now()
        self._inner = True
        try:
            yield
        finally:
            self._inner = False
            took = self.now() - began
            self.add(part, took)
            if self.span is not None:
                self.span.part(called or part, took)

    @contextmanager
    def in_phase(self, phase: Phase) -> Iterator[None]:
        """Add the length of the block to a phase, but for the parts that it was spent on."""
        began, before = self.now(), sum(self._parts.values())
        try:
            yield
        finally:
            inside = sum(self._parts.values()) - before
            self._phases[phase] += max(0.0, self.now() - began - inside)

    def phases(self, total: float) -> dict[str, float]:
        """Return the seconds of every part and phase; ``render`` is what none of them took."""
        found = dict[str, float](self._parts.items() | self._phases.items())
        return found | {"render": max(0.0, total - sum(found.values()))}

    def statement_began(self) -> None:
        """Note that a statement goes to the database."""
        self._statement_began = self.now()

    def statement_ended(self, statement: str, system: str) -> None:
        """Add the statement that began last to ``db``; its values are not in its text."""
        took = self.now() - self._statement_began
        self.add("db", took)
        if self.span is not None:
            text = statement[:LONGEST_STATEMENT]
            self.span.part(
                text.split(maxsplit=1)[0].upper(),
                took,
                kind="client",
                facts={"db.system.name": system, "db.query.text": text},
            )

    def header(self, total: float) -> bytes:
        """Return the value of ``Server-Timing``, in milliseconds; ``render`` is what none of the parts took."""
        rest = max(0.0, total - sum(self._parts.values()))
        shown = (*self._parts.items(), ("render", rest), ("total", total))
        return ", ".join([f"{name};dur={seconds * 1000:.3f}" for name, seconds in shown]).encode()


timing: ContextVar[Timing | None] = ContextVar("timing", default=None)
"""The ``Timing`` of the request that this task answers; None unless it was asked for."""
