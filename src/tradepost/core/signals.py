"""Hints that something is there to be looked at, between the parts of a process and between processes.

A hint may be lost or come twice: it only spares somebody the wait for the next look. What counts is in the database.
"""

from collections.abc import Callable
from typing import Protocol

Listener = Callable[[str], None]
"""Is told a hint's text, or ``""`` when hints may have been missed: look at everything."""


class Signals(Protocol):
    """Sends hints by topic. Neither sending nor being told ever waits."""

    def send(self, topic: str, text: str) -> None:
        """Tell every listener of ``topic``, here at once and in other processes soon."""
        ...

    def listen(self, topic: str, listener: Listener) -> Callable[[], None]:
        """Have ``listener`` told of ``topic`` until the returned function is called."""
        ...


class LocalSignals:
    """Hints within one process."""

    def __init__(self) -> None:
        self._listeners: dict[str, list[Listener]] = {}

    def send(self, topic: str, text: str) -> None:
        for listener in tuple(self._listeners.get(topic, ())):
            listener(text)

    def listen(self, topic: str, listener: Listener) -> Callable[[], None]:
        listeners = self._listeners.setdefault(topic, [])
        listeners.append(listener)
        return lambda: listeners.remove(listener)
