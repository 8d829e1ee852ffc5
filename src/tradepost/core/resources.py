"""The registry of what lives as long as the process: ``bootstrap`` fills it once, every builder of a service takes from it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

from tradepost.core.batching.coalescer import Observe
from tradepost.core.clock import Clock
from tradepost.core.database.engines import Database
from tradepost.core.settings.settings import Settings

T = TypeVar("T")


@dataclass(frozen=True)
class Resources:
    """Settings, database and clock, and one object for each type that a domain keeps for the life of the process.

    A domain finds its own by type: ``resources[PasswordHasher]``. Nothing is made on demand: a type that ``bootstrap`` did
    not put in is a ``KeyError`` at the first request of the first test.

    ``batch_observer`` returns, for the name of a coalescer, the function that is told the size of each of its batches.
    """

    settings: Settings
    database: Database
    clock: Clock
    batch_observer: Callable[[str], Observe]
    _by_type: dict[type[Any], Any] = field(default_factory=dict)

    def put(self, kind: type[T], resource: T) -> None:
        """Keep ``resource`` as the one object of type ``kind``; a Protocol serves as well as a class."""
        self._by_type[kind] = resource

    def __getitem__(self, kind: type[T]) -> T:
        return cast("T", self._by_type[kind])

    def find(self, kind: type[T]) -> T | None:
        """Return what may be there or not, as the settings have it."""
        return cast("T | None", self._by_type.get(kind))
