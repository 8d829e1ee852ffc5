"""Money: exact, to the cent, and never taken for something else."""

from decimal import Decimal
from typing import Any

import httpx
import pytest

from tests.conftest import Person
from tests.items.market import ITEMS, MINE, change, faults, path_of, read, sell, titles, ways_to_write
from tradepost.items.schemas import ItemCreate, ItemUpdate, total_price

MOST = 9_999_999_999.99
LAMP = {"title": "Lamp", "price": 10}


class TestTotalPrice:
    @pytest.mark.parametrize(
        ("price", "discount", "tax", "expected"),
        [
            ("10", None, None, "10.00"),
            ("10", None, "0", "10.00"),
            ("100", "80", None, "80.00"),
            ("100", "80", "10", "88.00"),
            ("100", None, "19", "119.00"),
            ("100", None, "0.01", "100.01"),
            # Half a cent goes up, also where the even neighbour is below and where floats would be short of the half.
            ("0.01", None, "50", "0.02"),
            ("0.01", None, "49.99", "0.01"),
            ("0.15", None, "10", "0.17"),
            ("2.50", None, "7", "2.68"),
            ("1.15", None, "50", "1.73"),
            ("100.10", "0.05", "10", "0.06"),
            ("9999999999.99", None, None, "9999999999.99"),
            ("9999999999.99", None, "100", "19999999999.98"),
            ("9999999999.99", "9999999999.98", "99.99", "19998999999.96"),
        ],
    )
    def test_is_rounded_half_up(
        self, price: str, discount: str | None, tax: str | None, expected: str
    ) -> None:
        total = total_price(
            Decimal(price),
            None if discount is None else Decimal(discount),
            None if tax is None else Decimal(tax),
        )
        assert str(total) == expected

    async def test_follows_what_it_is_made_of(self, client: httpx.AsyncClient, alice: Person) -> None:
        item = await sell(alice, price=2.5, tax=7)
        assert item["total_price"] == 2.68
        for changes, expected in (
            ({"tax": None}, 2.5),
            ({"discount_price": 0.15, "tax": 10}, 0.17),
            ({"discount_price": None}, 2.75),
            ({"price": MOST, "tax": 100}, 19_999_999_999.98),
            ({"tax": 0}, MOST),
        ):
            item = await change(alice, item, **changes)
            assert item["total_price"] == expected
            assert (await read(client, item))["total_price"] == expected


BAD_PRICES: list[tuple[Any, str]] = [
    (0, "greater_than"),
    (-0.0, "greater_than"),
    (-1, "greater_than"),
    (-0.01, "greater_than"),
    (0.001, "decimal_max_places"),
    (10.001, "decimal_max_places"),
    (0.1 + 0.2, "decimal_max_places"),
    (1e-320, "decimal_max_places"),
    (10_000_000_000, "less_than_equal"),
    (9_999_999_999.995, "decimal_max_places"),
    (1e300, "less_than_equal"),
    (2**63 - 1, "less_than_equal"),
    ("10", "number_type"),
    ("", "number_type"),
    ("NaN", "number_type"),
    (True, "number_type"),
    (False, "number_type"),
    ([], "number_type"),
    ([10], "number_type"),
    ({"amount": 10}, "number_type"),
]


