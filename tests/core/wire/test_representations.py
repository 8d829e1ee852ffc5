"""Entity tags: what a header says, and which states it means."""

from collections.abc import Callable
from typing import Any

import pytest

from tradepost.core.errors import MalformedHeader, PreconditionFailed
from tradepost.core.wire.representations import (
    ANY_VERSION,
    Expected,
    KnownTags,
    Representation,
    expected_versions,
    known_tags,
)


def shown(version: int, made_of: str = "") -> Representation:
    return Representation(version, made_of, lambda: b"{}")


def test_a_tag_tells_versions_and_everything_else_apart() -> None:
    tags = [shown(3).etag, shown(3, "7 views").etag, shown(4).etag]
    assert len(set(tags)) == 3
    assert shown(3, "7 views").etag == tags[1]
    assert all(tag.startswith('"3-') and tag.endswith('"') for tag in tags[:2])


def test_bytes_are_written_once_and_only_for_those_who_look() -> None:
    written: list[int] = []

    def write() -> bytes:
        written.append(1)
        return b"{}"

    one = Representation(1, "", write)
    assert (one.etag.startswith('"1-'), written) == (True, [])
    assert (one.body, one.body, written) == (b"{}", b"{}", [1])


@pytest.mark.parametrize(
    ("lines", "held"),
    [
        (['"3-a"'], True),
        (['W/"3-a"'], True),
        (['"3-a;gzip"'], True),
        (['W/"3-a;br"'], True),
        (['"2-b", "3-a"'], True),
        (['"2-b"', '"3-a"'], True),
        (['"2-b","3-a",'], True),
        ([', , "3-a"'], True),
        (["*"], True),
        ([" * "], True),
        (['"3-b"'], False),
        (['"a,b", "\xe9"'], False),
        (['""'], False),
    ],
)
def test_what_a_client_holds(lines: list[str], held: bool) -> None:  # noqa: FBT001
    assert (known_tags(lines).matching('"3-a"') is not None) is held


def test_the_tag_by_which_a_client_knows_it_is_the_one_it_is_told() -> None:
    known = known_tags(['W/"3-a;gzip", "3-a"'])
    assert known.matching('"3-a"') == '"3-a;gzip"'
    assert known_tags(["*"]).matching('"3-a"') == '"3-a"'
    assert KnownTags().matching('"3-a"') is None


@pytest.mark.parametrize(
    ("lines", "versions"),
    [
        (['"3-a"'], {3}),
        (['"3-a;gzip"'], {3}),
        (['"3-a", "4-b"'], {3, 4}),
        (['"3-a"', '"4-b"'], {3, 4}),
        (['W/"3-a"'], set()),
        (['W/"3-a", "4-b"'], {4}),
        (['"abc"'], set()),
        (['"3"'], set()),
        (['"-3"'], set()),
        (['"99999999999999999999-a"'], set()),
        (['"\xb2-a"'], set()),
        (["*"], None),
    ],
)
async def test_which_versions_a_writer_expects(lines: list[str], versions: set[int] | None) -> None:
    assert expected_versions(lines).versions == versions


@pytest.mark.parametrize("parse", [known_tags, expected_versions])
@pytest.mark.parametrize(
    "lines",
    [
        [""],
        [" "],
        [","],
        ["3-a"],
        ["'3-a'"],
        ['"3-a'],
        ['3-a"'],
        ['"3-a" "4-b"'],
        ['"3 a"'],
        ['w/"3-a"'],
        ['W / "3-a"'],
        ['*, "3-a"'],
        ['"3-a"', "*"],
        ["*", "*"],
        ['"3-a\x7f"'],
        ["1"],
        ["null"],
    ],
)
def test_what_says_nothing_is_malformed(parse: Callable[[list[str]], Any], lines: list[str]) -> None:
    with pytest.raises(MalformedHeader) as refused:
        parse(lines)
    name = "If-Match" if parse is expected_versions else "If-None-Match"
    assert (refused.value.status, refused.value.detail.startswith(name)) == (400, True)


@pytest.mark.parametrize("unit", ['"a",', ",", " ", ' "a" ', '"a" ,', 'W/"a', '"a', ", ,"])
def test_a_long_header_is_read_in_a_moment(unit: str) -> None:
    # A pattern that tried every way to cut it would go on for ages.
    line = unit * (60_000 // len(unit))
    for value in (line, line + "x", '"a"' + line, '"a"' + line + "x"):
        try:
            known_tags([value])
        except MalformedHeader:
            continue


async def test_a_writer_is_told_the_tag_of_what_is_there_now() -> None:
    async def current() -> Representation:
        return shown(5)

    await ANY_VERSION.check(5, current)
    await Expected(frozenset({4, 5})).check(5, current)
    with pytest.raises(PreconditionFailed) as refused:
        await Expected(frozenset({4})).check(5, current)
    assert (refused.value.code, refused.value.headers) == ("PRECONDITION_FAILED", {"ETag": shown(5).etag})
