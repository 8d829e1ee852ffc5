"""A deterministic generator of a made-up marketplace: the same rows for a seed, on every machine and version of Python.

Only ``Random.random`` is drawn from, whose sequence Python promises to keep. There is no arithmetic but what IEEE 754
rounds exactly (``+ - * /`` and the square root): the last digit of ``exp`` or ``pow`` differs between C libraries.
Nothing depends on the order of a set. Each kind of row has a sequence of its own and takes from it the same number of
values whatever the sizes, so that item 7 has one title in a set of ten and in a set of a million; only its owner and
its time depend on how many there are.
"""

from array import array
from bisect import bisect_right
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache, lru_cache
from itertools import accumulate
from math import sqrt
from typing import Final, NamedTuple

from tradepost.accounts.permissions import Role
from tradepost.items.schemas import ItemStatus
from tradepost.seeding import vocabulary
from tradepost.seeding.catalogue import Shelf, Ware, shelves
from tradepost.seeding.dice import Dice, totals, zipf

NOW: Final = datetime(2026, 1, 1, tzinfo=UTC)
"""No row is newer."""
OPENED: Final = NOW - timedelta(days=1000)
"""When categories and tags were made."""
FIRST_USER: Final = NOW - timedelta(days=900)
FIRST_ITEM: Final = NOW - timedelta(days=730)

MICROSECOND: Final = timedelta(microseconds=1)


class TagRow(NamedTuple):
    """A tag."""

    name: str
    created_at: datetime


class CategoryRow(NamedTuple):
    """A category; ``parent`` is the place of its parent in the list, which comes before it."""

    name: str
    slug: str
    description: str
    parent: int | None
    created_at: datetime


class UserRow(NamedTuple):
    """A person."""

    email: str
    first_name: str
    last_name: str
    role: Role
    phone: str | None
    website: str | None
    created_at: datetime


class ItemRow(NamedTuple):
    """An item; ``category`` and ``owner`` are places in the lists of categories and of these users, from 0."""

    title: str
    description: str | None
    price: Decimal
    discount_price: Decimal | None
    tax: Decimal | None
    status: ItemStatus
    category: int | None
    views: int
    owner: int
    created_at: datetime
    tags: tuple[str, ...]


CULTURES: Final = tuple((first.split(), last.split()) for _, first, last in vocabulary.PEOPLE)
CULTURE_TOTALS: Final = totals(weight for weight, _, _ in vocabulary.PEOPLE)
US_AREAS: Final = vocabulary.US_AREAS.split()
UK_PREFIXES: Final = vocabulary.UK_PREFIXES.split()
ADJECTIVES: Final = vocabulary.ADJECTIVES.split()
COLOURS: Final = vocabulary.COLOURS.split()
BRANDS: Final = vocabulary.BRANDS.split(", ")
TOWNS: Final = vocabulary.TOWNS.split()
ADJECTIVE_TOTALS: Final = zipf(len(ADJECTIVES), flat=5)
TITLE_TOTALS: Final = zipf(len(vocabulary.TITLES), flat=4)

DETAILS_TWICE: Final = (*vocabulary.DETAILS, *vocabulary.DETAILS)
"""So that a run of neighbours may go on at the beginning."""

MODEL_LETTERS: Final = "ABCDEFGHKLMNPRSTVWXZ"
TAG_COUNT_TOTALS: Final = totals((4, 8, 18, 30, 22, 12, 6))
"""How common 0 to 6 tags are, in percent."""
TAXES: Final = (None, *(Decimal(f"{percent}.00") for percent in (0, 5, 7, 19, 20, 21)))
TAX_TOTALS: Final = totals((30, 6, 8, 12, 18, 18, 8))
STATUSES: Final = (ItemStatus.ACTIVE, ItemStatus.INACTIVE, ItemStatus.DRAFT)
STATUS_TOTALS: Final = totals((92, 5, 3))
LOWEST_PRICE: Final = 50
"""In cents."""
SMALL_PRICE: Final = 300
"""In cents; below it a price ends as it comes."""
LARGE_PRICE: Final = 100
"""In whole units; from here on they are multiples of five."""
ENDINGS: Final = (0, 1, 5, 50, None)
"""How many cents below the whole unit a price ends, or as it comes."""
ENDING_TOTALS: Final = totals((40, 30, 8, 10, 12))
DISCOUNTS: Final = (5, 10, 10, 15, 20, 20, 25, 30, 40, 50)


