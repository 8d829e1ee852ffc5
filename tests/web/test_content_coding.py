"""Which content coding a client takes (RFC 9110, section 12.5.3)."""

import gzip

import brotli  # type: ignore[import-untyped]
import httpx
import pytest
import zstandard

from tradepost.web.answers.content_coding import CODINGS, accepted_coding


@pytest.mark.parametrize(
    ("header", "coding"),
    [
        ("", "identity"),
        ("gzip", "gzip"),
        ("gzip, deflate, br, zstd", "br"),
        ("gzip;q=0", "identity"),
        ("gzip;q=0, *", "br"),
        ("GZIP ; Q=0.5", "gzip"),
        ("br;q=0.1, gzip;q=0.9", "gzip"),
        ("*;q=0", "identity"),
        ("identity;q=1, gzip;q=0.5", "identity"),
        ("identity;q=0, gzip;q=0.5", "gzip"),
        ("zstd", "zstd"),
        ("deflate", "identity"),
        ("gzip;q=nonsense", "identity"),
        ("gzip;q=nan", "identity"),
        ("gzip;q=7", "identity"),
        (",;,gzip", "gzip"),
    ],
)
def test_what_a_client_takes(header: str, coding: str) -> None:
    assert accepted_coding(header, tuple(CODINGS)) == coding


def test_nothing_to_choose_from() -> None:
    assert accepted_coding("br", ()) == "identity"


async def test_a_page_comes_in_the_coding_that_was_asked_for(client: httpx.AsyncClient) -> None:
    readers = {
        "br": brotli.decompress,
        "zstd": zstandard.ZstdDecompressor().decompress,
        "gzip": gzip.decompress,
        "identity": bytes,
    }
    bodies, tags = set(), set()
    for coding, read in readers.items():
        async with client.stream(
            "GET", "/api/v1/openapi.json", headers={"Accept-Encoding": coding}
        ) as answer:
            raw = b"".join([chunk async for chunk in answer.aiter_raw()])
        assert answer.headers.get("content-encoding", "identity") == coding
        assert answer.headers["vary"].startswith("Accept-Encoding")
        bodies.add(read(raw))
        tags.add(answer.headers["etag"])
        again = await client.get(
            "/api/v1/openapi.json",
            headers={"Accept-Encoding": coding, "If-None-Match": answer.headers["etag"]},
        )
        assert again.status_code == 304
    assert len(bodies) == 1
    assert len(tags) == 4
