"""The trace context of a request (W3C Trace Context): taken from its header, kept with messages, passed on to webhooks.

Where Tradepost records no spans (``spans``), what it passes on lets the tracing of those around it join its part to theirs. A
request that changes something and names no trace begins one, so that its line in the log, the worker's and the e-mail have
an id in common.
"""

import base64
import re
from contextvars import ContextVar
from typing import Final

from tradepost.core.clock import Clock

LENGTH: Final = 55
"""Characters of a ``traceparent``: version, trace, parent and flags."""

_TRACEPARENT: Final = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?P<later>-.*)?"
)
_OURS: Final = "00"

traceparent: ContextVar[str | None] = ContextVar("traceparent", default=None)
"""The trace context of what this task does, as the header has it; None when nobody traces."""


def read(header: bytes) -> str | None:
    """Return the context of a header in the version that we write, None for one that is not valid.

    Later versions may go on after the four fields that we know.
    """
    text = header.decode("latin-1")
    found = _TRACEPARENT.fullmatch(text)
    if found is None or (found["later"] is not None and text.startswith(_OURS)):
        return None
    return _OURS + text[2:LENGTH]


def trace_id(context: str) -> str:
    """Return the id of the trace, which all that belongs together has in common."""
    return context[3:35]


def parent_id(context: str) -> str:
    """Return the id of the span that a context is of."""
    return context[36:52]


def begun(clock: Clock) -> str:
    """Return the context of a trace that begins here; nobody samples it yet."""
    chance = base64.urlsafe_b64decode(clock.token(24)).hex()
    return f"{_OURS}-{chance[:32]}-{chance[32:]}-00"


def child_of(context: str, clock: Clock) -> str:
    """Return the context for a request that is made because of this one: the same trace, a parent of its own."""
    parent = base64.urlsafe_b64decode(clock.token(8) + "=").hex()
    return f"{context[:36]}{parent}{context[52:]}"
