"""What lives as long as the process: opened once by ``bootstrap``, handed to every builder of a service."""

from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

from tradepost.core.clock import Clock
from tradepost.core.database.engines import Database
from tradepost.core.settings.settings import Settings

T = TypeVar("T")


@dataclass(frozen=True)
class Resources:
    """Settings, database and clock, and one object for each type that a domain keeps for the life of the process.

    A domain finds its own by type: ``resources[PasswordHasher]``. Nothing is made on demand: asking for what
    ``bootstrap`` did not put in is a ``KeyError`` at the first request of the first test.
    """

    settings: Settings
    database: Database
    clock: Clock
    _parts: dict[type[Any], Any] = field(default_factory=dict)

    def put(self, kind: type[T], part: T) -> None:
        """Keep ``part`` as the one object of type ``kind``; a Protocol serves as well as a class."""
        self._parts[kind] = part

    def __getitem__(self, kind: type[T]) -> T:
        return cast("T", self._parts[kind])
