"""A server in a few lines, with a clock of its own: what overload control does to it is looked at in thousands of schedules."""

import heapq
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Literal

from tradepost.core.overload.arrivals import Importance, rank_of
from tradepost.core.overload.control import STEP, OverloadControl
from tradepost.core.overload.waits import PATIENCE, Waits

CONNECTING = 0.0002
"""Seconds from one closed client's first request to the next one's."""
THINKING = 0.0005
"""Seconds that such a client takes from an answer to its next request."""

Rate = Callable[[float], float]
"""How many times the capacity comes, at a moment."""
_What = Literal["next", "comes", "ends", "step"]


_CLASSES = list(Importance)


@cache
def _place_of(person: int) -> int:
    return random.Random(person).randrange(32)


@dataclass
class Asked:
    """A request, and what became of it."""

    at: float
    importance: Importance
    person: int
    ended: float = 0.0
    refused: bool = False


@dataclass
class Plant:
    """Serves as many requests at once as it has lanes, each in about ``cost`` seconds; a refusal takes a part of that.

    ``again`` says how many seconds later a refused one comes back, by chance from 0 to 1 and the control's load.
    """

    seed: int
    cost: float = 0.005
    refusal: float = 0.01
    lanes: int = 1
    shares: tuple[float, ...] = (0.05, 0.15, 0.3, 0.3, 0.2)
    people: int = 400
    controlled: bool = True
    again: Callable[[float, float], float] | None = None
    closed: int = 0
    """Clients that wait for one answer before they ask again, however often they are refused."""
    floor: int = 8
    asked: list[Asked] = field(default_factory=list)
    levels: list[tuple[float, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        self.control = OverloadControl(floor=self.floor)
        self.queue: deque[Asked] = deque()
        self.waits = Waits("turn", lambda: self.queue[0].at if self.queue else None)
        self.events: list[tuple[float, int, _What, Asked | None]] = []
        self.planned = 0
        self.free = self.lanes
        self.held_up = 0.0
        self.until = 0.0

    def run(self, rate: Rate, seconds: float) -> "Plant":
        """Have requests come for so long, and serve what was let in to its end."""
        self._plan(0.0, "next")
        self._plan(STEP, "step")
        self.until = seconds
        for client in range(self.closed):
            # They connect one after the other.
            self._ask_on(client * CONNECTING, client)
        while self.events:
            now, _, what, asked = heapq.heappop(self.events)
            if what == "step":
                self._look(now, until=seconds)
            elif what == "next" and now < seconds:
                (importance,) = self.chance.choices(_CLASSES, self.shares)
                self._come(now, Asked(now, importance, self.chance.randrange(self.people)))
                pause = self.chance.expovariate(max(1e-9, rate(now)) * self.lanes / self.cost)
                if now + pause < seconds:
                    self._plan(now + pause, "next")
            elif asked is not None:
                if what == "comes":
                    self._come(now, asked)
                else:
                    asked.ended = now
                    self.control.ended()
                    self._ask_on(now, asked.person)
                    self.free += 1
            self._work(now)
        return self

    def goodput(self, since: float, until: float) -> float:
        """Answers within a second for each that there could be, in a part of the run."""
        good = [
            asked
            for asked in self.asked
            if not asked.refused and since <= asked.ended < until and asked.ended - asked.at <= 1
        ]
        return len(good) * self.cost / self.lanes / (until - since)

    def latency(self, since: float, *, share: float = 0.99) -> float:
        """A quantile of the latencies of what came from a moment on, and was served."""
        served = [asked for asked in self.asked if not asked.refused and asked.at >= since]
        found = sorted(asked.ended - asked.at for asked in served)
        return found[min(len(found) - 1, int(share * len(found)))] if found else 0.0

    def served(self, importance: Importance, since: float, until: float = 1e9) -> float:
        """The share of a class that was served."""
        came = [asked for asked in self.asked if since <= asked.at < until and asked.importance is importance]
        return sum(not asked.refused for asked in came) / len(came) if came else 1.0

    def _plan(self, at: float, what: _What, asked: Asked | None = None) -> None:
        self.planned += 1
        heapq.heappush(self.events, (at, self.planned, what, asked))

    def _look(self, now: float, *, until: float) -> None:
        self.control.step(STEP, self.waits.look(now))
        self.levels.append((now, self.control.level))
        if now < until or self.events:
            self._plan(now + STEP, "step")

    def _come(self, now: float, asked: Asked) -> None:
        self.asked.append(asked)
        rank = rank_of(asked.importance, _place_of(asked.person))
        if self.controlled and self.control.is_overloaded and not self.control.admit(rank):
            self._refuse(now, asked)
            return
        self.control.began()
        self.queue.append(asked)

    def _refuse(self, now: float, asked: Asked) -> None:
        asked.refused, asked.ended = True, now
        self.held_up += self.cost * self.refusal
        self._ask_on(now + self.held_up, asked.person)
        if self.again is not None:
            back = now + self.again(self.chance.random(), self.control.load)
            self._plan(back, "comes", Asked(back, asked.importance, asked.person))

    def _ask_on(self, now: float, client: int) -> None:
        at = now + self.chance.uniform(0.5, 1.5) * THINKING
        if client < self.closed and at < self.until:
            self._plan(at, "comes", Asked(at, Importance.STRANGER, client))

    def _work(self, now: float) -> None:
        while self.free and self.queue:
            first = self.queue.popleft()
            self.waits.ended(now - first.at)
            if self.controlled and self.control.is_impatient and now - first.at > PATIENCE:
                self.control.ended_unserved()
                self._refuse(now, first)
                continue
            self.free -= 1
            self._plan(now + self.cost * self.chance.uniform(0.5, 1.5) + self.held_up, "ends", first)
            self.held_up = 0.0
