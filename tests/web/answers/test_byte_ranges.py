import pytest
from hypothesis import given
from hypothesis import strategies as some

from tradepost.core.errors import NoSuchRange
from tradepost.web.answers.byte_ranges import asked_spans

SIZE = 1000


@pytest.mark.parametrize(
    ("header", "spans"),
    [
        ("bytes=0-0", [(0, 1)]),
        ("bytes=0-999", [(0, 1000)]),
        ("bytes=500-", [(500, 1000)]),
        ("bytes=-1", [(999, 1000)]),
        ("bytes=-5000", [(0, 1000)]),
        ("bytes=990-5000", [(990, 1000)]),
        ("BYTES=1-2", [(1, 3)]),
        ("bytes=1-2, 5-6", [(1, 3), (5, 7)]),
        ("bytes=5-6,1-2", [(5, 7), (1, 3)]),
        ("bytes=0-5,3-9", [(0, 10)]),
        ("bytes=0-,0-,0-", [(0, 1000)]),
        ("bytes=0-1,2000-", [(0, 2)]),
        ("bytes=0-" + "9" * 5000, [(0, 1000)]),
        ("bytes=-" + "9" * 5000, [(0, 1000)]),
        ("items=0-5", None),
        ("0-5", None),
    ],
)
def test_what_is_asked_for(header: str, spans: list[tuple[int, int]] | None) -> None:
    assert asked_spans(header, SIZE) == spans


@pytest.mark.parametrize(
    "header",
    [
        "bytes=",
        "bytes=-",
        "bytes=a-b",
        "bytes=5-4",
        "bytes=1000-",
        "bytes=-0",
        "bytes=1--2",
        "bytes=+1-2",
        "bytes=1-2-3",
        "bytes=,",
        "bytes=٣-٤",
        "bytes=1.5-2",
        "bytes=" + "9" * 5000 + "-",
        "bytes=" + ",".join(f"{at}-{at}" for at in range(0, 40, 2)),
        "bytes=" + "0-0," * 100_000 + "0-0",
    ],
)
def test_what_is_refused(header: str) -> None:
    with pytest.raises(NoSuchRange) as refused:
        asked_spans(header, SIZE)
    assert refused.value.headers == {"Content-Range": "bytes */1000"}


@given(
    header=some.from_regex(r"bytes=([0-9]{0,4}-[0-9]{0,4},?){0,5}", fullmatch=True),
    size=some.integers(1, 3000),
)
def test_never_more_than_there_is(header: str, size: int) -> None:
    try:
        spans = asked_spans(header, size)
    except NoSuchRange:
        return
    assert spans
    assert all(0 <= start < end <= size for start, end in spans)
    assert sum(end - start for start, end in spans) <= size