@cache
def tag_names() -> tuple[str, ...]:
    """Return the names of all tags, the popular ones first."""
    names = [*ADJECTIVES, *vocabulary.FURTHER_TAGS.split()]
    for shelf in shelves():
        names += shelf.tags
    names += COLOURS
    for materials in vocabulary.MATERIALS.values():
        names += materials.split()
    return tuple(dict.fromkeys(names))


def tags() -> list[TagRow]:
    """Return all tags."""
    return [TagRow(name, OPENED) for name in tag_names()]


def categories() -> list[CategoryRow]:
    """Return all categories, parents first."""
    return [
        CategoryRow(shelf.name, shelf.slug, _category_description(shelf), shelf.parent, OPENED)
        for shelf in shelves()
    ]


def _category_description(shelf: Shelf) -> str:
    if not shelf.wares:
        return f"Everything about {shelf.name.lower()}"
    return f"New and second-hand: {', '.join(ware.noun for ware in shelf.wares[:3])} and more"


class Marketplace:
    """``users`` people and ``items`` items of theirs, numbered from ``first_user`` and ``first_item``.

    Another first number makes other rows: what is added later does not repeat what was there.
    """

    def __init__(
        self, *, seed: int, users: int, items: int, first_user: int = 1, first_item: int = 1
    ) -> None:
        self.seed = seed
        self.users = users
        self.items = items
        self.first_user = first_user
        self.first_item = first_item
        self._people_dice = Dice(f"people {first_user} of {seed}")
        self._item_dice = Dice(f"items {first_item} of {seed}")
        self._joined = array("q", moments(Dice(f"joined {first_user} of {seed}"), users, NOW - FIRST_USER))
        if users:
            # Somebody is there before the first item.
            self._joined[0] = 0
        diligence = Dice(f"diligence {first_user} of {seed}")
        # A few people sell thousands of things and most of them hardly any.
        self._diligence = array(
            "q", accumulate(int(100 / (diligence.random() + 0.002)) for _ in range(users))
        )
        self._moments = moments(Dice(f"moments {first_item} of {seed}"), items, NOW - FIRST_ITEM)

    def people(self) -> Iterator[UserRow]:
        """Make the users, in the order in which they joined; the first one is a moderator. Once only."""
        dice = self._people_dice
        for place, joined in enumerate(self._joined):
            number = self.first_user + place
            first_names, last_names = CULTURES[dice.weighted(CULTURE_TOTALS)]
            yield UserRow(
                email=f"user{number}@example.com",
                first_name=dice.pick(first_names),
                last_name=dice.pick(last_names),
                role=Role.MODERATOR if number == 1 else Role.USER,
                phone=_phone(dice) if dice.chance(45) else None,
                website=dice.pick(vocabulary.WEBSITES).format(number) if dice.chance(15) else None,
                created_at=FIRST_USER + joined * MICROSECOND,
            )

    def wares(self, *, run: int = 1, share: int = 0, shares: int = 1) -> Iterator[ItemRow]:
        """Make the items, the oldest first. Once only.

        Of several ``shares`` only one is made: the runs of ``run`` items whose numbers leave it as the remainder. What the
        others draw is drawn and thrown away, which takes a tenth of the time: processes with a share each make together
        what one would make.
        """
        maker = _ItemMaker(self._item_dice)
        head_start = (FIRST_ITEM - FIRST_USER) // MICROSECOND
        for place, moment in enumerate(self._moments):
            if place // run % shares != share:
                maker.skip()
                continue
            known = bisect_right(self._joined, moment + head_start)
            yield maker.make(self._owner(known), FIRST_ITEM + moment * MICROSECOND)

    def known_at(self, moment: datetime) -> int:
        """Return how many of these people had joined by then."""
        return bisect_right(self._joined, (moment - FIRST_USER) // MICROSECOND)

    def _owner(self, known: int) -> int:
        """Draw one of the ``known`` first people by how diligent they are."""
        lot = int(self._item_dice.random() * self._diligence[known - 1])
        return bisect_right(self._diligence, lot, 0, known)


def moments(dice: Dice, count: int, span: timedelta) -> Iterator[int]:
    """Make ``count`` ascending moments within ``span``, more and more often, in microseconds from its beginning."""
    microseconds = span // MICROSECOND
    for number in range(1, count + 1):
        yield int(sqrt((number - dice.random() * 0.9) / count) * microseconds)


def _phone(dice: Dice) -> str:
    """Make a number in E.164 that belongs to nobody."""
    line = dice.below(100)
    if dice.chance(80):
        return f"+1{dice.pick(US_AREAS)}55501{line:02}"
    return f"+44{dice.pick(UK_PREFIXES)}{line:02}"


@cache
def _shelf_ware(place: int) -> tuple[tuple[Ware, ...], tuple[int, ...], tuple[str, ...]]:
    """Return the wares of a category, the sums of their weights, and the materials they are made of."""
    shelf = shelves()[place]
    materials = (word for kind in shelf.materials for word in vocabulary.MATERIALS[kind].split())
    return shelf.wares, zipf(len(shelf.wares), flat=2), tuple(materials)


@lru_cache(maxsize=2**16)
def _money(cents: int) -> Decimal:
    return Decimal(cents).scaleb(-2)


class _ItemMaker:
    """Makes one item after the other from one pseudo-random sequence.

    The draws that every item takes are written out (``random() * count`` is ``Dice.pick``, ``bisect_right`` of the sums is
    ``Dice.weighted``): a million items take twenty million of them, and calls would be most of the time.
    """

    def __init__(self, dice: Dice) -> None:
        self._dice = dice
        self._random, self._chance = dice.random, dice.chance
        self._shelves = tuple((place, shelf) for place, shelf in enumerate(shelves()) if shelf.wares)
        # Popular categories are spread over the whole tree.
        count = len(self._shelves)
        self._shelf_totals = totals(10_000_000 // (8 + place * 37 % count) for place in range(count))
        self._shelf_sum = self._shelf_totals[-1]
        self._tag_names = tag_names()
        self._tag_totals = zipf(len(self._tag_names), flat=2)

    def make(self, owner: int, created_at: datetime) -> ItemRow:
        random, chance = self._random, self._chance
        place, shelf = self._shelves[bisect_right(self._shelf_totals, int(random() * self._shelf_sum))]
        wares, ware_totals, materials = _shelf_ware(place)
        ware = wares[bisect_right(ware_totals, int(random() * ware_totals[-1]))]
        adjective = ADJECTIVES[bisect_right(ADJECTIVE_TOTALS, int(random() * ADJECTIVE_TOTALS[-1]))]
        material = materials[int(random() * len(materials))]
        colour = COLOURS[int(random() * len(COLOURS))]
        words = {
            "noun": ware.noun,
            "adjective": adjective,
            "material": material,
            "colour": colour,
            "brand": BRANDS[int(random() * len(BRANDS))],
            "condition": vocabulary.CONDITIONS[int(random() * len(vocabulary.CONDITIONS))],
            "town": TOWNS[int(random() * len(TOWNS))],
            "model": f"{MODEL_LETTERS[int(random() * 20)]}{MODEL_LETTERS[int(random() * 20)]}-"
            f"{int(random() * 99) * 10 + 10}",
        }
        pattern = vocabulary.TITLES[bisect_right(TITLE_TOTALS, int(random() * TITLE_TOTALS[-1]))]
        title = pattern.format_map(words)
        status = STATUSES[bisect_right(STATUS_TOTALS, int(random() * 100))]
        price = self._price(ware.price)
        discount = _money(self._discount(price)) if chance(25) else None
        views = self._views()
        return ItemRow(
            title[0].upper() + title[1:],
            self._description(words) if chance(88) else None,
            _money(price),
            discount,
            TAXES[bisect_right(TAX_TOTALS, int(random() * 100))],
            status,
            place if chance(90) else None,
            # Nobody but the owner has ever seen a draft.
            0 if status is ItemStatus.DRAFT else views,
            owner,
            created_at,
            self._tags((*shelf.tags, adjective, material, colour)),
        )

    def skip(self) -> None:
        """Draw what an item draws, its owner too, and make none."""
        random, chance = self._random, self._chance
        for _ in range(1 + 13 + 5):
            random()
        if chance(25):
            random()
        random()
        if chance(88):
            for _ in range(7):
                random()
            if chance(70):
                random()
        random()
        random()
        for _ in range(2 * bisect_right(TAG_COUNT_TOTALS, int(random() * 100))):
            random()

    def _description(self, words: dict[str, str]) -> str:
        random, chance = self._random, self._chance
        words["reason"] = vocabulary.REASONS[int(random() * len(vocabulary.REASONS))]
        words["number"] = str(2 + int(random() * 18))
        words["length"] = str(20 + int(random() * 180))
        words["width"] = str(10 + int(random() * 90))
        sentences = [vocabulary.OPENINGS[int(random() * len(vocabulary.OPENINGS))]]
        first = int(random() * len(vocabulary.DETAILS))
        # Neighbours in the list, so that none comes twice.
        sentences += DETAILS_TWICE[first : first + int(random() * 5)]
        if chance(70):
            sentences.append(vocabulary.CLOSINGS[int(random() * len(vocabulary.CLOSINGS))])
        text = " ".join(sentences).format_map(words)
        return text[0].upper() + text[1:]

    def _price(self, usual: int) -> int:
        """Draw a price in cents around ``usual`` whole units; most end like prices do."""
        dice = self._dice
        cents = max(LOWEST_PRICE, int(usual * 100 * dice.factor(0.45)))
        below = ENDINGS[bisect_right(ENDING_TOTALS, int(self._random() * 100))]
        if below is None or cents < SMALL_PRICE:
            return cents
        whole = cents // 100
        if whole >= LARGE_PRICE and below <= 1:
            whole -= whole % 5
        return whole * 100 - below

    def _discount(self, cents: int) -> int:
        """Draw a lower price in cents."""
        lower = cents * (100 - self._dice.pick(DISCOUNTS)) // 100
        return lower - lower % 100 + 99 if SMALL_PRICE <= lower < cents - 100 else lower

    def _views(self) -> int:
        """Draw a number of views by a power law: half have fewer than 14, one in 100,000 has tens of thousands."""
        rank = 1 - self._random()
        return int(20 / sqrt(rank * sqrt(rank))) - 20

    def _tags(self, own: tuple[str, ...]) -> tuple[str, ...]:
        """Draw the tags: some that fit, ``own``, and some that are popular anyway."""
        random, chance, names, sums = self._random, self._chance, self._tag_names, self._tag_totals
        chosen: list[str] = []
        for _ in range(bisect_right(TAG_COUNT_TOTALS, int(random() * 100))):
            if chance(55):
                tag = own[int(random() * len(own))]
            else:
                tag = names[bisect_right(sums, int(random() * sums[-1]))]
            if tag not in chosen:
                chosen.append(tag)
        return tuple(chosen)
