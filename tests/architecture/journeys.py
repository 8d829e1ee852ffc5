"""The picture of how a request, a batch and a message travel, drawn from the text below as SVG.

Each stop is a module of the package and what happens there; ``tests/architecture/test_pages.py`` holds the modules to the
code, and the picture to this text.
"""

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from typing import Final


@dataclass(frozen=True, slots=True)
class Journey:
    """A way through the house: its stops from the first to the last, each a module and what happens there."""

    title: str
    example: str
    stops: tuple[tuple[str, str], ...]


JOURNEYS: Final = (
    Journey(
        "A request",
        "POST /tags/",
        (
            ("web/middleware/stack.py", "the layers: id and log line, hosts, CORS, limits of the body"),
            ("tags/routes.py", "parses, calls the service, answers"),
            ("web/db.py", "opens the request's one transaction: returning commits, raising rolls back"),
            ("tags/service.py", "keeps the rules; raises domain errors; knows no HTTP"),
            ("tags/repository.py", "has every statement of its domain"),
            ("core/database/engines.py", "commits. Only then the answer is sent"),
        ),
    ),
    Journey(
        "A batch",
        "GET /items/{id}, many times at once",
        (
            ("web/routing/fast_path.py", "calls the endpoint by a plan that was compiled at start-up"),
            ("items/reader.py", "hands the id to a coalescer, and waits"),
            (
                "core/batching/coalescer.py",
                "while a batch is read, the next one gathers: all its reads begin later",
            ),
            ("items/repository/items.py", "one statement for the whole batch, in a read session"),
            ("core/wire/row_json.py", "each row becomes JSON once, without a model in between"),
            ("web/answers/json_answer.py", "sends the same bytes to all who asked for it"),
        ),
    ),
    Journey(
        "A message",
        "ItemCreated",
        (
            ("core/messaging/outbox.py", "adds a row for each subscriber in the transaction of the change"),
            ("core/signals/signals.py", "the commit wakes a dispatcher, also in another process"),
            ("core/messaging/reactions.py", "in order, in groups, exactly once: they only write rows"),
            ("notifications/fan_out.py", "writes inboxes and adds due e-mails; webhooks fan out likewise"),
            (
                "core/messaging/deliveries.py",
                "claims under a lease, with no transaction open; tries again later",
            ),
            ("webhooks/delivery.py", "sends a signed request, at least once"),
        ),
    ),
)

WIDTH, GAP, MARGIN = 300, 24, 14
TOP, BOX, ARROW, LINE = 66, 68, 18, 15
CHARACTERS = 42
"""As many of a sentence fit into the width of a box."""
MOST_LINES = 2
INK, FAINT, GREEN, PAPER = "#1c2530", "#5b6673", "#1f6f54", "#f3f7f5"


def svg() -> str:
    """Draw all journeys side by side."""
    stops = max(len(journey.stops) for journey in JOURNEYS)
    width = 2 * MARGIN + len(JOURNEYS) * (WIDTH + GAP) - GAP
    height = TOP + stops * (BOX + ARROW) - ARROW + MARGIN
    drawn = [
        line
        for column, journey in enumerate(JOURNEYS)
        for line in _journey(journey, MARGIN + column * (WIDTH + GAP))
    ]
    box = f'viewBox="0 0 {width} {height}"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" {box} font-family="system-ui, sans-serif" font-size="12">',
            "<title>How a request, a batch and a message travel</title>",
            f'<rect width="{width}" height="{height}" fill="#fff"/>',
            *drawn,
            "</svg>",
            "",
        ]
    )


def _journey(journey: Journey, left: int) -> Iterator[str]:
    yield _text(left, 26, journey.title, size=16, bold=True)
    yield _text(left, 46, journey.example, colour=FAINT)
    middle = left + WIDTH / 2
    for number, (module, happening) in enumerate(journey.stops):
        top = TOP + number * (BOX + ARROW)
        if number:
            yield (
                f'<path d="M{middle:g} {top - ARROW} v{ARROW - 5} m-4 -5 l4 5 l4 -5" '
                f'fill="none" stroke="{GREEN}" stroke-width="1.5"/>'
            )
        yield (
            f'<rect x="{left}" y="{top}" width="{WIDTH}" height="{BOX}" rx="6" '
            f'fill="{PAPER}" stroke="{GREEN}" stroke-opacity="0.35"/>'
        )
        yield _text(left + 10, top + 21, module, colour=GREEN, mono=True)
        for line, words in enumerate(textwrap.wrap(happening, CHARACTERS)):
            yield _text(left + 10, top + 40 + line * LINE, words)


def _text(
    x: float,
    y: float,
    words: str,
    *,
    size: int = 12,
    colour: str = INK,
    bold: bool = False,
    mono: bool = False,
) -> str:
    style = ' font-weight="600"' if bold or mono else ""
    if mono:
        style += ' font-family="ui-monospace, monospace"'
    return f'<text x="{x:g}" y="{y:g}" font-size="{size}" fill="{colour}"{style}>{escape(words)}</text>'
