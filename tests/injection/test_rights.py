"""Where faults are off there is nothing of them; where they are on, they reach every process."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.conftest import Person, World
from tests.flows.live import environment, eventually, serving, workers_of
from tradepost.cli.serve import server_options
from tradepost.core.clock import SkewedClock
from tradepost.core.settings.faults import SettingsError
from tradepost.core.settings.settings import Settings
from tradepost.core.storage.store import Storage
from tradepost.injection.injector import Injector
from tradepost.injection.storage import UnreliableStorage
from tradepost.web.middleware.faults import Faults
from tradepost.web.protocol import BoundedHttpProtocol

FAULTS: Final = "/api/v1/admin/faults"


def layers(app: Any) -> Iterator[str]:
    """Yield the names of an application's layers, outermost first."""
    here = app.middleware_stack
    while here is not None:
        yield type(here).__name__
        here = getattr(here, "app", None)


class TestOff:
    async def test_the_code_is_not_in_the_path(self, world: World) -> None:
        assert Faults.__name__ not in list(layers(world.app))
        assert not isinstance(world.resources.clock, SkewedClock)
        assert not isinstance(world.resources[Storage], UnreliableStorage)
        with pytest.raises(KeyError):
            world.resources[Injector]
        options = server_options("127.0.0.1", 0, 1, world.resources.settings)
        assert options["http"].endswith(f":{BoundedHttpProtocol.__name__}")

    async def test_nothing_is_served_and_no_header_is_read(self, admin: Person, world: World) -> None:
        for method, path in (("GET", ""), ("PUT", ""), ("DELETE", ""), ("GET", "/log"), ("DELETE", "/x")):
            assert (await admin.api.request(method, FAULTS + path)).status_code == 404
        answer = await admin.api.get("/api/v1/items/", headers={"X-Fault": "status=500"})
        assert answer.status_code == 200
        assert (await admin.api.get("/api/v1/items/", headers={"X-Fault": "nonsense"})).status_code == 200
        assert not [path for path in world.app.openapi()["paths"] if "faults" in path]

    def test_production_refuses_it(self) -> None:
        safe = {"SECRET_KEY": "k" * 40, "FIRST_SUPERUSER_PASSWORD": "Uncommon1", "FAULTS_ENABLED": True}
        with pytest.raises(SettingsError, match="FAULTS_ENABLED: may not be true in production"):
            Settings(ENVIRONMENT="production", **safe)
        assert Settings(ENVIRONMENT="staging", **safe).FAULTS_ENABLED


async def test_named_faults_reach_every_process_or_one(database_url: str, tmp_path: Path) -> None:
    env = environment(tmp_path, database_url, FAULTS_ENABLED="true")
    with serving(env, "--workers", "2") as server:
        await server.ready()
        async with workers_of(server, 2) as workers:
            first, second = workers
            names = [(await each.request("GET", "admin/faults")).json()["replica"] for each in workers]
            assert names[0] != names[1]
            assert {name.partition(":")[0] for name in names} == {os.uname().nodename}

            async def both(expected: list[int]) -> None:
                async def so() -> bool:
                    return [(await each.request("GET", "items/")).status_code for each in workers] == expected

                await eventually(so)

            await first.request("PUT", "admin/faults", json={"name": "a", "faults": "status=500"})
            # In the process that took it at once, in the other one soon.
            assert (await first.request("GET", "items/")).status_code == 500
            await both([500, 500])
            await second.request(
                "PUT", "admin/faults", json={"name": "a", "faults": "status=500", "replica": names[0]}
            )
            assert (await second.request("GET", "items/")).status_code == 200
            await both([500, 200])

            async def logged() -> bool:
                page = (await second.request("GET", "admin/faults/log")).json()
                return {line["replica"] for line in page["faults"]} == set(names)

            # Either shows what both did.
            await eventually(logged)
            await second.request("DELETE", "admin/faults")
            await both([200, 200])
