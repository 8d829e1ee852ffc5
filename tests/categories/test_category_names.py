"""Names of categories, and the slugs made from them."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tradepost.categories.schemas import CategoryCreate, CategoryUpdate
from tradepost.categories.service import MAX_STEM_LENGTH, free_slug, slug_of


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("Books", "books"),
        ("Home & Garden", "home-garden"),
        ("Café Équipement", "cafe-equipement"),
        ("Straße", "strasse"),
        ("日本", "ri-ben"),
        ("R&amp;D", "r-amp-d"),
        ("--a__b--", "a-b"),
        ("2024", "c-2024"),
        ("1,000", "c-1000"),
        ("\u0661\u0662", "c-12"),
        ("20 24", "20-24"),
        ("!!!", "category"),
        ("🎉", "category"),
        ("x" * 100, "x" * 100),
        ("9" * 100, "c-" + "9" * 98),
        ("Щ" * 100, ("shch" * 25)),
        ("a" * 99 + " b", "a" * 99),
    ],
)
def test_slugs(name: str, slug: str) -> None:
    assert slug_of(name) == slug


@given(st.text(min_size=1, max_size=100))
def test_every_name_has_a_slug(name: str) -> None:
    slug = slug_of(name)
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", slug)
    assert not slug.isdigit()
    assert len(slug) <= MAX_STEM_LENGTH


def test_a_slug_that_is_taken_gets_the_next_free_number() -> None:
    assert free_slug("toys", set()) == "toys"
    assert free_slug("toys", {"toys-2"}) == "toys"
    assert free_slug("toys", {"toys"}) == "toys-2"
    assert free_slug("toys", {"toys", "toys-2", "toys-4"}) == "toys-3"


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("  Books ", "Books"),
        ("Home  Office", "Home  Office"),
        ("Cafe\u0301", "Caf\u00e9"),
        ("\u06a9\u062a\u0628\u200c\u0647\u0627", "\u06a9\u062a\u0628\u200c\u0647\u0627"),
        ("x" * 100, "x" * 100),
    ],
)
def test_names(written: str, kept: str) -> None:
    assert CategoryCreate(name=written).name == kept


@pytest.mark.parametrize(
    "written",
    [
        "",
        "   ",
        "\u3000",
        "\u200d",
        "\u200b",
        "\u3164",
        "\u2800",
        "\ufe0f",
        "a\tb",
        "a\x00",
        "a\u2028b",
        "\ufeffa",
        "x" * 101,
        "\u0958" * 51,
    ],
)
def test_what_is_no_name(written: str) -> None:
    with pytest.raises(ValidationError):
        CategoryCreate(name=written)


def test_an_update_knows_what_was_sent() -> None:
    assert CategoryUpdate.model_validate({}).model_dump(exclude_unset=True) == {}
    sent = CategoryUpdate.model_validate({"parent_id": None, "description": None})
    assert sent.model_dump(exclude_unset=True) == {"parent_id": None, "description": None}
    for field in ("name", "is_active"):
        with pytest.raises(ValidationError):
            CategoryUpdate.model_validate({field: None})
    with pytest.raises(ValidationError):
        CategoryUpdate.model_validate({"slug": "mine"})


@pytest.mark.parametrize("parent_id", [True, "5", 5.0, 0, 2**63])
def test_a_parent_is_an_id(parent_id: Any) -> None:
    assert CategoryUpdate.model_validate({"parent_id": 5}).parent_id == 5
    for body in (CategoryCreate, CategoryUpdate):
        with pytest.raises(ValidationError):
            body.model_validate({"name": "Books", "parent_id": parent_id})
