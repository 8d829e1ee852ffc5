"""The made-up marketplace keeps the marketplace's rules, looks like one, and is the same each time."""

import hashlib
import json
from collections import Counter
from decimal import Decimal
from itertools import pairwise
from statistics import median

import pytest
from pydantic import TypeAdapter

from tradepost.accounts.permissions import Role
from tradepost.accounts.phones import parsed_phone
from tradepost.accounts.schemas import UserCreate, Website
from tradepost.items.schemas import ItemCreate, ItemStatus
from tradepost.seeding import generator
from tradepost.seeding.catalogue import shelves
from tradepost.seeding.generator import FIRST_USER, NOW, OPENED, ItemRow, Marketplace, UserRow
from tradepost.tags.schemas import TagName

# Whoever changes a word or a weight changes these rows, and puts the new value here.
DIGEST = "fc765986140baa706ad7721087995b6ccd74859f4f60c6e545acc4f731198eef"


def people(seed: int = 42, *, users: int = 50, items: int = 0, first_user: int = 1) -> list[UserRow]:
    return list(Marketplace(seed=seed, users=users, items=items, first_user=first_user).people())


def wares(seed: int = 42, *, users: int = 50, items: int = 500, first_item: int = 1) -> list[ItemRow]:
    return list(Marketplace(seed=seed, users=users, items=items, first_item=first_item).wares())


@pytest.fixture(scope="module")
def many() -> list[ItemRow]:
    return wares(users=1000, items=20_000)


class TestSameness:
    def test_the_same_seed_makes_the_same_rows(self) -> None:
        assert people() == people()
        assert wares() == wares()

    def test_another_seed_makes_others(self) -> None:
        assert [user.last_name for user in people(1)] != [user.last_name for user in people(2)]
        assert [item.title for item in wares(1)] != [item.title for item in wares(2)]

    def test_on_every_python_and_every_machine(self) -> None:
        rows = json.dumps([generator.tags(), generator.categories(), people(), wares()], default=str)
        assert hashlib.sha256(rows.encode()).hexdigest() == DIGEST

    def test_an_item_does_not_depend_on_how_many_there_are(self) -> None:
        few, more = wares(users=3, items=10), wares(users=500, items=1000)
        for one, other in zip(few, more, strict=False):
            assert one._replace(owner=0, created_at=NOW) == other._replace(owner=0, created_at=NOW)

    def test_a_person_does_not_depend_on_how_many_there_are(self) -> None:
        for one, other in zip(people(users=10), people(users=1000), strict=False):
            assert one._replace(created_at=NOW) == other._replace(created_at=NOW)

    @pytest.mark.parametrize("shares", [2, 3])
    def test_shares_are_together_what_one_makes(self, shares: int) -> None:
        whole = [wares()[first : first + 40] for first in range(0, 500, 40)]
        for share in range(shares):
            market = Marketplace(seed=42, users=50, items=500)
            made = list(market.wares(run=40, share=share, shares=shares))
            assert made == [item for run in whole[share::shares] for item in run]

    def test_what_is_added_later_is_not_the_same_again(self) -> None:
        assert people(first_user=51)[0].email == "user51@example.com"
        assert {item.title for item in wares(items=50)} != {
            item.title for item in wares(items=50, first_item=51)
        }


class TestSizes:
    @pytest.mark.parametrize(("users", "items"), [(0, 0), (1, 0), (1, 1), (1, 50), (3, 2)])
    def test_few(self, users: int, items: int) -> None:
        marketplace = Marketplace(seed=1, users=users, items=items)
        assert len(list(marketplace.people())) == users
        found = list(marketplace.wares())
        assert len(found) == items
        assert {item.owner for item in found} <= set(range(users))


class TestRules:
    def test_of_people(self) -> None:
        website: TypeAdapter[str] = TypeAdapter(Website)
        for user in people(users=2000):
            read = UserCreate(
                email=user.email,
                password="Tradepost1",
                first_name=user.first_name,
                last_name=user.last_name,
            )
            assert (read.email, read.first_name, read.last_name) == user[:3]
            assert user.phone is None or parsed_phone(user.phone, "US") == user.phone
            assert user.website is None or website.validate_python(user.website) == user.website

    def test_of_items(self, many: list[ItemRow]) -> None:
        for item in many:
            read = ItemCreate(
                title=item.title,
                description=item.description,
                price=item.price,
                discount_price=item.discount_price,
                tax=item.tax,
                status=item.status,
                tags=list(item.tags),
            )
            assert (read.title, read.description, read.price) == item[:3]
            assert tuple(read.tags) == item.tags
            assert item.views >= 0
            for amount in (item.price, item.discount_price, item.tax):
                assert amount is None or amount == round(amount, 2)

    def test_of_tags(self) -> None:
        name: TypeAdapter[str] = TypeAdapter(TagName)
        names = [tag.name for tag in generator.tags()]
        assert [name.validate_python(one) for one in names] == names
        assert len(set(names)) == len(names)
        assert 150 <= len(names) <= 350

    def test_of_categories(self) -> None:
        categories = generator.categories()
        assert len({category.slug for category in categories}) == len(categories)
        for place, category in enumerate(categories):
            assert category.parent is None or category.parent < place
            assert 1 <= len(category.name) <= 100
            assert 1 <= len(category.slug) <= 120
            assert len(category.description) <= 500

    def test_the_tree_has_roots_branches_and_leaves(self) -> None:
        depths: list[int] = []
        for category in generator.categories():
            depths.append(0 if category.parent is None else depths[category.parent] + 1)
        assert Counter(depths)[0] in range(10, 16)
        assert max(depths) == 2
        assert all(len(shelf.wares) >= 3 for shelf in shelves() if shelf.wares)


