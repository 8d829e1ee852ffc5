"""Overload control: past capacity it refuses the least important at once, and serves the others as if it were not there.

A server that takes all serves nobody in time: each answer comes when its client has gone. What tells is that the queue grows
(``growth``), and how long who comes now will wait in it: clients that wait for one answer before they ask again make a queue,
too, and need not be refused. Now and then all are let in for a moment: if the queue does not grow of it, it was such clients
after all, or is over. Then two things hold the work back, by how long requests wait for their turn (``waits``).
A *ceiling* on what is under way follows the wait, as TCP's window does its losses: it answers at once, whoever comes. The
*border* (``arrivals``) lies where those on its near side are as many as are served: it says who comes, so that it is the
least important who do not, and within a class always the same people, instead of everybody now and then.

Nothing here knows the event loop or the time: whoever owns it calls ``step`` every ``STEP`` seconds while it ``is_needed``.
"""

from typing import Final

from tradepost.core.overload.arrivals import Arrivals, Importance, importance_of
from tradepost.core.overload.growth import Growth

STEP: Final = 0.02
"""Seconds between two looks at the queues."""
TARGET: Final = 0.015
"""Seconds: a queue in which nobody waits less for a tenth of a second stands, and does not come and go."""
LONG: Final = 0.3
"""Seconds: while nobody will wait for so long, a crowd that comes all at once may be gone before anybody minds."""
TOO_LONG: Final = 2.0
"""Seconds: a wait that is an overload even if the queue hardly grows."""
HARD_CEILING: Final = 4_096
"""The ceiling while there is no overload, and at most."""

_WORKED_OFF: Final = 0.2
"""Seconds in which the border lets what is under way come to what is wanted."""
_FULL: Final = 0.75
"""The part of the ceiling that the border aims at: the rest is for the moment."""
_CUTS_EVERY: Final = 5
"""Steps from one cut of the ceiling to the next: its effect comes after a while."""
_FIRST: Final = 2.0
"""Times the target that the first ceiling lets be waited."""
_CALM: Final = 25
"""Steps without a refusal after which there is no overload any more."""
_TRIAL: Final = 0.4
"""Seconds for which all are let in, in steps, to see whether the queue grows."""
_FIRST_PAUSE: Final = 0.25
"""Seconds of refusing until the first trial; four times as many until each one after it."""
_LONGEST_PAUSE: Final = 30.0
_FORGETS: Final = 10.0
"""Seconds without overload after which the next one is another, that has to grow first."""
_SMOOTH: Final = 0.2
"""The part that the last step has in the mean of what is under way."""
_RATE_OVER: Final = 0.2
"""Seconds over which the rate is a mean, at most."""
_QUICK: Final = 8
"""Of the last 11 steps, in which the queue grew, until it is called growing: clients that all come at once fill a few."""
_QUICK_ON_TRIAL: Final = 4
"""Such clients are connected by then, and come in one or two."""
_SLOW: Final = 3
"""Of the last 5 windows of 4 steps: of these they fill one or two."""

_ROOM: Final = (1.5, 1.25, 1.0, 1.0, 0.9)
"""How much of the ceiling each class may fill."""


