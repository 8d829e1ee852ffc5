"""Servers that start before their schema is there: it is migrated once, and whoever does not suit it says so."""

import asyncio
from contextlib import ExitStack
from pathlib import Path

from tests.conftest import Template
from tests.faults.test_newer_schema import NEWER, stamp
from tests.flows.live import environment, eventually, join, serving, tradepost
from tradepost.core.database import revisions
from tradepost.instruments import NEW_SCHEMA, OLD_SCHEMA

REPLICAS = 4
STAGING = {
    "ENVIRONMENT": "staging",
    "SECRET_KEY": "a secret of more than thirty-two bytes",
    "FIRST_SUPERUSER_PASSWORD": "Uncommon1",
    "DRAIN_SECONDS": 0,
}


async def test_replicas_that_start_with_their_migrations(template: Template, tmp_path: Path) -> None:
    url = await template.empty()
    env = environment(tmp_path, url, **STAGING)
    with ExitStack() as stack:
        # Servers before the schema is there: alive, not ready, and each says once what helps.
        servers = [stack.enter_context(serving(env)) for _ in range(REPLICAS)]
        for server in servers:
            await server.answers("/livez")
            report = (await server.answers("/readyz", 503)).json()
            assert report["checks"]["database"]["detail"] == OLD_SCHEMA

        async def told() -> bool:
            return all(server.output.count(OLD_SCHEMA) >= 1 for server in servers)

        await eventually(told)
        ended = await asyncio.gather(*(tradepost("migrate", env=env) for _ in range(REPLICAS)))
        assert [done.status for done in ended] == [0] * REPLICAS, [done.output for done in ended]
        said = [done.output.splitlines()[-1] for done in ended]
        assert sorted(said) == [
            *[f"At {revisions.head()} already"] * (REPLICAS - 1),
            f"Migrated to {revisions.head()}",
        ]
        for server in servers:
            await server.ready()


async def test_a_replica_on_a_newer_schema_serves_and_says_so(template: Template, tmp_path: Path) -> None:
    url = await template.copy()
    await stamp(url, tmp_path, NEWER)
    with serving(environment(tmp_path, url, **STAGING)) as server:
        report = (await server.answers("/readyz")).json()
        assert report["checks"]["database"]["detail"] == NEW_SCHEMA

        async def told() -> bool:
            return NEW_SCHEMA in server.output

        await eventually(told)


async def test_a_new_server_does_not_wait_for_the_schema_that_it_makes_itself(tmp_path: Path) -> None:
    with serving(environment(tmp_path, FAULTS_ENABLED="true")) as server:
        await server.ready()
        async with server.client() as client:
            account = await join(client, "ada@example.com")
        async with server.client(account.token) as client:

            async def welcomed() -> bool:
                return bool((await client.get("/notifications/")).json()["notifications"])

            await eventually(welcomed)
        assert server.output == ""
