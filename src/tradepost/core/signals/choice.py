"""Which signals there are between processes: by Redis, by the database, or none."""

from redis.asyncio import Redis

from tradepost.core.clock import Clock
from tradepost.core.database.engines import Database
from tradepost.core.signals.postgres import postgres_signals
from tradepost.core.signals.redis import redis_signals
from tradepost.core.signals.signals import PollingSignals, Signals
from tradepost.core.signals.sqlite import SqliteSignals


def build_signals(database: Database, clock: Clock, redis: Redis | None) -> Signals:
    """Return the signals between processes: over Redis where there is one, else by the database's own means.

    Through PgBouncer alone there are none: NOTIFY reaches nobody whose connection changes with each transaction.
    """
    if redis is not None:
        return redis_signals(redis, clock)
    if database.is_sqlite:
        return SqliteSignals(database)
    if not database.has_direct_connections:
        return PollingSignals()
    return postgres_signals(database.options.direct_url or database.options.url, clock)
