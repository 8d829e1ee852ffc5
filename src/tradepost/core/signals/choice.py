"""Which signals there are between processes: by Redis, by the database, or none."""

from importlib import import_module
from typing import Any, Protocol

from tradepost.core.clock import Clock
from tradepost.core.database.engines import Database
from tradepost.core.signals.postgres import postgres_signals
from tradepost.core.signals.signals import PollingSignals, Signals
from tradepost.core.signals.sqlite import SqliteSignals


class RedisClient(Protocol):
    """A client of Redis, for those who hand it on; what talks to it knows the real one, and is imported where there is one."""

    async def ping(self) -> Any:
        """Ask whether it is there."""

    async def aclose(self) -> None:
        """Close every connection."""


def open_redis(url: str) -> RedisClient:
    """Return a client of the Redis at ``url``, which connects when it is first used."""
    client: RedisClient = import_module("tradepost.core.signals.redis").open_redis(url)
    return client


def build_signals(database: Database, clock: Clock, redis: RedisClient | None) -> Signals:
    """Return the signals between processes: over Redis where there is one, else by the database's own means.

    Through PgBouncer alone there are none: NOTIFY reaches nobody whose connection changes with each transaction.
    """
    if redis is not None:
        signals: Signals = import_module("tradepost.core.signals.redis").redis_signals(redis, clock)
        return signals
    if database.is_sqlite:
        return SqliteSignals(database)
    if not database.has_direct_connections:
        return PollingSignals()
    return postgres_signals(database.options.direct_url or database.options.url, clock)
