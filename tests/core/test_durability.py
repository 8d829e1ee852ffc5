"""What is on the disk when a call returns: told by the order of the system's own calls."""

import asyncio
import os
import shutil
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import make_url

from tradepost.core.database.engines import Database
from tradepost.core.database.options import DatabaseOptions
from tradepost.core.settings.secret_key import kept_key
from tradepost.core.storage.local import LocalStorage


class Syncs(list[str]):
    """The paths that were synced, in order; ``held`` are waited with until ``release``."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__()
        self.held: set[str] = set()
        self.release = threading.Event()
        real = os.fsync

        def sync(descriptor: int) -> None:
            path = str(Path(f"/proc/self/fd/{descriptor}").readlink())
            if path in self.held:
                assert self.release.wait(10)
            real(descriptor)
            self.append(path)

        monkeypatch.setattr(os, "fsync", sync)


@pytest.fixture
def syncs(monkeypatch: pytest.MonkeyPatch) -> Syncs:
    return Syncs(monkeypatch)


async def block() -> AsyncIterator[bytes]:
    yield b"x"


def test_a_key_is_on_the_disk_before_it_signs_anything(tmp_path: Path, syncs: Syncs) -> None:
    path = tmp_path / "new" / "data" / "secret_key"
    key = kept_key(path)
    assert len(key) >= 64
    draft = syncs.index(next(synced for synced in syncs if ".secret_key." in synced))
    assert str(path.parent) in syncs[draft:], "its name after its bytes"
    assert {str(tmp_path), str(tmp_path / "new")} <= set(syncs), "and the directories that were made for it"
    syncs.clear()
    assert kept_key(path) == key
    assert syncs == [], "a later start costs nothing"


async def test_a_new_database_has_its_directory_on_the_disk(tmp_path: Path, syncs: Syncs) -> None:
    url = make_url(f"sqlite+aiosqlite:///{tmp_path}/data/tradepost.db")
    await Database(DatabaseOptions(url=url)).close()
    assert str(tmp_path) in syncs


async def test_the_directory_of_uploads_is_on_the_disk(tmp_path: Path, syncs: Syncs) -> None:
    storage = LocalStorage(tmp_path / "data" / "uploads")
    await storage.put("aa-key-of-the-storage", block())
    assert {str(tmp_path), str(tmp_path / "data"), str(tmp_path / "data" / "uploads")} <= set(syncs)


async def test_no_file_is_told_safe_before_its_directory_is(tmp_path: Path, syncs: Syncs) -> None:
    storage = LocalStorage(tmp_path)
    await storage.put("zz-key-of-the-storage", block())
    syncs.held.add(str(tmp_path))
    first = asyncio.create_task(storage.put("aa-first-of-the-storage", block()))
    while not (tmp_path / "aa").exists():  # noqa: ASYNC110 - a thread makes it
        await asyncio.sleep(0.01)
    second = asyncio.create_task(storage.put("aa-second-of-the-storage", block()))
    done, _ = await asyncio.wait([first, second], timeout=0.3)
    assert not done, "the directory of both is not on the disk yet"
    syncs.release.set()
    await asyncio.gather(first, second)
    syncs.clear()
    await storage.put("aa-third-of-the-storage", block())
    assert str(tmp_path) not in syncs, "once is enough"


async def test_a_deletion_is_on_the_disk(tmp_path: Path, syncs: Syncs) -> None:
    storage = LocalStorage(tmp_path)
    await storage.put("aa-key-of-the-storage", block())
    syncs.clear()
    await storage.delete("aa-key-of-the-storage")
    assert syncs == [str(tmp_path / "aa")]
    await storage.delete("bb-key-of-the-storage")


async def test_a_directory_that_somebody_removed_is_made_again(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    await storage.put("aa-key-of-the-storage", block())
    shutil.rmtree(tmp_path / "aa")
    await storage.put("aa-key-of-the-storage", block())
    assert await storage.size("aa-key-of-the-storage") == 1
