"""Tables of a run, in Markdown that reads well in a terminal too."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.load.summary import Line, Section, Spread


def markdown(sections: Sequence[Section], titles: Mapping[str, str], heading: Sequence[str]) -> str:
    """The whole report; `titles` are the workloads'."""
    parts = [*heading, ""]
    for section in sections:
        parts += [f"### {titles[section.workload]} ({section.load.title})", ""]
        rows = [_open_row(line) if section.load.is_open else _closed_row(line) for line in section.lines]
        parts += [*_table(rows), ""]
    return "\n".join(parts)


def _closed_row(line: Line) -> dict[str, str]:
    return {
        "contestant": line.contestant,
        "requests/s": _spread(line.rate),
        "p50 ms": _spread(line.p50),
        "p99 ms": _spread(line.p99),
        "server CPU us": _spread(line.server_cpu),
        "PostgreSQL CPU us": _spread(line.database_cpu),
        "requests/s : limit": _ratio(line.rate_to_limit),
        "server CPU : limit": _ratio(line.server_cpu_to_limit),
        "total CPU : limit": _ratio(line.total_cpu_to_limit),
        "answers a client": f"{line.fewest:,}-{line.most:,}",
    }


def _open_row(line: Line) -> dict[str, str]:
    return {
        "contestant": line.contestant,
        "due/s": _number(line.offered or 0),
        "answered/s": _spread(line.rate),
        "p50 ms": _spread(line.p50),
        "p99 ms": _spread(line.p99),
        "p99.9 ms": _spread(line.p999),
        "server CPU us": _spread(line.server_cpu),
        "PostgreSQL CPU us": _spread(line.database_cpu),
        "refused (503)": f"{line.shed:,}",
        "never sent": f"{line.never_sent:,}",
    }


def _table(rows: Sequence[Mapping[str, str]]) -> list[str]:
    columns = list(rows[0])
    widths = [max(len(column), *(len(row[column]) for row in rows)) for column in columns]
    lines = [
        columns,
        ["-" * width for width in widths],
        *([row[column] for column in columns] for row in rows),
    ]
    return [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |"
        for line in lines
    ]


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def _spread(spread: Spread) -> str:
    if spread.low == spread.high:
        return _number(spread.median)
    return f"{_number(spread.median)} ({_number(spread.low)}-{_number(spread.high)})"


def _ratio(spread: Spread | None) -> str:
    return "" if spread is None else f"{spread.median:.2f} ({spread.low:.2f}-{spread.high:.2f})"
