"""What is done to a request on purpose: the port by which the layer ``Faults`` learns of it.

``injection`` supplies it. Where faults are off there is neither a supplier nor a layer.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from starlette.types import Scope


class Blow(StrEnum):
    """The kinds of faults that strike one request, on its way in or out."""

    DELAY = "delay"
    STATUS = "status"
    DROP = "drop"
    TRUNCATE = "truncate"
    SLOW_BODY = "slow-body"
    SLOW_DB = "slow-db"


@dataclass(frozen=True, slots=True)
class Strike:
    """One fault of one request: its kind, its amount in the kind's own unit, and what notes that it was done.

    Seconds for ``delay``, ``slow-body`` and ``slow-db``, bytes for ``truncate`` (0: half), the number for ``status``. ``done``
    takes words about what was done, and is called once if, and only if, something was.
    """

    kind: Blow
    amount: float
    done: Callable[[str], None]


class Strikes(Protocol):
    """Says what is to be done to requests."""

    async def due(self, scope: Scope) -> Sequence[Strike]:
        """Return what is to be done to a request, in this order; raises a domain error for a header that is not taken.

        What concerns the whole process is begun by this call, and is not among them.
        """
        ...