class TestTimes:
    def test_count_back_from_the_end_of_the_story(self) -> None:
        moments = [item.created_at for item in wares()]
        assert all(earlier < later for earlier, later in pairwise(moments))
        assert moments[-1] <= NOW
        joined = [user.created_at for user in people()]
        assert joined == sorted(joined)
        assert joined[0] == FIRST_USER
        assert joined[-1] <= NOW
        assert OPENED < FIRST_USER

    @pytest.mark.parametrize("users", [1, 2, 50])
    def test_nobody_sells_before_they_join(self, users: int) -> None:
        joined = [user.created_at for user in people(users=users)]
        assert all(joined[item.owner] < item.created_at for item in wares(users=users))


class TestLooks:
    def test_the_first_person_is_a_moderator(self) -> None:
        assert [user.role for user in people(users=5)] == [Role.MODERATOR] + [Role.USER] * 4
        assert people(first_user=51)[0].role is Role.USER

    def test_people_come_from_many_places(self) -> None:
        found = people(users=1000)
        assert len({user.last_name for user in found}) > 100
        assert sum(user.phone is not None for user in found) in range(350, 550)
        assert sum(user.website is not None for user in found) in range(80, 250)

    def test_shares(self, many: list[ItemRow]) -> None:
        def share(count: int) -> float:
            return count / len(many)

        statuses = Counter(item.status for item in many)
        assert share(statuses[ItemStatus.ACTIVE]) == pytest.approx(0.92, abs=0.02)
        assert share(statuses[ItemStatus.INACTIVE]) == pytest.approx(0.05, abs=0.02)
        assert share(statuses[ItemStatus.DRAFT]) == pytest.approx(0.03, abs=0.02)
        assert share(sum(item.category is None for item in many)) == pytest.approx(0.1, abs=0.02)
        assert share(sum(item.discount_price is not None for item in many)) == pytest.approx(0.25, abs=0.02)
        assert share(sum(item.description is None for item in many)) == pytest.approx(0.12, abs=0.02)
        assert {item.tax for item in many} == {None, *map(Decimal, (0, 5, 7, 19, 20, 21))}

    def test_tags_have_a_long_tail(self, many: list[ItemRow]) -> None:
        assert {len(item.tags) for item in many} == set(range(7))
        tags = Counter(tag for item in many for tag in item.tags)
        assert sum(tags.values()) / len(many) == pytest.approx(3, abs=0.3)
        ranked = [count for _, count in tags.most_common()]
        assert len(ranked) == len(generator.tag_names())
        assert ranked[0] > 10 * median(ranked)

    def test_owners_have_a_long_tail(self, many: list[ItemRow]) -> None:
        owners = sorted(Counter(item.owner for item in many).values())
        assert owners[-1] > 20 * median(owners)

    def test_every_category_with_goods_has_items(self, many: list[ItemRow]) -> None:
        found = {item.category for item in many} - {None}
        assert found == {place for place, shelf in enumerate(shelves()) if shelf.wares}

    def test_views_follow_a_power_law(self, many: list[ItemRow]) -> None:
        views = sorted(item.views for item in many)
        assert median(views) < 20
        assert views[-1] > 5000
        assert all(item.views == 0 for item in many if item.status is ItemStatus.DRAFT)

    def test_prices(self, many: list[ItemRow]) -> None:
        prices = sorted(item.price for item in many)
        assert prices[0] >= Decimal("0.50")
        assert 50 < median(prices) < 150
        assert prices[-1] > 3000
        endings = Counter(price % 1 for price in prices)
        assert endings[Decimal("0.99")] / len(prices) == pytest.approx(0.3, abs=0.05)

    def test_titles_hardly_repeat(self, many: list[ItemRow]) -> None:
        assert len({item.title for item in many}) > 0.9 * len(many)
        assert not any(letter in item.title + (item.description or "") for item in many for letter in "{}_")

    def test_no_text_has_what_copy_would_escape(self, many: list[ItemRow]) -> None:
        texts = [item.title + (item.description or "") + "".join(item.tags) for item in many]
        nouns = [ware.noun for shelf in shelves() for ware in shelf.wares]
        assert not any(
            letter in text for text in (*texts, *nouns, *generator.tag_names()) for letter in "\\\t\n\r"
        )
