"""Lossy publish and subscribe, by topic, between the parts of a process and between processes.

A signal says that there is something to look at. It may be lost or come twice: it only spares its listener the wait for the
next look. The truth is in the database, so that a process that missed a signal is late and never wrong.
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
"""Takes a signal's text, or ``""`` when signals may have been missed: look at everything."""

REPLACED: Final = "replaced"
"""The topic of what is told when the database may have been put back to an earlier state: forget what was read from it."""
PERIOD: Final = 0.02
"""Seconds between two payloads to other processes; the signals that are sent meanwhile share the next."""
MAX_BYTES: Final = 7_900
"""Bytes of a payload: PostgreSQL takes less than 8,000."""
POLL_PERIOD: Final = 2.0
"""Seconds between two looks where no signal comes from other processes."""
MAX_WAITING: Final = 1_000
"""Different signals of a topic that may wait for other processes; with one more these are told to look at everything."""
CHECK_PERIOD: Final = 15.0
"""Seconds of silence after which a transport is checked."""
FIRST_PAUSE, LONGEST_PAUSE = 0.25, 10.0
"""Seconds between two tries to connect."""

log = structlog.stdlib.get_logger(__name__)


class Signals(Protocol):
    """Sends signals by topic. Neither sending nor listening ever waits, or fails."""

    def send(self, topic: str, text: str) -> None:
        """Tell every listener of ``topic``, here at once and in other processes soon."""
        ...

    def listen(self, topic: str, listener: Listener) -> Callable[[], None]:
        """Have ``listener`` told of ``topic`` until the returned function is called."""
        ...

    async def run(self) -> None:
        """Stay connected with other processes until cancelled; without this, signals stay in the process."""
        ...


class LocalSignals:
    """Signals within one process."""

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
        """Do nothing: there is no other process."""
        await asyncio.Event().wait()

    def _tell(self, topic: str, text: str) -> None:
        for listener in tuple(self._listeners.get(topic, ())):
            try:
                listener(text)
            except Exception:
                # Neither the sender, who has committed something, nor another listener is to pay for it.
                log.exception("a listener failed", topic=topic)

    def _tell_all(self) -> None:
        """Tell every listener that signals may have been missed."""
        for topic in tuple(self._listeners):
            self._tell(topic, "")


class PollingSignals(LocalSignals):
    """Signals where nothing leads to other processes: whoever listens looks at everything now and then."""

    async def run(self) -> None:
        """Have everybody look until cancelled."""
        while True:
            await asyncio.sleep(POLL_PERIOD)
            self._tell_all()


class Transport(Protocol):
    """A connection that carries payloads between the processes of one Tradepost."""

    async def send(self, payload: str) -> None:
        """Have every process receive ``payload``, this one too perhaps."""
        ...

    async def check(self) -> None:
        """Raise unless the connection is good."""
        ...


Connect = Callable[[Callable[[str], None], Callable[[], None]], AbstractAsyncContextManager[Transport]]
"""Opens a transport: the first function is given every payload that arrives, the second is called when it breaks."""


class SharedSignals(LocalSignals):
    """Signals between processes over a transport that may break: after the gap, listeners look at everything."""

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
            return  # the same, or the order to look at everything, waits already
        if len(texts) >= MAX_WAITING or _is_too_long(text):
            texts.clear()
            text = ""
        texts[text] = None
        self._woken.set()

    async def run(self) -> None:
        """Keep a transport open until cancelled."""
        failures = 0
        while True:
            heed_cancellation()
            try:
                async with self._connect(self._receive, self._break) as transport:
                    self._broken = False
                    if failures:
                        log.info("signals reach other processes again")
                    failures = 0
                    # Signals that were sent before this process listened are lost.
                    self._tell_all()
                    await self._transmit(transport)
            except Exception as error:  # noqa: BLE001 - without a transport, signals are late, and nothing else is wrong
                failures += 1
                if failures == 1:
                    log.warning(
                        "signals do not reach other processes; they look by themselves", reason=repr(error)
                    )
            pause = min(FIRST_PAUSE * 2 ** min(failures, 10), LONGEST_PAUSE)
            await asyncio.sleep(pause * (0.5 + self._clock.chance() / 2))

    def _break(self) -> None:
        self._broken = True
        self._woken.set()

    def _receive(self, payload: str) -> None:
        try:
            sender, signals = json.loads(payload)
            told = [(str(topic), str(text)) for topic, text in signals] if sender != self._own_name else []
        except (ValueError, TypeError):
            log.warning("a payload that is no signal of ours", length=len(payload))
            return
        for topic, text in told:
            self._tell(topic, text)

    async def _transmit(self, transport: Transport) -> None:
        while True:
            heed_cancellation()
            try:
                async with asyncio.timeout(CHECK_PERIOD):
                    await self._woken.wait()
            except TimeoutError:
                await transport.check()
            self._woken.clear()
            if self._broken:
                raise ConnectionResetError("the transport broke")
            waiting, self._waiting = self._waiting, {}
            signals = [(topic, text) for topic, texts in waiting.items() for text in texts]
            try:
                for payload in list(self._payloads(signals)):
                    await transport.send(payload)
            except BaseException:
                # Not sent, or not known to be: others look at everything once there is a transport again.
                for topic in waiting:
                    self._waiting[topic] = {"": None}
                self._woken.set()
                raise
            await asyncio.sleep(PERIOD)

    def _payloads(self, signals: Sequence[tuple[str, str]]) -> Iterator[str]:
        """Pack signals into as few payloads as will hold them."""
        some: list[tuple[str, str]] = []
        size = 0
        for signal in signals:
            length = len(json.dumps(signal)) + 2
            if some and size + length > MAX_BYTES - 50:
                yield json.dumps([self._own_name, some])
                some, size = [], 0
            some.append(signal)
            size += length
        if some:
            yield json.dumps([self._own_name, some])


def _is_too_long(text: str) -> bool:
    return len(json.dumps(text)) > MAX_BYTES // 2
