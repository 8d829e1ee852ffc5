"""Pictures of a run as SVG: lines over its seconds, with a scale and a legend, and nothing from elsewhere."""

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Final

WIDTH, HEIGHT = 860, 260
LEFT, RIGHT, TOP, BOTTOM = 64, 16, 40, 36
COLOURS: Final = ("#1f6f54", "#c98a1b", "#b3392f", "#5470a8")
FONT: Final = 'font-family="system-ui, sans-serif" font-size="12"'
TICKS: Final = 4

Points = Sequence[tuple[float, float]]


def drawn(
    title: str,
    lines: Mapping[str, Points],
    *,
    unit: str,
    marks: Sequence[float] = (),
    logarithmic: bool = False,
) -> str:
    """Return a picture: each line is pairs of a second and a value. ``marks`` are seconds where a stage begins."""
    most = max((value for points in lines.values() for _, value in points), default=1.0) or 1.0
    last = max((second for points in lines.values() for second, _ in points), default=1.0) or 1.0
    least = min((value for points in lines.values() for _, value in points if value > 0), default=1.0)
    low = 10.0 ** math.floor(math.log10(min(least, most))) if logarithmic else 0.0
    high = 10.0 ** math.ceil(math.log10(most) + 1e-9) if logarithmic else _rounded_up(most)

    def across(second: float) -> float:
        return LEFT + second / last * (WIDTH - LEFT - RIGHT)

    def up(value: float) -> float:
        scaled = math.log10(max(value, low) / low) / math.log10(high / low) if logarithmic else value / high
        return HEIGHT - BOTTOM - scaled * (HEIGHT - TOP - BOTTOM)

    ticks = (
        [low * 10**step for step in range(round(math.log10(high / low)) + 1)]
        if logarithmic
        else [high * step / TICKS for step in range(TICKS + 1)]
    )
    shapes = [_text(12, 20, f"{title}, {unit}", bold=True)]
    for tick in ticks:
        shapes += [
            f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{up(tick):.1f}" y2="{up(tick):.1f}" stroke="#ddd"/>',
            _text(LEFT - 6, up(tick) + 4, f"{tick:,.6g}", anchor="end"),
        ]
    shapes += [
        f'<line x1="{across(mark):.1f}" x2="{across(mark):.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}" '
        'stroke="#999" stroke-dasharray="3 3"/>'
        for mark in marks
        if 0 < mark < last
    ]
    step = _rounded_up(last / 8)
    shapes += [
        _text(across(number * step), HEIGHT - BOTTOM + 16, f"{number * step:g} s", anchor="middle")
        for number in range(int(last // step) + 1)
    ]
    right = WIDTH - RIGHT
    for number, (name, points) in reversed(list(enumerate(lines.items()))):
        colour = COLOURS[number % len(COLOURS)]
        path = " ".join(f"{across(second):.1f},{up(value):.1f}" for second, value in points)
        shapes += [
            f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.8"/>',
            _text(right, 20, name, anchor="end", colour=colour),
        ]
        right -= 8 * len(name) + 20
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" {FONT}>',
            f"<title>{escape(title)}</title>",
            f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
            *shapes,
            "</svg>",
            "",
        ]
    )


def _rounded_up(value: float) -> float:
    """Return the next 1, 2, 4, 5 or 10 of its magnitude: what a scale ends with."""
    magnitude = 10.0 ** math.floor(math.log10(value))
    return next(
        (step * magnitude for step in (1, 2, 4, 5, 10) if step * magnitude >= value - 1e-9), 10.0 * magnitude
    )


def _text(
    x: float, y: float, content: str, *, anchor: str = "start", bold: bool = False, colour: str = "#222"
) -> str:
    weight = ' font-weight="600"' if bold else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}"{weight}>{escape(content)}</text>'
