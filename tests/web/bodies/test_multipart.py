"""Forms that come in whatever pieces the network makes of them."""

import asyncio
import tracemalloc
from collections.abc import AsyncIterator

import pytest

from tradepost.web.bodies.multipart import BLOCK, FormLimits, MultipartForm

HEAD = b'--b\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\n'
TAIL = b"\r\n--b--\r\n"


async def blocks_of(content: bytes, *, size: int) -> list[bytes]:
    """Return the blocks of a file that comes in pieces of ``size`` bytes."""
    whole = HEAD + content + TAIL

    async def body() -> AsyncIterator[bytes]:
        for at in range(0, len(whole), size):
            yield whole[at : at + size]

    form = MultipartForm("multipart/form-data; boundary=b", body(), FormLimits(10 * BLOCK, 1))
    return [block async for part in form.parts() async for block in part]


@pytest.mark.parametrize("length", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK])
@pytest.mark.parametrize("size", [7, 100, 65_536])
async def test_what_comes_is_what_was_sent(length: int, size: int) -> None:
    content = (b"\r\n-a\r\n--" * (length // 8 + 1))[:length]
    blocks = await blocks_of(content, size=size)
    assert b"".join(blocks) == content
    assert all(len(block) >= BLOCK for block in blocks[:-1])
    assert all(blocks)


def test_small_pieces_take_little_more_memory_than_what_is_in_them() -> None:
    content = b"a" * 60_000
    tracemalloc.start()
    try:
        assert asyncio.run(blocks_of(content, size=2)) == [content]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 * len(content)
