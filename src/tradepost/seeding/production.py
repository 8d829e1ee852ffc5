"""Producers of made-up items, already in the form that a database's driver takes fastest.

For many items they run as processes of their own (``python -m tradepost.seeding.production``), beside the one that writes:
making a million titles takes as long as storing them. Each makes a share of the items, and hands over frames.
"""

import json
import marshal
import struct
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from decimal import Decimal
from functools import lru_cache
from itertools import chain, islice
from json.encoder import encode_basestring_ascii as _quoted
from typing import BinaryIO, Final, NamedTuple, TypeAlias, TypeVar

from tradepost.core.wire.folding import searchable_each, searchable_list, sort_key
from tradepost.items.texts import Facts, views_class
from tradepost.seeding import generator
from tradepost.seeding.fingerprint import rows_as_json
from tradepost.seeding.generator import ItemRow, Marketplace

T = TypeVar("T")

BATCH: Final = 2000
"""Rows that are in memory at a time."""
HEADER: Final = struct.Struct(">QQQQQQ")
ITEM_COLUMNS: Final = (
    *("id", "title", "description", "price", "discount_price", "tax", "status", "category_id"),
    *("images", "views", "views_class", "owner_id", "version", "title_key", "indexed_version"),
    *("created_at", "updated_at"),
)
TEXT_COLUMNS: Final = ("item_id", "title", "tags", "description", "facts", "tag_names")
NULL: Final = r"\N"
"""COPY's."""
TAG_COLUMNS: Final = ("item_id", "tag", "position")


class Frame(NamedTuple):
    """A batch: how many items, and their rows, those of their tags and those of their texts, encoded.

    ``marks`` is what the fingerprint hashes of it. A share's last frame has no items, and all words of its texts.
    """

    size: int = 0
    items: bytes = b""
    tags: bytes = b""
    texts: bytes = b""
    marks: bytes = b""
    words: bytes = b""


