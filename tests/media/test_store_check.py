"""Replicas that keep files each on a disk of its own: `/readyz` says so, and what is there is served."""

from pathlib import Path

import httpx
import pytest

from tests.conftest import Person, World, world_on
from tests.items.market import sell
from tests.uploading import png, send, storage_of
from tradepost.core.storage.local import LocalStorage
from tradepost.media.store_check import ANOTHER, check_store
from tradepost.web.readiness import NotReadyError


async def storage_check(client: httpx.AsyncClient) -> dict[str, object]:
    report = await client.get("/readyz")
    assert report.status_code == 200, report.text
    found: dict[str, object] = report.json()["checks"]["storage"]
    return found


async def test_a_replica_says_that_its_storage_is_another(
    world: World, client: httpx.AsyncClient, alice: Person, tmp_path: Path
) -> None:
    assert (await storage_check(client))["status"] == "ok"  # no file yet
    (await send(alice, await sell(alice), png())).raise_for_status()
    assert (await storage_check(client))["status"] == "ok"
    async with world_on(world.url, tmp_path / "other") as other, other.caller() as stranger:
        found = await storage_check(stranger)
        assert (found["status"], found["required"], found["detail"]) == ("failed", False, ANOTHER)
    # Its own storage is well, as before.
    await check_store(world.database, storage_of(world))


async def test_a_file_that_is_deleted_while_it_is_looked_for_is_not_missed(
    world: World, alice: Person, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = await send(alice, await sell(alice), png())
    elsewhere = LocalStorage(tmp_path / "elsewhere")
    size = elsewhere.size

    async def deleted_meanwhile(key: str) -> int | None:
        (await alice.api.delete(sent.json()["uploaded_files"][0]["url"])).raise_for_status()
        return await size(key)

    with pytest.raises(NotReadyError):
        await check_store(world.database, elsewhere)
    monkeypatch.setattr(elsewhere, "size", deleted_meanwhile)
    await check_store(world.database, elsewhere)
    await elsewhere.close()
