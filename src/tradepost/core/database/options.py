"""How to reach a database."""

from dataclasses import dataclass

from sqlalchemy import URL


@dataclass(frozen=True)
class DatabaseOptions:
    """How to reach a database and how patient to be; all times in seconds."""

    url: URL
    pool_size: int = 8
    pool_timeout: float = 5.0
    pool_recycle: float = 300.0
    pre_ping: bool = True
    statement_timeout: float = 10.0
