"""What is shown of a process: the checks behind ``/readyz``, and the gauges of ``/metrics`` that are read from its resources."""

from functools import partial
from platform import python_version
from typing import Final

from tradepost.accounts.passwords import PasswordHasher
from tradepost.core.batching.bulkhead import Bulkhead
from tradepost.core.database import revisions
from tradepost.core.database.engines import Database
from tradepost.core.database.replica import BEHIND, Replica
from tradepost.core.database.standbys import is_read_only
from tradepost.core.observability.metrics import Metrics
from tradepost.core.resources import Resources
from tradepost.core.signals.choice import RedisClient
from tradepost.core.storage.store import Storage
from tradepost.injection.troubles import Troubles
from tradepost.items.bulk import BulkItems
from tradepost.items.export import ItemExport
from tradepost.media.intake import FileIntake
from tradepost.media.store_check import check_store
from tradepost.media.studio import PictureStudio
from tradepost.notifications.inbox.streams import InboxStreams
from tradepost.web.overload.door import Door
from tradepost.web.readiness import NotReadyError, Readiness

OLD_SCHEMA: Final = (
    "the database's schema is older than this version's; bring it up to date with: tradepost migrate"
)
NEW_SCHEMA: Final = "a newer version has migrated the database; replace this one by it when that suits"
STANDBY: Final = (
    "the database is a standby, or read-only: it answers reads and refuses writes; promote it, or put the primary "
    "into DATABASE_URL (several hosts may be named: postgresql://user@one,two/name)"
)


class SchemaSeen:
    """The revision of the database's schema, as it was last seen."""

    revision: str | None = None


def add_probes(readiness: Readiness, resources: Resources) -> None:
    """Tell ``/readyz`` what to look at: without the database nothing works, without the others most things do."""
    schema = resources[SchemaSeen]
    readiness.add("database", lambda: _check_database(resources.database, schema))
    readiness.add("writes", lambda: _check_room(resources.database), required=False)
    readiness.add("storage", lambda: _check_storage(resources), required=False)
    if (replica := resources.find(Replica)) is not None:
        readiness.add("replica", lambda: _check_replica(replica), required=False)
    if resources.settings.REDIS_URL is not None:
        readiness.add("redis", lambda: _check_redis(resources[RedisClient]), required=False)
    if resources.settings.FAULTS_ENABLED:
        readiness.add("faults", resources[Troubles].check)


async def _check_room(database: Database) -> str | None:
    # Not required: what only reads is answered as ever, also where all replicas share the full disk.
    if database.room.is_lacking:
        raise NotReadyError("the database has no room left for what is written")
    return None


async def _check_database(database: Database, schema: "SchemaSeen") -> str | None:
    revision = await revisions.current(database)
    schema.revision = revision
    if not revisions.suits(revision):
        raise NotReadyError(OLD_SCHEMA)
    if await is_read_only(database):
        raise NotReadyError(STANDBY)
    return NEW_SCHEMA if revisions.is_newer(revision) else None


async def _check_storage(resources: Resources) -> str | None:
    await check_store(resources.database, resources[Storage])
    return None


async def _check_replica(replica: Replica) -> str | None:
    if not replica.is_good:
        raise NotReadyError(f"the primary answers instead: {replica.trouble or BEHIND}")
    return None


async def _check_redis(redis: RedisClient) -> str | None:
    await redis.ping()
    return None


def add_gauges(metrics: Metrics, resources: Resources) -> None:
    """Show what every process has: connections, places, and what runs here."""
    settings = resources.settings
    metrics.show_build(version=settings.VERSION, schema=revisions.head() or "none", python=python_version())
    schema = resources[SchemaSeen]
    metrics.add_gauge(
        "schema_revision",
        "The revision of the database's schema, as it was last seen; 0 before",
        lambda: _number(schema.revision),
        mode="livemax",
    )
    metrics.add_gauge(
        "schema_revision_wanted",
        "The revision of the schema that this version was made for",
        lambda: _number(revisions.head()),
        mode="livemax",
    )
    _add_connections(metrics, resources.database)
    for name, bulkhead in _bulkheads(resources).items():
        for reading, text in (
            ("held", "Places in use for"),
            ("waiting", "Requests that wait for a place for"),
            ("refused", "Requests that were refused for lack of a place, since the start, for"),
        ):
            metrics.add_gauge(f"{name}_{reading}", f"{text} {name}", partial(getattr, bulkhead, reading))


def _bulkheads(resources: Resources) -> dict[str, Bulkhead]:
    return {
        "hashes": resources[PasswordHasher].places,
        "pictures": resources[PictureStudio].places,
        "uploads": resources[FileIntake].calls,
    }


def _add_connections(metrics: Metrics, database: Database) -> None:
    """Show the use of the database's connections."""
    if database.is_sqlite:
        gates = {"read": database.read_gate, "write": database.write_gate}
    else:
        gates = {"pool": database.write_gate}
    for name, gate in gates.items():
        gate.observe = metrics.pool_observer(name)
        for reading, text in (
            ("size", "Connections there are"),
            ("held", "Connections in use"),
            ("waiting", "Requests that wait for a connection"),
        ):
            metrics.add_gauge(f"database_{name}_{reading}", text, partial(getattr, gate, reading))


def add_server_gauges(metrics: Metrics, resources: Resources, readiness: Readiness) -> None:
    """Show what a server has besides: streams, bulks and exports, what it depends on, and whether it ends."""
    metrics.add_gauge(
        "draining", "Whether this process has been told to end", lambda: readiness.draining, mode="livemax"
    )
    if (replica := resources.find(Replica)) is not None:
        metrics.add_gauge(
            "replica_lag_seconds",
            "By how much the standby was behind at the last look, NaN where that is not known",
            lambda: float("nan") if replica.lag is None else replica.lag,
            mode="livemax",
        )
    metrics.add_gauges(
        "dependency_up",
        "Whether a part answered well when /readyz last looked; of all workers the worst",
        "dependency",
        lambda: readiness.last,
        mode="livemin",
    )
    metrics.add_gauge(
        "notification_streams", "Open streams of notifications", lambda: resources[InboxStreams].open
    )
    bulk, exports = resources[BulkItems], resources[ItemExport]
    metrics.add_gauge("bulk_lines", "Lines of bulks that were written since the start", lambda: bulk.lines)
    metrics.add_gauge("exported_items", "Items that exports wrote since the start", lambda: exports.items)
    metrics.add_gauge("exports", "Exports under way", lambda: exports.running)


def show_door(metrics: Metrics, door: Door) -> None:
    """Show how overload control stands."""
    control = door.control
    for name, text, reading, mode in (
        ("level", "Classes of requests that are served, 5 for all", lambda: control.level, "livemin"),
        ("ceiling", "Requests that may be under way", lambda: control.ceiling, "livesum"),
        ("under_way", "Requests under way that wait for the server", lambda: control.busy, "livesum"),
    ):
        metrics.add_gauge(f"overload_{name}", text, reading, mode=mode)
    for kind in door.waits:
        metrics.add_gauge(
            f"overload_{kind}_wait_seconds",
            f"The smallest wait for a {kind} lately, where it is longest",
            partial(door.wait, kind),
            mode="livemax",
        )


def _number(revision: str | None) -> int:
    return int(revision) if revision is not None and revision.isdigit() else 0
