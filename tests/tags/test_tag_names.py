"""The one form in which a tag is written."""

import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from tradepost.tags.schemas import TagCreate, TagList, TagMerge, TagName, TagUpdate, normalised_tag

NAME: TypeAdapter[str] = TypeAdapter(TagName)
LIST: TypeAdapter[list[str]] = TypeAdapter(TagList)


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("Bike", "bike"),
        ("  mountain \t  BIKE\n", "mountain bike"),
        ("cafe\u0301", "caf\u00e9"),
        ("ÉTÉ", "été"),
        ("日本", "日本"),
        ("c++ / c#", "c++ / c#"),
        ("100%_", "100%_"),
        ("a\u00a0b\u3000c", "a b c"),
        ("❤\ufe0f", "❤"),
        ("x" * 50, "x" * 50),
        (f" {'x' * 24}{' ' * 60}{'y' * 25} ", f"{'x' * 24} {'y' * 25}"),
        # What categories and names take, tags take.
        ("علی\u200cرضا", "علی\u200cرضا"),
        ("ශ්\u200dරීමා", "ශ්\u200dරීමා"),
        ("👩\u200d👩\u200d👧", "👩\u200d👩\u200d👧"),
        ("👩🏽\u200d💻", "👩🏽\u200d💻"),
        ("\u8fbb\U000e0100", "\u8fbb\U000e0100"),
    ],
)
def test_normalising(written: str, kept: str) -> None:
    assert NAME.validate_python(written) == kept


@pytest.mark.parametrize(
    ("written", "kind"),
    [
        ("", "string_too_short"),
        (" \t\n ", "string_too_short"),
        ("\ufe0f", "string_too_short"),
        ("x" * 51, "string_too_long"),
        ("\u0130" * 26, "string_too_long"),
        ("a\x00b", "tag_letters"),
        ("a\x07b", "tag_letters"),
        ("a\x7fb", "tag_letters"),
        ("a\u200bb", "tag_letters"),
        ("a\u202eb", "tag_letters"),
        ("a\u00adb", "tag_letters"),
        ("\u3164", "string_too_short"),
        ("\u2800", "string_too_short"),
        ("\u200cab", "tag_letters"),
        ("a\u200d b", "tag_letters"),
        ("\U000e0041", "tag_letters"),
        ("\ue000", "tag_letters"),
        (7, "string_type"),
        (None, "string_type"),
    ],
)
def test_what_is_no_tag(written: Any, kind: str) -> None:
    with pytest.raises(ValidationError) as caught:
        NAME.validate_python(written)
    assert [error["type"] for error in caught.value.errors()] == [kind]


@given(st.text(max_size=80))
def test_a_normalised_tag_is_its_own_normal_form(written: str) -> None:
    name = normalised_tag(written)
    assert normalised_tag(name) == name
    assert name == name.strip()
    assert unicodedata.is_normalized("NFC", name)


@given(st.text(max_size=60))
def test_whatever_is_taken_is_kept_as_it_is(written: str) -> None:
    try:
        name = NAME.validate_python(written)
    except ValidationError:
        return
    assert 1 <= len(name) <= 50
    assert NAME.validate_python(name) == name


def test_a_list_keeps_its_order_and_drops_what_is_written_twice() -> None:
    assert LIST.validate_python(["Red", "blue", "RED ", "Green", "blue"]) == ["red", "blue", "green"]
    assert LIST.validate_python([]) == []


def test_a_list_holds_twenty() -> None:
    assert len(LIST.validate_python([str(number) for number in range(20)])) == 20
    with pytest.raises(ValidationError) as caught:
        LIST.validate_python([str(number) for number in range(21)])
    assert caught.value.errors()[0]["type"] == "too_long"


def test_a_fault_in_a_list_names_its_place() -> None:
    with pytest.raises(ValidationError) as caught:
        LIST.validate_python(["fine", " "])
    assert caught.value.errors()[0]["loc"] == (1,)


def test_an_update_knows_what_was_sent() -> None:
    assert TagUpdate.model_validate({}).model_dump(exclude_unset=True) == {}
    sent = TagUpdate.model_validate({"name": " New  Name", "description": None})
    assert sent.model_dump(exclude_unset=True) == {"name": "new name", "description": None}
    with pytest.raises(ValidationError):
        TagUpdate.model_validate({"name": None})
    with pytest.raises(ValidationError):
        TagUpdate.model_validate({"id": 3})


def test_a_description_is_trimmed_and_has_its_length() -> None:
    assert TagCreate(name="a", description="  words  ").description == "words"
    with pytest.raises(ValidationError):
        TagCreate(name="a", description="x" * 501)


@pytest.mark.parametrize("into_id", [True, "5", 5.0, 0, 2**63, None])
def test_the_tag_that_takes_over_is_an_id(into_id: Any) -> None:
    assert TagMerge.model_validate({"into_id": 5}).into_id == 5
    with pytest.raises(ValidationError):
        TagMerge.model_validate({"into_id": into_id})


def test_equal_tags_count_once_towards_the_limit() -> None:
    assert LIST.validate_python(["Brass", " brass "] * 13) == ["brass"]
    many = [f"tag {number}" for number in range(20)]
    assert LIST.validate_python(many + many[::-1]) == many
    with pytest.raises(ValidationError) as caught:
        LIST.validate_python([*many, "one more"])
    assert [error["type"] for error in caught.value.errors()] == ["too_long"]
