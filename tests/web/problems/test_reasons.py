"""Why requests are refused: told to the operator once while it lasts, and never to the client."""

import errno
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fastapi.responses import StreamingResponse
from starlette.responses import Response

from tests.web.apps import caller, new_app, new_router
from tradepost.core.errors import DatabaseUnavailable, Unavailable
from tradepost.core.storage.store import StorageUnavailable
from tradepost.web.problems import handlers

router = new_router()


def broken(error: Exception, number: int) -> Exception:
    error.__cause__ = OSError(number, "the disk says no", "/data/secret-name")
    return error


@router.get("/database")
async def database() -> None:
    raise broken(DatabaseUnavailable(), errno.EIO)


@router.get("/storage")
async def storage() -> None:
    raise broken(StorageUnavailable(), errno.ENODEV)


@router.get("/busy")
async def busy() -> None:
    raise Unavailable


@router.get("/halfway")
async def halfway() -> Response:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"x"
        raise broken(StorageUnavailable(), errno.EIO)

    return StreamingResponse(chunks())


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = []

    class Recorder:
        def warning(self, event: str, **fields: Any) -> None:
            lines.append({"event": event, **fields})

    monkeypatch.setattr(handlers, "_log", Recorder())
    return lines


async def test_a_reason_is_logged_once_while_it_lasts(logged: list[dict[str, Any]]) -> None:
    async with caller(new_app(router)) as client:
        for _ in range(20):
            for path in ("database", "storage", "busy"):
                answer = await client.get(f"/api/v1/{path}")
                assert answer.status_code == 503
                assert "disk" not in answer.text
    assert [(line["error_code"], line["reason"].partition(" the")[0]) for line in logged] == [
        ("DATABASE_ERROR", f"OSError: [Errno {errno.EIO}]"),
        ("STORAGE_UNAVAILABLE", f"OSError: [Errno {errno.ENODEV}]"),
    ]


async def test_an_answer_that_breaks_off_tells_its_reason_once_too(logged: list[dict[str, Any]]) -> None:
    async with caller(new_app(router)) as client:
        for _ in range(5):
            # The transport complains of an answer that is left unfinished, as a client would.
            with pytest.raises(AssertionError):
                await client.get("/api/v1/halfway")
    assert len(logged) == 1
    assert f"Errno {errno.EIO}" in logged[0]["reason"]
