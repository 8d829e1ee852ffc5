"""Fingerprints of streamed bodies: of a form its parts count, however they are cut and bordered."""

import pytest

from tradepost.web.bodies.fingerprints import WatchedBody


def form(boundary: str, *parts: tuple[str, bytes]) -> bytes:
    return (
        b"".join(
            b"--%s\r\nContent-Disposition: form-data; %s\r\n\r\n%s\r\n"
            % (boundary.encode(), head.encode(), data)
            for head, data in parts
        )
        + b"--%s--\r\n" % boundary.encode()
    )


async def digest(body: bytes, content_type: str, size: int = 1 << 16) -> bytes | None:
    chunks = [body[at : at + size] for at in range(0, len(body), size)] or [b""]

    async def receive() -> dict[str, object]:
        chunk = chunks.pop(0)
        return {"type": "http.request", "body": chunk, "more_body": bool(chunks)}

    watched = WatchedBody(receive, content_type.encode())
    while (await watched.receive())["more_body"]:
        assert watched.digest() is None
    return watched.digest()


def multipart(boundary: str) -> str:
    return f"multipart/form-data; boundary={boundary}"


FILE = ('name="file"; filename="a.png"', b"bytes of it")


@pytest.mark.parametrize("size", [1, 7, 1 << 16])
async def test_the_border_does_not_count(size: int) -> None:
    plain = await digest(form("x", FILE), multipart("x"))
    assert await digest(form("another", FILE), multipart("another"), size) == plain


@pytest.mark.parametrize(
    "parts",
    [
        [('name="file"; filename="b.png"', FILE[1])],
        [('name="other"; filename="a.png"', FILE[1])],
        [(f"{FILE[0]}\r\nContent-Type: image/gif", FILE[1])],
        [(FILE[0], b"other bytes")],
        [FILE, FILE],
        [('name="quality"', b"1"), FILE],
        [],
    ],
)
async def test_everything_else_does(parts: list[tuple[str, bytes]]) -> None:
    assert await digest(form("x", *parts), multipart("x")) != await digest(form("x", FILE), multipart("x"))


async def test_the_order_of_parts_counts() -> None:
    other = ('name="quality"', b"1")
    assert await digest(form("x", FILE, other), multipart("x")) != await digest(
        form("x", other, FILE), multipart("x")
    )


@pytest.mark.parametrize("kind", ["application/x-ndjson", "multipart/form-data", ""])
async def test_of_another_body_all_bytes_count(kind: str) -> None:
    assert await digest(b"abc", kind, 1) == await digest(b"abc", kind) != await digest(b"abd", kind)


async def test_a_broken_form_is_told_from_another() -> None:
    assert await digest(b"no form", multipart("x")) != await digest(b"no farm", multipart("x"))
