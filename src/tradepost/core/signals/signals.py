"""Hints that something is there to be looked at, between the parts of a process and between processes.

A hint may be lost or come twice: it only spares somebody the wait for the next look. What counts is in the database.
"""

import asyncio
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from typing import Final, Protocol

import structlog

from tradepost.core.clock import Clock
from tradepost.core.finishing import heed_cancellation

Listener = Callable[[str], None]
"""Is told a hint's text, or ``""`` when hints may have been missed: look at everything."""

PERIOD: Final = 0.02
"""Seconds between two words to other processes; what is hinted at meanwhile goes along with the next."""
MAX_BYTES: Final = 7_900
"""Of one word: PostgreSQL takes less than 8,000."""
MAX_WAITING: Final = 1_000
"""Different hints of a topic that may wait for other processes; with one more they are told to look at everything."""
CHECK_PERIOD: Final = 15.0
"""Seconds of silence after which a line is tried."""
FIRST_PAUSE, LONGEST_PAUSE = 0.25, 10.0
"""Seconds between two tries to have a line."""

log = structlog.stdlib.get_logger(__name__)


class Signals(Protocol):
    """Sends hints by topic. Neither sending nor being told ever waits, or fails."""

    def send(self, topic: str, text: str) -> None:
        """Tell every listener of ``topic``, here at once and in other processes soon."""
        ...

    def listen(self, topic: str, listener: Listener) -> Callable[[], None]:
        """Have ``listener`` told of ``topic`` until the returned function is called."""
        ...

    async def run(self) -> None:
        """Keep in touch with other processes until cancelled; without this, hints stay in the process."""
        ...


class LocalSignals:
    """Hints within one process."""

    def __init__(self) -> None:
        self._listeners: dict[str, list[Listener]] = {}

    def send(self, topic: str, text: str) -> None:
        self._tell(topic, text)

    def listen(self, topic: str, listener: Listener) -> Callable[[], None]:
        listeners = self._listeners.setdefault(topic, [])
        listeners.append(listener)

        def stop() -> None:
            with suppress(ValueError):
                listeners.remove(listener)

        return stop

    async def run(self) -> None:
        """Do nothing: there is nobody else."""
        await asyncio.Event().wait()

    def _tell(self, topic: str, text: str) -> None:
        for listener in tuple(self._listeners.get(topic, ())):
            try:
                listener(text)
            except Exception:
                # Whoever committed something, or another listener, is not to pay for it.
                log.exception("a listener failed", topic=topic)

    def _tell_all(self) -> None:
        """Tell every listener that hints may have been missed."""
        for topic in tuple(self._listeners):
            self._tell(topic, "")


class Line(Protocol):
    """A connection on which the processes of one Tradepost hear each other."""

    async def say(self, word: str) -> None:
        """Have every process told, this one too perhaps."""
        ...

    async def check(self) -> None:
        """Raise unless the line is good."""
        ...


Connect = Callable[[Listener, Callable[[], None]], AbstractAsyncContextManager[Line]]
"""Opens a line: the first function is told every word that is said on it, the second that it broke."""


class SharedSignals(LocalSignals):
    """Hints between processes, over a line that may break: then they are told late, and to look at everything."""

    def __init__(self, connect: Connect, clock: Clock) -> None:
        super().__init__()
        self._connect = connect
        self._clock = clock
        self._own_name = clock.token(9)
        self._waiting: dict[str, dict[str, None]] = {}
        self._woken = asyncio.Event()
        self._broken = False

    def send(self, topic: str, text: str) -> None:
        self._tell(topic, text)
        texts = self._waiting.setdefault(topic, {})
        if text in texts or "" in texts:
            return  # others are told of it, or look at everything, anyway
        if len(texts) >= MAX_WAITING or _is_too_long(text):
            texts.clear()
            text = ""
        texts[text] = None
        self._woken.set()

    async def run(self) -> None:
        """Keep a line open until cancelled."""
        failures = 0
        while True:
            heed_cancellation()
            try:
                async with self._connect(self._heard, self._breaks) as line:
                    self._broken = False
                    if failures:
                        log.info("hints reach other processes again")
                    failures = 0
                    # What was said while nobody listened here is lost.
                    self._tell_all()
                    await self._talk(line)
            except Exception as error:  # noqa: BLE001 - without a line, hints are late, and nothing else is wrong
                failures += 1
                if failures == 1:
                    log.warning(
                        "hints do not reach other processes; they look by themselves", reason=repr(error)
                    )
            pause = min(FIRST_PAUSE * 2 ** min(failures, 10), LONGEST_PAUSE)
            await asyncio.sleep(pause * (0.5 + self._clock.chance() / 2))

    def _breaks(self) -> None:
        self._broken = True
        self._woken.set()

    def _heard(self, word: str) -> None:
        try:
            sender, hints = json.loads(word)
            told = [(str(topic), str(text)) for topic, text in hints] if sender != self._own_name else []
        except (ValueError, TypeError):
            log.warning("a word on the line that is none of ours", length=len(word))
            return
        for topic, text in told:
            self._tell(topic, text)

    async def _talk(self, line: Line) -> None:
        while True:
            heed_cancellation()
            try:
                async with asyncio.timeout(CHECK_PERIOD):
                    await self._woken.wait()
            except TimeoutError:
                await line.check()
            self._woken.clear()
            if self._broken:
                raise ConnectionResetError("the line broke")
            waiting, self._waiting = self._waiting, {}
            words = list(self._words([(topic, text) for topic, texts in waiting.items() for text in texts]))
            try:
                while words:
                    await line.say(words[0])
                    del words[0]
            except BaseException:
                # Not said, or not known to be: others look at everything once the line is there again.
                for topic in waiting:
                    self._waiting[topic] = {"": None}
                self._woken.set()
                raise
            await asyncio.sleep(PERIOD)

    def _words(self, hints: Sequence[tuple[str, str]]) -> Iterator[str]:
        """Put hints into as few words as will hold them."""
        some: list[tuple[str, str]] = []
        size = 0
        for hint in hints:
            length = len(json.dumps(hint)) + 2
            if some and size + length > MAX_BYTES - 50:
                yield json.dumps([self._own_name, some])
                some, size = [], 0
            some.append(hint)
            size += length
        if some:
            yield json.dumps([self._own_name, some])


def _is_too_long(text: str) -> bool:
    return len(json.dumps(text)) > MAX_BYTES // 2
