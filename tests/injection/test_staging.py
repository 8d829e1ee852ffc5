"""Outside ``local`` few may make faults, and what they do is in the audit trail."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Final

import pytest
import pytest_asyncio

from tests.accounts.test_api_keys import new_key
from tests.conftest import Person, World, world_on
from tests.injection.test_rights import FAULTS, layers
from tradepost.cli.serve import server_options
from tradepost.injection.injector import Injector
from tradepost.injection.models import NamedFault
from tradepost.injection.repository import FaultRepository
from tradepost.web.cuttable_protocol import CuttableHttpProtocol
from tradepost.web.middleware.faults import Faults

STAGING: Final = {"ENVIRONMENT": "staging", "FAULTS_ENABLED": True, "FIRST_SUPERUSER_PASSWORD": "Uncommon1"}


@pytest_asyncio.fixture(scope="module")
async def module_world(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with world_on(database_url, tmp_path_factory.mktemp("data"), **STAGING) as world:
        yield world


async def test_who_may(world: World, admin: Person, moderator: Person) -> None:
    assert Faults.__name__ in list(layers(world.app))
    options = server_options("127.0.0.1", 0, 1, world.resources.settings)
    assert options["http"].endswith(f":{CuttableHttpProtocol.__name__}")
    plain, for_load = [(await new_key(admin, load_test=is_for_load))["key"] for is_for_load in (False, True)]
    for_reading = await new_key(admin, permissions=["read:items"])
    async with (
        world.caller() as stranger,
        world.caller(**{"X-API-Key": for_load}) as load_test,
        world.caller(**{"X-API-Key": for_reading["key"]}) as reader,
        world.caller(**{"X-API-Key": "tp_wrong_wrong"}) as nobody,
    ):
        for api, status in (
            (stranger, 401),
            (nobody, 401),
            (moderator.api, 403),
            (reader, 403),
            (admin.api, 200),
            (load_test, 200),
        ):
            assert (await api.get(FAULTS)).status_code == status
            assert (await api.get(f"{FAULTS}/log")).status_code == status
            put = await api.put(FAULTS, json={"name": "n", "faults": "delay=1ms"})
            assert put.status_code == status
            assert (await api.delete(f"{FAULTS}/n")).status_code == status
            struck = await api.get("/api/v1/tags/", headers={"X-Fault": "status=418"})
            assert struck.status_code == (418 if status == 200 else status)
            assert (await api.delete(FAULTS)).status_code == status
    assert plain


async def test_what_was_done_is_in_the_audit_trail(admin: Person) -> None:
    await admin.api.put(FAULTS, json={"name": "n", "faults": "delay=1ms;seed=1"})
    await admin.api.delete(FAULTS)
    lines = (await admin.api.get("/api/v1/audit")).json()["lines"]
    assert [(line["actor_id"], line["action"]) for line in lines if line["target_type"] == "fault"] == [
        (admin.id, "fault.deleted"),
        (admin.id, "fault.put"),
    ]
    (put,) = [line for line in lines if line["action"] == "fault.put"]
    assert put["details"]["faults"] == "delay=1ms;seed=1"


async def test_not_more_than_a_hundred_have_names(admin: Person) -> None:
    for number in range(100):
        put = await admin.api.put(FAULTS, json={"name": f"n{number}", "faults": "delay=0ms", "path": "/x"})
        assert put.status_code == 200
    refused = await admin.api.put(FAULTS, json={"name": "more", "faults": "delay=0ms"})
    assert refused.status_code == 400
    assert refused.json()["error_code"] == "TOO_MANY_FAULTS"
    # Of many that come at once for the one place left, one gets it.
    assert (await admin.api.delete(f"{FAULTS}/n0")).status_code == 200
    at_once = [
        admin.api.put(FAULTS, json={"name": f"late{number}", "faults": "delay=0ms", "path": "/x"})
        for number in range(5)
    ]
    assert sorted([put.status_code for put in await asyncio.gather(*at_once)]) == [200, 400, 400, 400, 400]
    # One that is there is replaced all the same.
    assert (await admin.api.put(FAULTS, json={"name": "n7", "faults": "drop"})).status_code == 200
    assert (await admin.api.delete(FAULTS)).status_code == 200


async def test_the_document_tells_of_it(world: World) -> None:
    document = world.app.openapi()
    assert set(document["paths"][FAULTS]) == {"get", "put", "delete"}
    assert "faults" in {tag["name"] for tag in document["tags"]}


async def test_what_is_put_while_the_table_is_read_stays(
    world: World, admin: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    injector = world.resources[Injector]
    find_all = FaultRepository.find_all

    async def slow(faults: FaultRepository) -> Sequence[NamedFault]:
        monkeypatch.setattr(FaultRepository, "find_all", find_all)
        rows = await find_all(faults)
        # In a task of its own, as of somebody else: this one has a connection.
        putting = admin.api.put(FAULTS, json={"name": "meanwhile", "faults": "status=418", "path": "/x"})
        (put,) = await asyncio.gather(putting)
        assert put.status_code == 200
        return rows

    monkeypatch.setattr(FaultRepository, "find_all", slow)
    await asyncio.gather(injector.read(), injector.read())
    assert [rule.row.name for rule in injector._rules] == ["meanwhile"]
    assert (await admin.api.delete(FAULTS)).status_code == 200
