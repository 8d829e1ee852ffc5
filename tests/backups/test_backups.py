"""A backup is whole whatever goes on meanwhile, and put back anywhere: database, files, and the key that signs."""

import asyncio
import json
import stat
import zipfile
from pathlib import Path

import pytest

from tests.flows.command_line import called
from tests.flows.live import LiveServer, environment, join, serving
from tests.media.gallery import drawing, file_of
from tradepost.backups import archive
from tradepost.backups.archive import BackupFailed

AVATAR = file_of(drawing(8, 8), "PNG")


async def filled(server: LiveServer) -> tuple[str, list[str]]:
    """Make a person with an item and two documents; return the token and where the documents are."""
    async with server.client() as client:
        account = await join(client, "ada@example.com")
    async with server.client(account.token) as client:
        item = (await client.post("/items/", json={"title": "Lamp", "price": 1})).json()["id"]
        files = [("files", (f"{n}.txt", b"brass %d" % n, "text/plain")) for n in range(2)]
        answer = await client.post(f"/upload/items/{item}/documents/", files=files)
        return account.token, [file["url"] for file in answer.json()["uploaded_files"]]


async def test_what_was_kept_is_served_elsewhere_to_those_who_were_logged_in(tmp_path: Path) -> None:
    file = tmp_path / "kept.zip"
    here, there = environment(tmp_path / "here"), environment(tmp_path / "there")
    with serving(here) as server:
        await server.ready()
        token, urls = await filled(server)
        made = await called("backup", str(file), env=here)
        assert made.status == 0, made.output
        assert "with 2 files" in made.output
        refused = await called("restore", str(file), "--replace", env=here)
        assert (refused.status, "stop it first" in refused.output) == (1, True)
        assert server.running
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    restored = await called("restore", str(file), env=there)
    assert restored.status == 0, restored.output
    with serving(there) as server:
        await server.ready()
        async with server.client(token) as client:
            assert (await client.get("/users/me")).json()["email"] == "ada@example.com"
            contents = {(await client.get(server.url + url)).content for url in urls}
            assert contents == {b"brass 0", b"brass 1"}
            # And it goes on from there.
            assert (await client.post("/items/", json={"title": "Vase", "price": 1})).status_code == 201


async def test_it_is_whole_while_files_come_and_go(tmp_path: Path) -> None:
    env = environment(tmp_path / "data")
    with serving(env) as server:
        await server.ready()
        token, _ = await filled(server)
        ended = asyncio.Event()

        async def upload_and_delete() -> None:
            async with server.client(token) as client:
                while not ended.is_set():
                    answer = await client.post(
                        "/upload/avatar/", files={"file": ("a.png", AVATAR, "image/png")}
                    )
                    assert answer.status_code == 200

        async with asyncio.TaskGroup() as tasks:
            for _ in range(2):
                tasks.create_task(upload_and_delete())
            for number in range(4):
                file = tmp_path / f"{number}.zip"
                made = await called("backup", str(file), env=env)
                assert made.status == 0, made.output
                assert "no bytes" not in made.output
                checked = await called("restore", "--check", str(file), env=env)
                assert checked.status == 0, checked.output
            ended.set()


@pytest.fixture
async def kept(tmp_path: Path) -> Path:
    env = environment(tmp_path / "data")
    assert (await called("migrate", env=env)).status == 0
    assert (await called("backup", str(tmp_path / "kept.zip"), env=env)).status == 0
    return tmp_path / "kept.zip"


async def test_nothing_is_overwritten_unasked(kept: Path, tmp_path: Path) -> None:
    env = environment(tmp_path / "data")
    again = await called("backup", str(kept), env=env)
    assert (again.status, "exists already" in again.output) == (1, True)
    before = (tmp_path / "data/tradepost.db").read_bytes()
    refused = await called("restore", str(kept), env=env)
    assert (refused.status, "--replace" in refused.output) == (1, True)
    assert (tmp_path / "data/tradepost.db").read_bytes() == before
    assert (await called("restore", str(kept), "--replace", env=env)).status == 0


@pytest.mark.parametrize("fault", ["cut", "flipped", "foreign", "missing", "outside", "format"])
async def test_a_damaged_archive_changes_nothing(kept: Path, tmp_path: Path, fault: str) -> None:
    damaged = tmp_path / "damaged.zip"
    _damage(kept, damaged, fault)
    env = environment(tmp_path / "elsewhere")
    for arguments in (["--check"], []):
        refused = await called("restore", *arguments, str(damaged), env=env)
        assert refused.status == 1, refused.output
        assert "Traceback" not in refused.output
    assert [path.name for path in (tmp_path / "elsewhere").glob("**/*")] == ["tradepost.db.lock"]


def _damage(kept: Path, damaged: Path, fault: str) -> None:
    content = bytearray(kept.read_bytes())
    match fault:
        case "cut":
            damaged.write_bytes(content[: len(content) // 2])
        case "flipped":
            content[len(content) // 3] ^= 1
            damaged.write_bytes(content)
        case "foreign":
            with zipfile.ZipFile(damaged, "w") as archive_:
                archive_.writestr("notes.txt", "brass")
        case _:
            with zipfile.ZipFile(kept) as source, zipfile.ZipFile(damaged, "w") as target:
                manifest = json.loads(source.read("manifest.json"))
                members = {name: source.read(name) for name in source.namelist() if name != "manifest.json"}
                if fault == "missing":
                    del members["tradepost.db"]
                if fault == "outside":
                    members["uploads/../../../x"] = b""
                    manifest["members"]["uploads/../../../x"] = {"size": 0, "sha256": ""}
                if fault == "format":
                    manifest["format"] = 99
                for name, data in members.items():
                    target.writestr(name, data)
                target.writestr("manifest.json", json.dumps(manifest))


def test_what_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    places = archive.Places(tmp_path / "none.db", tmp_path / "uploads", None)
    with pytest.raises(BackupFailed, match="no database"):
        archive.write(tmp_path / "kept.zip", places, version="1", made_at="now")
    assert list(tmp_path.iterdir()) == []


async def test_postgresql_is_told_to_use_its_own(tmp_path: Path) -> None:
    env = environment(tmp_path, "postgresql://a@localhost/b")
    refused = await called("backup", str(tmp_path / "kept.zip"), env=env)
    assert (refused.status, "pg_dump" in refused.output) == (1, True)
