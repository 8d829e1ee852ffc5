"""A drawing of a run: horizontal bars, one group for each workload and load, as SVG."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.load.summary import Section

WIDTH, LABELS, FIGURES = 860, 150, 190
BAR, GAP, HEADING = 18, 4, 30
FONT = 'font-family="system-ui, sans-serif" font-size="12"'
COLOURS = {"tradepost": "#1f6f54", "limit": "#8a8f98", "fastify": "#c98a1b", "straightforward": "#5470a8"}


@dataclass(frozen=True)
class Bar:
    """One bar: its length in a unit that its group shares, what is said beside it, and the whisker's ends."""

    label: str
    colour: str
    length: float
    said: str
    low: float | None = None
    high: float | None = None


def svg(sections: Sequence[Section], titles: Mapping[str, str], captions: Sequence[str]) -> str:
    """The closed-loop sections as bars: the median, with a whisker from the lowest round to the highest."""
    groups = {
        f"{titles[section.workload]}, {section.load.title}": [
            Bar(
                line.contestant,
                COLOURS.get(line.contestant, "#777"),
                line.rate.median,
                f"{line.rate.median:,.0f}/s, {line.server_cpu.median:,.0f} us CPU",
                line.rate.low,
                line.rate.high,
            )
            for line in section.lines
        ]
        for section in sections
        if not section.load.is_open
    }
    return bars(groups, captions)


def bars(groups: Mapping[str, Sequence[Bar]], captions: Sequence[str]) -> str:
    """Groups of bars under their titles."""
    drawn: list[str] = []
    top = 16
    for title, group in groups.items():
        top += HEADING
        drawn.append(_text(0, top - 10, title, bold=True))
        scale = (WIDTH - LABELS - FIGURES) / max(1.0, *(bar.high or bar.length for bar in group))
        for bar in group:
            middle = top + BAR / 2
            length = bar.length * scale
            end = length if bar.high is None else max(length, bar.high * scale)
            drawn += [
                _text(LABELS - 8, middle + 4, bar.label, anchor="end"),
                f'<rect x="{LABELS}" y="{top}" width="{length:.1f}" height="{BAR}" fill="{bar.colour}"/>',
            ]
            if bar.low is not None and bar.high is not None:
                low, high = (LABELS + value * scale for value in (bar.low, bar.high))
                drawn.append(
                    f'<line x1="{low:.1f}" x2="{high:.1f}" y1="{middle}" y2="{middle}" stroke="#111"/>'
                )
            drawn.append(_text(LABELS + end + 8, middle + 4, bar.said))
            top += BAR + GAP
    drawn += [_text(0, top + 24 + 16 * number, caption) for number, caption in enumerate(captions)]
    height = top + 20 + 16 * len(captions)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="-12 0 {WIDTH + 12} {height}" {FONT}>',
            f'<rect x="-12" width="{WIDTH + 12}" height="{height}" fill="#fff"/>',
            *drawn,
            "</svg>",
            "",
        ]
    )


def _text(x: float, y: float, content: str, *, anchor: str = "start", bold: bool = False) -> str:
    weight = ' font-weight="600"' if bold else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{weight}>{escape(content)}</text>'
