"""Replicas are replaced one after the other under load, and nobody notices: the small form of the test beside real proxies."""

from pathlib import Path

from tests.flows.balancer import balanced
from tests.flows.rolling import replace_all
from tests.servers import PostgresServer


async def test_no_request_is_lost(postgres: PostgresServer, tmp_path: Path) -> None:
    url = await postgres.create_database("rolling")
    await replace_all(url, tmp_path, balanced, replicas=2, rounds=1)
