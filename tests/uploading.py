"""What the tests of uploads do again and again: make files, send them, and look at what is left of them."""

import zlib
from struct import pack
from typing import Any

import httpx
from sqlalchemy import func, select

from tests.conftest import Person, World
from tests.servers import S3Server
from tradepost.core.messaging.dispatcher import Dispatcher
from tradepost.core.storage.store import Storage
from tradepost.media.models import FileUsage, StoredFile

AVATAR = "/api/v1/upload/avatar/"
FILES = "/api/v1/upload/files"
USAGE = "/api/v1/upload/usage"


def _png_chunk(kind: bytes, data: bytes) -> bytes:
    return pack(">I", len(data)) + kind + data + pack(">I", zlib.crc32(kind + data))


def png(width: int = 4, height: int = 3, shade: int = 200) -> bytes:
    """Return a grey picture."""
    rows = b"".join(b"\x00" + bytes([shade]) * width for _ in range(height))
    head = pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"".join(
        (
            b"\x89PNG\r\n\x1a\n",
            _png_chunk(b"IHDR", head),
            _png_chunk(b"IDAT", zlib.compress(rows)),
            _png_chunk(b"IEND", b""),
        )
    )


def pdf(size: int = 100) -> bytes:
    """Return what begins and ends like a PDF, of about this size."""
    return b"%PDF-1.7\n" + b"1 0 obj\n" * (size // 8) + b"%%EOF\n"


async def show(person: Person, data: bytes | None = None, name: str = "me.png") -> dict[str, Any]:
    """Upload an avatar and return what was answered."""
    answer = await person.api.post(AVATAR, files={"file": (name, png() if data is None else data)})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def rows(world: World) -> list[tuple[str, str]]:
    """Return name and state of every file that has a row."""
    async with world.database.read() as db:
        found = await db.execute(select(StoredFile.name, StoredFile.state).order_by(StoredFile.id))
        return [(name, str(state)) for name, state in found]


async def usage(world: World, owner_id: int) -> tuple[int, int]:
    """Return files and bytes that are counted for a person."""
    async with world.database.read() as db:
        found = await db.execute(
            select(func.sum(FileUsage.files), func.sum(FileUsage.bytes)).where(FileUsage.owner_id == owner_id)
        )
        files, size = found.one()
        return int(files or 0), int(size or 0)


def kept(world: World) -> list[str]:
    """Return the names of everything in the storage, parts of files that were not finished too."""
    settings = world.resources.settings
    if settings.USE_S3:
        return S3Server(str(settings.AWS_ENDPOINT_URL).rstrip("/")).names(str(settings.AWS_S3_BUCKET_NAME))
    return sorted(path.name for path in settings.UPLOAD_DIR.rglob("*") if path.is_file())


async def nothing_left(world: World) -> bool:
    """Deliver what is due, and tell whether neither a row nor a byte is left of any file."""
    await world.resources[Dispatcher].drain()
    return await rows(world) == [] and kept(world) == []


def storage_of(world: World) -> Storage:
    """Return where the application keeps bytes."""
    return world.resources[Storage]


def code(answer: httpx.Response) -> tuple[int, str]:
    """Return the status and the error's code."""
    return answer.status_code, answer.json()["error_code"]


async def send(person: Person, item: dict[str, Any], *contents: bytes, to: str = "images") -> httpx.Response:
    """Upload files to an item."""
    path = f"/api/v1/upload/items/{item['id']}/{to}/"
    if not contents:
        boundary = {"Content-Type": "multipart/form-data; boundary=b"}
        return await person.api.post(path, content=b"--b--\r\n", headers=boundary)
    files = [("files", (f"file{number}", content)) for number, content in enumerate(contents)]
    return await person.api.post(path, files=files)
