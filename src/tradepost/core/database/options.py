"""How to reach a database."""

from dataclasses import dataclass

from sqlalchemy import URL


@dataclass(frozen=True)
class DatabaseOptions:
    """How to reach a database and how patient to be; all times in seconds.

    ``via_pgbouncer``: ``url`` leads to a PgBouncer that gives each transaction a connection of its choice. ``direct_url`` leads
    past it, for what belongs to a connection (LISTEN, the migrators' lock); None where there is no such way.
    """

    url: URL
    pool_size: int = 8
    pool_timeout: float = 5.0
    pool_recycle: float = 300.0
    pre_ping: bool = True
    statement_timeout: float = 10.0
    via_pgbouncer: bool = False
    direct_url: URL | None = None
