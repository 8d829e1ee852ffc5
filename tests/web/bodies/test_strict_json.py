import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradepost.web.bodies.strict_json import MAX_DEPTH, MAX_VALUES, JsonFault, loads

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"])),
    lambda children: (
        st.lists(children)
        | st.dictionaries(
            st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"])), children
        )
    ),
    max_leaves=20,
)


def fault(data: bytes | str) -> JsonFault:
    with pytest.raises(JsonFault) as caught:
        loads(data.encode() if isinstance(data, str) else data)
    return caught.value


@given(values)
def test_reads_what_json_writes(value: Any) -> None:
    assert loads(json.dumps(value).encode()) == value
    assert loads(json.dumps(value, ensure_ascii=False).encode()) == value


@given(st.binary(max_size=60))
def test_any_bytes_are_a_value_or_a_fault(data: bytes) -> None:
    with suppress(JsonFault):
        loads(data)


@pytest.mark.parametrize(
    "text", ["", "{", '{"a":}', "[1,]", "{'a': 1}", '{"a" 1}', "01", "nul", '"a', "[1] 2", '"\t"']
)
def test_what_is_no_json_is_refused_where_it_stops_being_json(text: str) -> None:
    found = fault(text)
    assert found.kind == "json_invalid"
    assert isinstance(found.location[0], int)


@pytest.mark.parametrize(
    "data", [b'"\xff"', b'"\xc3"', b'"\xed\xa0\x80"', '{"a": 1}'.encode("utf-16"), b"\xef\xbb\xbf{}"]
)
def test_only_utf8_without_a_mark_is_read(data: bytes) -> None:
    assert fault(data).kind == "json_encoding"


@pytest.mark.parametrize(
    ("text", "location"), [("NaN", ()), ("[Infinity]", (0,)), ('{"a": [{"b": -Infinity}]}', ("a", 0, "b"))]
)
def test_numbers_that_are_none_are_refused(text: str, location: tuple[str | int, ...]) -> None:
    found = fault(text)
    assert (found.kind, found.location) == ("finite_number", location)


@pytest.mark.parametrize("number", [2**63 - 1, -(2**63), 0])
def test_integers_of_64_bits_are_read(number: int) -> None:
    assert loads(str(number).encode()) == number


@pytest.mark.parametrize(
    "text", [str(2**63), str(-(2**63) - 1), "1" * 30, "[" + "9" * 100_000 + "]", "-" + "9" * 5000]
)
def test_larger_integers_are_refused(text: str) -> None:
    assert fault(text).kind == "int_out_of_range"
    assert fault(f'{{"a": {text}}}').location[0] == "a"


@pytest.mark.parametrize("text", ["1e400", "[-1e999]", "1" * 400 + ".0"])
def test_numbers_past_a_double_are_refused(text: str) -> None:
    assert fault(text).kind == "float_out_of_range"
    assert fault(f'{{"a": {text}}}').location[0] == "a"


@pytest.mark.parametrize(
    ("text", "location"),
    [
        ('{"a": 1, "a": 1}', ("a",)),
        ('{"b": [0, {"a": 1, "c": 2, "a": 3}]}', ("b", 1, "a")),
        ('{"\\u0061": 1, "a": 1}', ("a",)),
    ],
)
def test_a_key_may_be_in_an_object_once(text: str, location: tuple[str | int, ...]) -> None:
    found = fault(text)
    assert (found.kind, found.location) == ("repeated_key", location)


@pytest.mark.parametrize("first", ['{"a": 1, "a": 2}', "NaN", "1" * 5000])
@pytest.mark.parametrize(
    ("rest", "kind"),
    [
        ("", "json_invalid"),
        ("[1] 2", "json_invalid"),
        ("[" * 5000 + "]" * 5000, "json_depth"),
        ("[" * 100 + "]" * 100, "json_depth"),
    ],
)
def test_what_follows_a_fault_is_read_as_well(first: str, rest: str, kind: str) -> None:
    assert fault(f'{{"first": {first}, "rest": {rest}}}').kind == kind


def test_one_fault_after_another_is_a_fault() -> None:
    found = fault('{"first": {"a": 1, "a": 2}, "rest": ' + "1" * 5000 + "}")
    assert found.kind in {"int_out_of_range", "repeated_key"}


def test_the_same_key_in_two_objects_is_fine() -> None:
    assert loads(b'{"a": {"a": 1}, "b": [{"a": 1}, {"a": 2}]}') == {"a": {"a": 1}, "b": [{"a": 1}, {"a": 2}]}


@pytest.mark.parametrize(
    ("text", "location"),
    [
        ('"\\u0000"', ()),
        ('{"a": "x\\u0000y"}', ("a",)),
        ('{"a": [1, "\\ud800"]}', ("a", 1)),
        ('["\\uDFFF"]', (0,)),
        ('["\\ude00\\ud83d"]', (0,)),
        ('{"a": {"\\u0000": 1}}', ("a",)),
        ('{"\\ud800": {"a": 1}}', ()),
    ],
)
def test_nul_and_half_pairs_are_refused_in_any_text(text: str, location: tuple[str | int, ...]) -> None:
    found = fault(text)
    assert (found.kind, found.location) == ("string_unicode", location)


def test_whole_pairs_and_escaped_backslashes_are_text() -> None:
    assert loads(b'["\\ud83d\\ude00", "\\\\u0000", "\\\\ud800"]') == [
        "\N{GRINNING FACE}",
        "\\u0000",
        "\\ud800",
    ]


def nested(depth: int, opening: str = "[", closing: str = "]") -> str:
    return opening * depth + closing * depth


def test_nesting_has_a_limit() -> None:
    loads(nested(MAX_DEPTH).encode())
    assert fault(nested(MAX_DEPTH + 1)).kind == "json_depth"
    assert fault('{"a":' * (MAX_DEPTH + 1) + "1" + "}" * (MAX_DEPTH + 1)).kind == "json_depth"
    assert fault(nested(MAX_VALUES - 1)).kind == "json_depth"


def test_many_shallow_values_are_not_deep() -> None:
    assert len(loads(b"[" + b",".join([b'{"a":[]}'] * 1000) + b"]")) == 1000


def test_there_is_an_end_to_values() -> None:
    assert len(loads(b"[" + b",".join([b"1"] * (MAX_VALUES - 1)) + b"]")) == MAX_VALUES - 1
    for text in (
        "[" + ",".join(["1"] * MAX_VALUES) + "]",
        "[" + ",".join(["[]"] * MAX_VALUES) + "]",
        "[" + ",".join(['{"a":1}'] * MAX_VALUES) + "]",
        "{" + ",".join(f'"{number}":1' for number in range(MAX_VALUES)) + "}",
        nested(500_000),
    ):
        found = fault(text)
        assert (found.kind, found.location) == ("too_many_values", ())


@pytest.mark.parametrize("sign", [",", "[", "{", ":"])
def test_a_long_text_is_one_value(sign: str) -> None:
    text = {"description": sign * 1000, "tags": [sign * 50] * 20}
    assert loads(json.dumps(text).encode()) == text


def test_a_fault_repeats_nothing_of_the_text() -> None:
    for text in ('{"a": secret}', '{"a": "secret\\u0000"}', '{"a": "secret", "a": "secret"}', '"secret'):
        assert "secret" not in fault(text).message