@dataclass(frozen=True)
class Order:
    """What is to be made, with the ids that it gets. ``password_hash`` is everybody's, and only hashed once more.

    Producers that work beside each other have a ``share`` each of the ``shares``: the batches whose numbers, from 0, leave
    it as the remainder.
    """

    engine: str
    seed: int
    users: int
    items: int
    first_user: int
    first_item: int
    first_user_id: int
    first_item_id: int
    category_ids: tuple[int, ...]
    password_hash: str
    share: int = 0
    shares: int = 1

    @property
    def batches(self) -> int:
        """How many batches all shares have together."""
        return -(-self.items // BATCH)

    def category_of(self, item: ItemRow) -> int | None:
        """Return the id of an item's category."""
        return None if item.category is None else self.category_ids[item.category]

    def marketplace(self) -> Marketplace:
        """Return the generator of what is ordered."""
        return Marketplace(
            seed=self.seed,
            users=self.users,
            items=self.items,
            first_user=self.first_user,
            first_item=self.first_item,
        )

    def as_json(self) -> bytes:
        """Return the order as one line, for another process."""
        return json.dumps(asdict(self)).encode() + b"\n"

    @classmethod
    def from_json(cls, line: bytes) -> "Order":
        """Read what ``as_json`` wrote."""
        values = json.loads(line)
        return cls(**values | {"category_ids": tuple(values["category_ids"])})


def batches(rows: Iterable[T]) -> Iterator[list[T]]:
    """Cut ``rows`` into lists of a bounded length."""
    following = iter(rows)
    while batch := list(islice(following, BATCH)):
        yield batch


def frames(order: Order) -> Iterator[Frame]:
    """Make a share of what is ordered. The first share begins with a frame of what is marked before the items."""
    marketplace = order.marketplace()
    encode = _sqlite if order.engine == "sqlite" else _postgres
    slugs = [category.slug for category in generator.categories()]
    if not order.share:
        before = (
            rows_as_json([kind, *row] for row in batch)
            for kind, rows in _before_items(order, marketplace, slugs)
            for batch in batches(rows)
        )
        yield Frame(marks=b"".join(before))
    words = set[str]()
    wares = marketplace.wares(run=BATCH, share=order.share, shares=order.shares)
    for number, items in enumerate(batches(wares)):
        first_id = order.first_item_id + (number * order.shares + order.share) * BATCH
        numbered = [(item_id, item, _texts(item)) for item_id, item in enumerate(items, first_id)]
        yield encode(order, numbered, words)._replace(marks=_marks(order, slugs, numbered))
    yield Frame(words=" ".join(words).encode())


def _before_items(
    order: Order, marketplace: Marketplace, slugs: list[str]
) -> Iterator[tuple[str, Iterable[list[object]]]]:
    """Yield categories, tags and users as the fingerprint reads them."""
    found = generator.categories()
    parents = [None if one.parent is None else slugs[one.parent] for one in found]
    times = [2 * [one.created_at] for one in found]
    yield (
        "categories",
        (
            [one.name, one.slug, one.description, True, parent, *both]
            for one, parent, both in zip(found, parents, times, strict=True)
        ),
    )
    yield "tags", ([tag.name, None, tag.created_at, tag.created_at] for tag in generator.tags())
    yield (
        "users",
        (
            [
                *(user.email, order.password_hash, user.first_name, user.last_name, user.role, True),
                *(user.phone, user.website, None, user.created_at, user.created_at),
            ]
            for user in marketplace.people()
        ),
    )


class _Texts(NamedTuple):
    """An item's values as texts, of which both the fingerprint and the rows are made."""

    price: str
    discount_price: str | None
    tax: str | None
    status: str
    moment: str


@lru_cache(maxsize=2**16)
def _text(amount: Decimal | None) -> str | None:
    return None if amount is None else str(amount)


_Numbered: TypeAlias = tuple[int, ItemRow, _Texts]
"""An item with the id that it gets."""


def _texts(item: ItemRow) -> _Texts:
    moment = item.created_at.isoformat(" ")
    return _Texts(str(item.price), _text(item.discount_price), _text(item.tax), item.status.value, moment)


def _marks(order: Order, slugs: list[str], numbered: list[_Numbered]) -> bytes:
    """Return items as ``rows_as_json`` has them of the fingerprint, in half its time."""
    quoted_slugs = {None: "null"} | {place: _quoted(slug) for place, slug in enumerate(slugs)}
    rows: list[str] = []
    for _, item, (price, discount_price, tax, status, moment) in numbered:
        tags = ",".join(map(_quoted_word, item.tags))
        rows.append(
            f'["items",{_quoted(item.title)},{_quoted(item.description) if item.description else "null"},"{price}",'
            f'{_quoted_word(discount_price)},{_quoted_word(tax)},"{status}",{quoted_slugs[item.category]},[],{item.views},'
            f'"user{order.first_user + item.owner}@example.com",1,"{moment}","{moment}",[{tags}]],'
        )
    return "".join(rows).encode()


@lru_cache(maxsize=2**16)
def _quoted_word(word: str | None) -> str:
    return "null" if word is None else _quoted(word)


class _Words(NamedTuple):
    """An item's texts as search has them; ``names`` are its tags, one a line."""

    title: str
    tags: str
    description: str
    facts: str
    names: str


def _searched(order: Order, numbered: list[_Numbered], words: set[str]) -> Iterator[_Words]:
    """Make what ``text_row`` says of each item, of all at once, and add the words."""
    titles = searchable_each([item.title for _, item, _ in numbered])
    descriptions = searchable_each([item.description for _, item, _ in numbered])
    tags = [searchable_list(item.tags) for _, item, _ in numbered]
    for text in chain(titles, descriptions, tags):
        words.update(text.split())
    facts = [
        Facts(item.status, order.first_user_id + item.owner, order.category_of(item), item.price).words()
        for _, item, _ in numbered
    ]
    names = ["\n".join(item.tags) for _, item, _ in numbered]
    return map(_Words, titles, tags, descriptions, facts, names)


def _sqlite(order: Order, numbered: list[_Numbered], words: set[str]) -> Frame:
    """Encode rows as SQLite stores them: whole hundredths, naive UTC texts, JSON as text."""
    rows: list[tuple[object, ...]] = []
    for item_id, item, (price, discount_price, tax, status, moment) in numbered:
        naive = moment[:-6] if "." in moment else f"{moment[:-6]}.000000"
        rows.append(
            (
                *(item_id, item.title, item.description, _cents(price), _cents(discount_price), _cents(tax)),
                *(status, order.category_of(item), "[]", item.views, views_class(item.views)),
                *(order.first_user_id + item.owner, 1, sort_key(item.title), 1, naive, naive),
            )
        )
    tags = [(item_id, tag, place) for item_id, item, _ in numbered for place, tag in enumerate(item.tags)]
    searched = _searched(order, numbered, words)
    texts = [(one[0], *row) for one, row in zip(numbered, searched, strict=True)]
    return Frame(len(rows), marshal.dumps(rows), marshal.dumps(tags), marshal.dumps(texts))


def _cents(amount: str | None) -> int | None:
    return None if amount is None else int(amount.replace(".", ""))


def _postgres(order: Order, numbered: list[_Numbered], words: set[str]) -> Frame:
    r"""Encode rows in COPY's text format: tabs between columns, ``\N`` for NULL."""
    rows: list[str] = []
    tags: list[str] = []
    texts: list[str] = []
    searched = _searched(order, numbered, words)
    for (item_id, item, of_item), row in zip(numbered, searched, strict=True):
        price, discount_price, tax, status, moment = of_item
        category = order.category_of(item)
        # The vocabulary has neither a tab nor a backslash, and what is folded from it only the line ends of ``APART``.
        rows.append(
            f"{item_id}\t{item.title}\t{item.description or NULL}\t{price}\t{discount_price or NULL}\t"
            f"{tax or NULL}\t{status}\t{NULL if category is None else category}\t[]\t{item.views}\t{views_class(item.views)}\t"
            f"{order.first_user_id + item.owner}\t1\t{sort_key(item.title)}\t1\t{moment}\t{moment}\n"
        )
        tags += [f"{item_id}\t{tag}\t{place}\n" for place, tag in enumerate(item.tags)]
        line = f"{row.title}\t{row.tags}\t{row.description}\t{row.facts}\t{row.names}".replace("\n", "\\n")
        texts.append(f"{item_id}\t{line}\n")
    return Frame(len(rows), *("".join(lines).encode() for lines in (rows, tags, texts)))


def decoded(payload: bytes) -> list[tuple[object, ...]]:
    """Return the rows that were encoded for SQLite."""
    rows: list[tuple[object, ...]] = marshal.loads(payload)  # noqa: S302 - our own process's
    return rows


def main(incoming: BinaryIO, outgoing: BinaryIO) -> None:
    """Read an order and write its frames, each after the lengths of its parts."""
    for frame in frames(Order.from_json(incoming.readline())):
        parts = frame[1:]
        outgoing.write(HEADER.pack(frame.size, *map(len, parts)))
        outgoing.writelines(parts)
    outgoing.flush()


if __name__ == "__main__":
    try:
        main(sys.stdin.buffer, sys.stdout.buffer)
    except (BrokenPipeError, KeyboardInterrupt):
        # The one that writes has ended, and says why.
        sys.exit(1)
