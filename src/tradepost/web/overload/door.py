"""The door of this process: which requests are let in, what is under way, and the timer of overload control."""

import asyncio
from collections import Counter
from typing import Any, Final, Protocol

import structlog
from starlette.types import ASGIApp, Scope
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from tradepost.core.clock import Clock
from tradepost.core.overload.arrivals import Importance, importance_of
from tradepost.core.overload.control import STEP, OverloadControl
from tradepost.core.overload.waits import PATIENCE, Kind, Waits, all_shared
from tradepost.web.asgi_scope import ARRIVED_KEY, ENDLESS_KEY, SANE_ID, USER_ID_KEY
from tradepost.web.overload.importance import Ranking, credential_of
from tradepost.web.overload.refusals import Refusals

DOOR_KEY: Final = "tradepost.door"
"""Where the lifespan's state has the ``Door``, and the scope of a request that was let in, too."""
IDLE: Final = 50
"""Steps with little to do after which nobody looks any more, until there is something to look at."""

_log = structlog.stdlib.get_logger("tradepost.web")


class RefusalObserver(Protocol):
    """Counts the requests that were not let in."""

    def __call__(self, importance: str, number: int) -> None:
        """Count so many of a class."""
        ...


class AnswerObserver(Protocol):
    """Counts the refusals that no layer saw, and that are in no other count of answers."""

    def __call__(self, method: str, number: int) -> None:
        """Count so many of a method."""
        ...


class Door:
    """Lets requests in, or refuses them. The protocol asks it before there is a task, the layer ``Admission`` within.

    ``refusing`` is the application that answers a refusal with all that an answer has; ``refusals`` makes the bytes of one.
    """

    def __init__(
        self,
        control: OverloadControl,
        *,
        clock: Clock,
        ranking: Ranking,
        refusals: Refusals,
        refusing: ASGIApp,
        refused: RefusalObserver,
        answered: AnswerObserver,
        answers_origins: bool,
    ) -> None:
        self.control = control
        self.refusals = refusals
        self.refusing = refusing
        self._answers_origins = answers_origins
        self.waits: dict[Kind, float] = {"turn": 0.0, "lane": 0.0, "connection": 0.0}
        self._monotonic = clock.monotonic
        self._ranking = ranking
        self._observe_refused = refused
        self._observe_answered = answered
        self._turns = Waits("turn")
        self._cycles: set[RequestResponseCycle] = set()
        self._refused: Counter[Importance] = Counter()
        self._answered: Counter[str] = Counter()
        self._refused_since = 0
        self._timer: asyncio.TimerHandle | None = None
        self._looked = 0.0
        self._due = 0.0
        self._idle = 0

    def admits(self, cycle: RequestResponseCycle) -> bool:
        """Tell whether a request is let in, and count it; its task has to begin."""
        scope: Any = cycle.scope
        control = self.control
        if control.is_overloaded:
            rank = self._ranking.rank(scope)
            if rank is not None and not control.admit(rank):
                self._refused[importance_of(rank)] += 1
                return False
        scope[DOOR_KEY] = cycle
        control.began()
        self._cycles.add(cycle)
        if self._timer is None and control.is_needed:
            self._begin_looking()
        return True

    def turn(self, scope: Scope) -> bool:
        """Note that a request's turn has come; tell whether it is begun, or was let in too long ago."""
        waited = self._monotonic() - scope[ARRIVED_KEY]
        self._turns.ended(waited)
        if waited <= PATIENCE or not self.control.is_impatient:
            return True
        rank = self._ranking.rank(scope)
        return rank is None or importance_of(rank) <= Importance.WRITE

    def refusal(self, scope: Scope, defaults: list[tuple[bytes, bytes]], *, stays: bool) -> bytes | None:
        """Return the bytes of a refusal, None where it takes more than these: then ``refusing`` answers."""
        if scope["method"] == "HEAD" or scope["http_version"] != "1.1":
            return None
        request_id = None
        for name, value in scope["headers"]:
            if name == b"x-request-id" and SANE_ID.fullmatch(value):
                request_id = value
            elif name == b"origin" and self._answers_origins:
                return None
        self._answered[scope["method"]] += 1
        return self.refusals.encoded(defaults, load=self.control.load, stays=stays, request_id=request_id)

    def ended(self, scope: Scope, *, served: bool) -> None:
        """Count out a request that was let in."""
        # Taken out: a cycle holds its scope, and all that is of the request would wait for the garbage collector.
        self._cycles.discard(scope.pop(DOOR_KEY))
        if not served:
            self.control.ended_unserved()
            rank = self._ranking.rank(scope)
            if rank is not None and self.control.is_overloaded:
                self._refused[importance_of(rank)] += 1
            return
        self.control.ended()
        if USER_ID_KEY in scope:
            credential = credential_of(scope)
            if credential is not None:
                self._ranking.known.accept(credential, self._monotonic())

    def wait(self, kind: Kind) -> float:
        """Return the smallest wait of a kind of the last look, in the queue where it is worst."""
        return self.waits[kind]

    def close(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _begin_looking(self) -> None:
        for waits in (self._turns, *all_shared()):
            waits.forget()
        self.control.begin_looking()
        self._idle = 0
        self._looked = self._monotonic()
        self._plan()

    def _plan(self) -> None:
        self._due = self._monotonic() + STEP
        self._timer = asyncio.get_running_loop().call_later(STEP, self._step)

    def _step(self) -> None:
        now, control = self._monotonic(), self.control
        late = max(0.0, now - self._due)
        was_overloaded = control.is_overloaded
        if was_overloaded or control.under_way > control.floor:
            control.stalled = sum(map(_is_stalled, self._cycles))
        control.step(now - self._looked, self._look(now, late))
        self._looked = now
        self._flush()
        if control.is_overloaded or was_overloaded:
            for queue in all_shared():
                queue.impatient = control.is_impatient
                queue.back_after = self._back_after
        if control.is_overloaded is not was_overloaded:
            self._tell()
        self._idle = 0 if control.is_needed else self._idle + 1
        if self._idle < IDLE:
            self._plan()
        else:
            self._timer = None
            self.waits = dict.fromkeys(self.waits, 0.0)

    def _back_after(self) -> int:
        return self.refusals.retry_after(self.control.load)

    def _look(self, now: float, late: float) -> float:
        """Return the wait in the queue where it is worst that nobody went past."""
        # Nobody's turn came: the timer waited for one, too.
        waits = self.waits = dict.fromkeys(self.waits, 0.0)
        waits["turn"] = self._turns.look(now, otherwise=late)
        for queue in all_shared():
            waits[queue.kind] = max(waits[queue.kind], queue.look(now))
        return max(waits.values())

    def _flush(self) -> None:
        for importance, number in self._refused.items():
            self._observe_refused(importance.name.lower(), number)
            self._refused_since += number
        for method, number in self._answered.items():
            self._observe_answered(method, number)
        self._refused.clear()
        self._answered.clear()

    def _tell(self) -> None:
        control = self.control
        if control.is_overloaded:
            _log.warning(
                "overloaded: the least important is refused", waits=self.waits, under_way=control.busy
            )
        else:
            _log.warning("not overloaded any more", refused=self._refused_since)
            self._refused_since = 0


def _is_stalled(cycle: RequestResponseCycle) -> bool:
    """Tell whether a request waits for its client: for a body, or until an answer is taken, which may have no end."""
    return cycle.more_body or cycle.flow.write_paused or ENDLESS_KEY in cycle.scope
