"""Spans that keep what they are told."""

from tradepost.core.observability.spans import Facts, Kind, Span, Tracing


class Told(Span):
    """A span, and what it is told."""

    def __init__(self, name: str = "", cause: str | None = None, *, recorded: bool = True) -> None:
        self.context = f"00-{'1' * 32}-{'3' * 16}-01"
        self.is_recorded = recorded
        self.begun = name, cause
        self.parts: list[tuple[str, float, dict[str, str | int]]] = []
        self.ends: list[tuple[dict[str, str | int], str | None]] = []

    def part(self, name: str, seconds: float, *, kind: Kind = "internal", facts: Facts | None = None) -> None:
        self.parts.append((name, seconds, dict(facts or {})))

    def end(self, *, name: str | None = None, facts: Facts | None = None, failure: str | None = None) -> None:
        self.ends.append((dict(facts or {}), failure))


class Telling(Tracing):
    """Keeps the spans that were begun."""

    def __init__(self, *, recorded: bool = True) -> None:
        self.recorded = recorded
        self.spans: list[Told] = []

    def begin(self, name: str, *, kind: Kind, cause: str | None, ago: float = 0.0) -> Span:
        assert kind == "consumer"
        self.spans.append(Told(name, cause, recorded=self.recorded))
        return self.spans[-1]

    def close(self) -> None:
        """Nothing is left."""
