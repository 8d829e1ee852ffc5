"""Cutting bodies into values: whatever the chunks, NDJSON and arrays yield the same values as a parser would find."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradepost.core.errors import TooLarge, Unprocessable
from tradepost.web.bodies.json_lines import ArraySplitter, Line, NdjsonSplitter, Splitter, Spool

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(), children, max_size=3),
    max_leaves=6,
)


def cut(splitter: Splitter, body: bytes, size: int) -> list[Line]:
    found = [line for at in range(0, len(body), size) for line in splitter.feed(body[at : at + size])]
    return [*found, *splitter.end()]


@given(st.lists(VALUES, max_size=5), st.integers(1, 40), st.sampled_from(["plain", "ascii", "indented"]))
def test_an_array_is_cut_at_its_commas(values: list[Any], size: int, style: str) -> None:
    text = json.dumps(values, ensure_ascii=style == "ascii", indent=1 if style == "indented" else None)
    body = text.encode("utf-8", "surrogatepass")
    found = cut(ArraySplitter(10_000), b" \n" + body + b"\r\n", size)
    assert [line.number for line in found] == list(range(1, len(values) + 1))
    assert [json.loads((line.text or b"").decode("utf-8", "surrogatepass")) for line in found] == values


@given(
    st.lists(VALUES, max_size=5),
    st.integers(1, 40),
    st.sampled_from([b"\n", b"\r\n"]),
    st.sampled_from([0, 1]),
)
def test_lines_are_cut_at_line_feeds(values: list[Any], size: int, end: bytes, ended: int) -> None:
    lines = [json.dumps(value).encode() for value in values]
    body = (end + b"  " + end).join(lines) + end * ended
    found = cut(NdjsonSplitter(10_000), body, size)
    assert [line.number for line in found] == list(range(1, 2 * len(values), 2))
    assert [json.loads(line.text or b"") for line in found] == values


@pytest.mark.parametrize("size", [1, 7, 100])
def test_a_line_that_is_too_long_is_passed_over(size: int) -> None:
    assert cut(NdjsonSplitter(10), b"1\n" + b"x" * 50 + b"\n2", size) == [
        Line(1, b"1"),
        Line(2, None),
        Line(3, b"2"),
    ]


@pytest.mark.parametrize("size", [1, 7, 100])
@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b'["' + b"x" * 50 + b'"]', TooLarge),
        (b"{}", Unprocessable),
        (b"[{}", Unprocessable),
        (b"", Unprocessable),
        (b"[{}] []", Unprocessable),
        (b"\xef\xbb\xbf[]", Unprocessable),
    ],
)
def test_a_body_that_is_no_array_is_refused(body: bytes, error: type[Exception], size: int) -> None:
    with pytest.raises(error):
        cut(ArraySplitter(10), body, size)


@pytest.mark.parametrize("most", [3, 4])
async def test_a_spool_gives_back_what_it_took_however_large(most: int) -> None:
    texts = [b"1" * 700_000, b"2" * 900_000, b"3"]

    async def chunks() -> AsyncIterator[bytes]:
        for text in texts:
            yield text[:10]
            yield text[10:] + b"\n"
        yield b"x" * 2_000_000

    with Spool(most) as spool:
        if most == 3:
            with pytest.raises(TooLarge):
                await spool.take(chunks(), NdjsonSplitter(1_000_000))
            return
        await spool.take(chunks(), NdjsonSplitter(1_000_000))
        groups = [group async for group in spool.groups(3)]
    assert [line.text for group in groups for line in group] == [*texts, None]
    assert list(map(len, groups)) == [3, 1]
