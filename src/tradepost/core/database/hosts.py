"""Several hosts of one PostgreSQL, a primary and its standbys: each is tried by itself, the one that was right last first.

The driver tries hosts, too, but within one limit for them all: a machine that has died answers nothing, and would use it up.
"""

from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import asyncpg
from asyncpg.connect_utils import SessionAttribute
from asyncpg.exceptions import TargetServerAttributeNotMatched

from tradepost.core.database.postgres_connection import NO_CONNECTION, PostgresConnection

CONNECT_TIMEOUT: Final = 5.0
"""Seconds to wait for PostgreSQL to accept a connection, with all hosts together."""

Address = tuple[str | None, int | None]


class Hosts:
    """Connects to that of several hosts which is wanted (``target_session_attrs``)."""

    def __init__(self) -> None:
        self._right: Address | None = None

    async def connect(self, arguments: dict[str, Any]) -> PostgresConnection:
        """Connect by the ``arguments`` of ``asyncpg.connect``, where ``host`` and ``port`` may be lists.

        Raises what the driver does; where hosts answered that are not what is wanted, this is what it tells.
        """
        addresses = _addresses(arguments.pop("host", None), arguments.pop("port", None))
        wanted = _wanted(arguments.get("dsn"))
        if len(addresses) == 1:
            return await self._try(addresses[0], arguments, wanted, CONNECT_TIMEOUT)
        addresses.sort(key=lambda address: address != self._right)
        # One after the other, as the driver would: those that are wanted, then whoever is there.
        prefers = wanted is SessionAttribute.prefer_standby
        rounds = (SessionAttribute.standby, SessionAttribute.any) if prefers else (wanted,)
        turns = [(address, attribute) for attribute in rounds for address in addresses]
        failures: list[Exception] = []
        for address, attribute in turns:
            try:
                connection = await self._try(address, arguments, attribute, CONNECT_TIMEOUT / len(turns))
            except NO_CONNECTION as error:
                failures.append(error)
            else:
                self._right = address
                return connection
        raise max(failures, key=lambda error: isinstance(error, TargetServerAttributeNotMatched))

    async def _try(
        self, address: Address, arguments: dict[str, Any], wanted: SessionAttribute, patience: float
    ) -> PostgresConnection:
        host, port = address
        connection: PostgresConnection = await asyncpg.connect(
            host=host,
            port=port,
            **arguments | {"timeout": patience, "target_session_attrs": wanted},
            connection_class=PostgresConnection,
        )
        return connection


def _addresses(hosts: Any, ports: Any) -> list[Address]:
    """Pair hosts and ports as SQLAlchemy hands them over: one of each, or as many of the one as of the other."""
    return list(zip(hosts, ports, strict=True)) if isinstance(hosts, (list, tuple)) else [(hosts, ports)]


def _wanted(dsn: str | None) -> SessionAttribute:
    given = parse_qs(urlsplit(dsn or "").query).get("target_session_attrs", ["any"])
    return SessionAttribute(given[-1])