class TestPrices:
    async def test_are_kept_to_the_cent(self, client: httpx.AsyncClient, alice: Person) -> None:
        for price in (0.01, 0.1, 1, 10.0, 10.10, 19.99, 1e3, 123_456_789.01, 9_999_999_999, MOST):
            item = await sell(alice, price=price)
            assert item["price"] == item["total_price"] == price
            assert await read(client, item) == item
            # A JSON number, not a string that looks like one.
            assert f'"price":{float(price)}' in (await client.get(path_of(item))).text.replace(" ", "")
            assert (await change(alice, await sell(alice), price=price))["price"] == price

    async def test_bad_ones_are_refused(self, client: httpx.AsyncClient, alice: Person) -> None:
        item = await sell(alice, "As it was", 20, discount_price=5)
        for method, path, body in ways_to_write(item):
            for value, kind in BAD_PRICES:
                for field in ("price", "discount_price"):
                    answer = await alice.api.request(method, path, json=body | {field: value})
                    assert faults(answer) == [(["body", field], kind)], (method, value)
            answer = await alice.api.request(method, path, json=body | {"price": None})
            assert faults(answer) == [(["body", "price"], "number_type")], method
        assert await titles(alice.api, MINE) == ["As it was"]
        assert await read(client, item) == item

    async def test_tax_is_a_percentage(self, client: httpx.AsyncClient, alice: Person) -> None:
        item = await sell(alice)
        for value in (0, -0.0, 0.01, 7.5, 19, 99.99, 100, 100.0):
            taxed = await sell(alice, tax=value)
            assert taxed["tax"] == value
            assert not str(taxed["tax"]).startswith("-")
            assert await read(client, taxed) == taxed
        refused: list[tuple[Any, str]] = [
            (-0.01, "greater_than_equal"),
            (100.01, "less_than_equal"),
            (101, "less_than_equal"),
            (1e300, "less_than_equal"),
            (7.125, "decimal_max_places"),
            ("19", "number_type"),
            (True, "number_type"),
            ([19], "number_type"),
        ]
        for value, kind in refused:
            for method, path, body in ways_to_write(item):
                answer = await alice.api.request(method, path, json=body | {"tax": value})
                assert faults(answer) == [(["body", "tax"], kind)], (method, value)

    def test_are_documented_as_numbers_with_bounds(self) -> None:
        price = {"type": "number", "exclusiveMinimum": 0, "maximum": MOST}
        tax = {"type": "number", "minimum": 0, "maximum": 100}
        for model in (ItemCreate, ItemUpdate):
            fields = model.model_json_schema()["properties"]
            assert fields["price"].items() >= price.items()
            assert fields["discount_price"]["anyOf"] == [price, {"type": "null"}]
            assert fields["tax"]["anyOf"] == [tax, {"type": "null"}]
        # What is not sent stays as it is: no default says otherwise.
        assert "default" not in str(ItemUpdate.model_json_schema())


DISCOUNT = [(["body", "discount_price"], "discount_price")]


class TestDiscount:
    async def test_must_be_one_from_the_start(self, alice: Person) -> None:
        for price, discount in ((10, 10), (10, 10.01), (10, 11), (0.01, 0.01), (1, MOST)):
            answer = await alice.api.post(ITEMS, json=LAMP | {"price": price, "discount_price": discount})
            assert faults(answer) == DISCOUNT
            message = "The discount price must be less than the price"
            assert answer.json()["errors"][0]["message"] == message
        assert await titles(alice.api, MINE) == []

    async def test_of_a_bad_price_the_price_is_the_fault(self, alice: Person) -> None:
        answer = await alice.api.post(ITEMS, json=LAMP | {"price": -1, "discount_price": 20})
        assert faults(answer) == [(["body", "price"], "greater_than")]

    async def test_may_be_one_cent(self, alice: Person) -> None:
        assert (await sell(alice, price=0.02, discount_price=0.01))["total_price"] == 0.01
        assert (await sell(alice, price=MOST, discount_price=MOST - 0.01))["total_price"] == 9_999_999_999.98

    async def test_holds_against_what_is_stored(self, client: httpx.AsyncClient, alice: Person) -> None:
        item = await sell(alice, price=20, discount_price=15)
        for refused in (
            {"discount_price": 20},
            {"discount_price": 20.01},
            {"price": 15},
            {"price": 14.99},
            {"price": 0.01},
            {"price": 30, "discount_price": 30},
            {"price": 10, "discount_price": 10.5, "title": "New"},
        ):
            for method in ("PUT", "PATCH"):
                answer = await alice.api.request(method, path_of(item), json=refused)
                assert faults(answer) == DISCOUNT, (method, refused)
        assert await read(client, item) == item
        for allowed in (
            {"price": 15.01},
            {"discount_price": 14.99},
            {"discount_price": 0.01},
            {"price": 5, "discount_price": 4},
            {"price": 100, "discount_price": 99.99},
            {"price": 1, "discount_price": None},
            {"price": 2},
            {"discount_price": 1.99},
        ):
            item = await change(alice, item, **allowed)
        assert (item["price"], item["discount_price"], item["version"]) == (2, 1.99, 9)

    async def test_is_not_asked_about_when_prices_stay(self, alice: Person) -> None:
        item = await sell(alice, price=20, discount_price=15)
        item = await change(alice, item, price=20, discount_price=15.0, title="New")
        assert (item["title"], item["version"]) == ("New", 2)