class OverloadControl:
    """Admits requests, or refuses them.

    ``floor`` requests are always under way, if so many come: more than the database has connections for, so that none waits
    for work.
    """

    def __init__(self, *, floor: int) -> None:
        self.floor = floor
        self.under_way = 0
        self.stalled = 0
        """How many of those wait for their client, and not for us."""
        self.is_overloaded = False
        self.ceiling = float(HARD_CEILING)
        self.wait = 0.0
        """The smallest wait of the last look."""
        self._arrivals = Arrivals()
        self._quick = Growth(steps=1, of=11)
        self._slow = Growth(steps=4, of=5)
        self._began = 0
        self._ended = 0
        self._served = 0.0
        self._looked = 0.0
        """Seconds of which the rate is the mean."""
        self._busy = 0.0
        self._refused_now = 0
        self._since_cut = _CUTS_EVERY
        self._calm = 0
        self._tries = False
        self._returns = False
        """Whether a queue that stands is the same overload once more, of those who were asked to come back."""
        self._pause = _FIRST_PAUSE
        self._since = _FORGETS
        """Seconds since the state changed: overloaded, on trial, or neither."""

    @property
    def level(self) -> float:
        """How many of the classes are served: all of them, or fewer, with a part of the last."""
        return self._arrivals.level

    @property
    def busy(self) -> int:
        """How many requests wait for us."""
        return self.under_way - self.stalled

    @property
    def is_needed(self) -> bool:
        """Whether there may be anything to hold back."""
        return self.is_overloaded or self.under_way > self.floor

    @property
    def is_impatient(self) -> bool:
        """Whether more is under way than fits: then who has waited for long already is refused after all."""
        return self.is_overloaded and not self._tries and self.busy > max(self.floor, self.ceiling * _ROOM[0])

    @property
    def load(self) -> float:
        """How many times as many come as are served, 1 at least; for telling them when to come back."""
        share = self.level / len(Importance)
        return 1.0 if share >= 1 else 1.0 / max(share, 0.1)

    def admit(self, rank: int) -> bool:
        """Tell whether a request is let in, which then ``began``; asked only while ``is_overloaded``."""
        if self._tries:
            return True
        importance = importance_of(rank)
        fits = self.busy < max(self.floor, self.ceiling * _ROOM[importance])
        if self._arrivals.is_served(rank) and fits:
            return True
        self._refused_now += 1
        return False

    def began(self) -> None:
        """Count a request that is let in."""
        self.under_way += 1
        self._began += 1

    def ended(self) -> None:
        """Count it out."""
        self.under_way -= 1
        self._ended += 1

    def ended_unserved(self) -> None:
        """Count out one that was let in and is refused all the same."""
        self.under_way -= 1

    def begin_looking(self) -> None:
        """Begin anew, after a time without steps."""
        self._forget_growth()
        self._began = self._ended = 0
        self._served = self._looked = 0.0
        self._since = _FORGETS

    def step(self, seconds: float, wait: float) -> None:
        """Look at the last ``seconds``, in which nobody waited less than ``wait``."""
        self.wait = wait
        self._looked = min(_RATE_OVER, self._looked + seconds)
        self._served += min(1.0, seconds / self._looked) * (self._ended / seconds - self._served)
        # What was there too much goes at once: what was let in too long ago is refused.
        self._busy = min(float(self.busy), self._busy + _SMOOTH * (self.busy - self._busy))
        self._quick.step(self._began, self.busy)
        self._slow.step(self._began, self.busy)
        self._began = self._ended = 0
        # A trial is of so many steps: while the machine stands still nobody shows what they do.
        self._since += STEP if self._tries else seconds
        if not self.is_overloaded:
            if self._since > _FORGETS:
                self._returns = False
            if self.busy <= self.floor:
                # Those that have little to do serve less than they could.
                self._looked = 0.0
            elif self._is_too_much(wait):
                self._begin()
        elif self._tries:
            self._try(wait)
        elif self._since > self._pause:
            self._tries, self._since = True, 0.0
            self._forget_growth()
        else:
            self._hold_back(seconds, wait)

    def _forget_growth(self) -> None:
        self._quick.forget()
        self._slow.forget()

    def _is_growing(self, quick: int) -> bool:
        return self._quick.windows >= quick or self._slow.windows >= _SLOW

    def _is_too_much(self, wait: float) -> bool:
        if self._returns:
            return wait > TARGET
        if self._is_growing(_QUICK):
            # Who comes now will wait as long as it takes to serve those before, by Little's law.
            return self.busy > self._served * LONG
        # Where people come on their own, the queue is longer than ever now and then, be it by chance.
        return wait > TOO_LONG and self._slow.windows > 0 and self._since > _FORGETS

    def _hold_back(self, seconds: float, wait: float) -> None:
        self._move_ceiling(wait)
        aim = max(self.floor, self.ceiling * _FULL)
        self._arrivals.step(seconds, self._served + (aim - self._busy) / _WORKED_OFF)
        self._calm = 0 if self._refused_now or wait > TARGET else self._calm + 1
        self._refused_now = 0
        if self._calm >= _CALM:
            self._end()

    def _try(self, wait: float) -> None:
        if self._is_growing(_QUICK_ON_TRIAL):
            self._tries, self._since = False, 0.0
            self._pause = min(_LONGEST_PAUSE, 4 * self._pause)
        elif self._since > _TRIAL:
            self._end()
            # A queue that stands and does not grow is of clients that wait for their answers.
            self._returns = wait <= TARGET

    def _end(self) -> None:
        self.is_overloaded = self._tries = False
        self._returns = True
        self.ceiling = float(HARD_CEILING)
        self._arrivals.forget()
        self._since = 0.0

    def _begin(self) -> None:
        self.is_overloaded = True
        self._since, self._pause = 0.0, _FIRST_PAUSE
        # What is served within a few times the target, by Little's law, and what is being worked on.
        self.ceiling = self.floor + self._served * TARGET * _FIRST
        self._busy = float(self.busy)
        self._arrivals.forget()
        self._since_cut = 0
        self._calm = 0
        self._refused_now = 0

    def _move_ceiling(self, wait: float) -> None:
        if wait > TARGET:
            # While what was let in before is still being worked off, the waits say nothing of this ceiling.
            fits = self.busy <= max(self.floor, self.ceiling * _ROOM[0])
            self._since_cut = self._since_cut + 1 if fits else 0
            if self._since_cut > _CUTS_EVERY:
                self.ceiling = max(self.floor, self.ceiling * max(0.5, TARGET / wait))
                self._since_cut = 0
        elif self._refused_now:
            self.ceiling = min(HARD_CEILING, self.ceiling * 1.02)
