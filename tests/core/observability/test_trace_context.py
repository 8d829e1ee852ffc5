"""The header of the W3C Trace Context, read and written."""

import pytest

from tradepost.core.clock import SystemClock
from tradepost.core.observability.trace_context import LENGTH, child_of, read, trace_id

TRACE = "0af7651916cd43dd8448eb211c80319c"
CONTEXT = f"00-{TRACE}-b7ad6b7169203331-01"


@pytest.mark.parametrize(
    ("header", "context"),
    [
        (CONTEXT, CONTEXT),
        (f"00-{TRACE}-b7ad6b7169203331-00", f"00-{TRACE}-b7ad6b7169203331-00"),
        (f"cc{CONTEXT[2:]}", CONTEXT),
        (f"cc{CONTEXT[2:]}-what-comes-later", CONTEXT),
        (f"ff{CONTEXT[2:]}", None),
        (f"{CONTEXT}-more", None),
        (f"{CONTEXT} ", None),
        (CONTEXT.upper(), None),
        (f"00-{'0' * 32}-b7ad6b7169203331-01", None),
        (f"00-{TRACE}-{'0' * 16}-01", None),
        (CONTEXT[:-1], None),
        ("", None),
        ("ÿ" * LENGTH, None),
    ],
)
def test_what_a_header_says(header: str, context: str | None) -> None:
    assert read(header.encode("latin-1")) == context


def test_a_child_is_in_the_same_trace() -> None:
    children = {child_of(CONTEXT, SystemClock()) for _ in range(100)}
    assert len(children) == 100
    for child in children:
        assert read(child.encode()) == child
        assert trace_id(child) == TRACE
        assert child.endswith("-01")
        assert child != CONTEXT
