"""Forms that come in whatever pieces the network makes of them."""

import asyncio
import tracemalloc
from collections.abc import AsyncIterator, Sequence
from random import Random

import pytest
from python_multipart.exceptions import FormParserError

from tradepost.core.errors import TradepostError
from tradepost.web.bodies.multipart import BLOCK, FormLimits, MalformedForm, MultipartForm

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


class OfParserAlone(MultipartForm):
    """A form whose every byte goes through the parser."""

    def _parse(self, chunk: bytes) -> None:
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise MalformedForm from error


async def read(kind: type[MultipartForm], pieces: Sequence[bytes]) -> list[object]:
    """Return the parts of a form and how it ends."""

    async def body() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    found: list[object] = []
    form = kind("multipart/form-data; boundary=b", body(), FormLimits(100, 4))
    try:
        async for part in form.parts():
            content = b"".join([block async for block in part])
            found.append((part.name, part.file_name, content))
    except TradepostError as error:
        found.append(repr(error))
    return found


async def test_what_is_passed_by_the_parser_is_what_it_would_have_found() -> None:
    chance = Random(18)
    bits = (b"\r\n--b", b"\r\n--", b"\r\n", b"\r", b"\n", b"--b", b"--", b"x" * 20)
    ends = (b"\r\n--b--", b"\r\n--b--\r\n", b"\r\n--b \r\n", b"\r\n--b\r\n" + HEAD[5:], TAIL)
    for _ in range(2_000):
        whole = HEAD + b"".join(chance.choices((*bits, *ends), k=chance.randint(0, 12))) + TAIL
        cuts = sorted(chance.choices(range(len(whole)), k=chance.randint(0, 6)))
        pieces = [whole[start:end] for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
        pieces = [piece for piece in pieces if piece]
        assert await read(MultipartForm, pieces) == await read(OfParserAlone, pieces), pieces
