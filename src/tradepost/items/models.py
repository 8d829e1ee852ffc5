"""The tables of items and of the tags on them."""

from decimal import Decimal
from typing import Final

from sqlalchemy import CheckConstraint, ForeignKey, Index, SmallInteger, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from tradepost.core.database.models import (
    NEVER_REUSED,
    Base,
    BigId,
    Identified,
    Money,
    Percent,
    PortableJson,
    Timestamped,
    choice,
)
from tradepost.core.database.sort_keys import sort_key_column
from tradepost.items.schemas import DESCRIPTION_LENGTH, TITLE_LENGTH, ItemStatus
from tradepost.tags.schemas import TAG_LENGTH

_LISTED: Final = ("created_at", "id", "status", "price", "title_key")


class Item(Identified, Timestamped, Base):
    """A thing for sale. ``version`` counts its changes from 1; a view is no change."""

    __tablename__ = "items"
    __table_args__ = (
        CheckConstraint("price > 0", name="price_positive"),
        CheckConstraint("discount_price < price", name="discount_below_price"),
        Index("ix_items_created_at_id", "created_at", "id"),
        Index("ix_items_status_created_at_id", "status", "created_at", "id"),
        # The status last: these serve the sorts of everybody, and the counts of price ranges, without the table.
        Index("ix_items_price_id_status", "price", "id", "status"),
        Index("ix_items_title_key_id_status", "title_key", "id", "status"),
        # With all that lists sort and filter by: the items of an owner or a category are sorted without the table.
        Index("ix_items_listed_by_owner", "owner_id", *_LISTED, "category_id"),
        Index("ix_items_listed_by_category", "category_id", *_LISTED, "owner_id"),
        # The items that search has as they were: as good as none, so this is as good as empty.
        Index(
            "ix_items_stale",
            "id",
            postgresql_where=text("indexed_version IS DISTINCT FROM version"),
            sqlite_where=text("indexed_version IS NOT version"),
        ),
        # Those with many views by their class, which few views change: views themselves would be written with every one.
        Index(
            "ix_items_much_viewed",
            "views_class",
            postgresql_where=text("views_class > 0"),
            sqlite_where=text("views_class > 0"),
        ),
        # Room in each page for the next version of a row: writing a view then touches no index.
        NEVER_REUSED | {"postgresql_with": {"fillfactor": 85}},
    )

    # Byte order, so that sorting by title is the same on both engines.
    title: Mapped[str] = mapped_column(
        String(TITLE_LENGTH).with_variant(String(TITLE_LENGTH, collation="C"), "postgresql")
    )
    description: Mapped[str | None] = mapped_column(String(DESCRIPTION_LENGTH))
    price: Mapped[Decimal] = mapped_column(Money)
    discount_price: Mapped[Decimal | None] = mapped_column(Money)
    tax: Mapped[Decimal | None] = mapped_column(Percent)
    status: Mapped[ItemStatus] = mapped_column(choice(ItemStatus, "status"), default=ItemStatus.ACTIVE)
    category_id: Mapped[int | None] = mapped_column(BigId, ForeignKey("categories.id", ondelete="RESTRICT"))
    images: Mapped[list[str]] = mapped_column(PortableJson, default=list)
    views: Mapped[int] = mapped_column(BigId, default=0)
    owner_id: Mapped[int] = mapped_column(BigId, ForeignKey("users.id", ondelete="CASCADE"))
    version: Mapped[int] = mapped_column(default=1)
    title_key: Mapped[str] = sort_key_column("title")
    indexed_version: Mapped[int | None]
    """The version that ``title_key`` and ``item_texts`` are of; they are stale while it is not ``version``."""
    views_class: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))
    """About how many ``views`` there are (``views_class`` in ``items/texts.py``); triggers keep it."""


class ItemText(Base):
    """The normalised texts of an item, which search looks into. The items' writers keep it, and triggers index it alone."""

    __tablename__ = "item_texts"

    item_id: Mapped[int] = mapped_column(BigId, ForeignKey("items.id", ondelete="CASCADE"), primary_key=True)
    title: Mapped[str] = mapped_column(Text)
    tags: Mapped[str] = mapped_column(Text)
    description: Mapped[str] = mapped_column(Text)
    facts: Mapped[str] = mapped_column(Text, server_default=text("''"))
    """What filters ask of the item, as words; triggers on ``items`` keep it."""
    tag_names: Mapped[str | None] = mapped_column(Text)
    """The names of its tags, one a line; null where links tell: a trigger on them makes it so when they change."""


class TextRule(Base):
    """By which rule a table of normalised texts was made. While it is an older one, texts are made anew up to ``through``."""

    __tablename__ = "text_rules"

    name: Mapped[str] = mapped_column(String(50), primary_key=True)
    rule: Mapped[int]
    through: Mapped[int | None] = mapped_column(BigId)


class ItemTag(Base):
    """A tag on an item, by name; ``position`` keeps the order in which the owner wrote them."""

    __tablename__ = "item_tags"
    __table_args__ = (Index("ix_item_tags_tag_item_id", "tag", "item_id"),)

    item_id: Mapped[int] = mapped_column(BigId, ForeignKey("items.id", ondelete="CASCADE"), primary_key=True)
    tag: Mapped[str] = mapped_column(
        String(TAG_LENGTH), ForeignKey("tags.name", onupdate="CASCADE", ondelete="CASCADE"), primary_key=True
    )
    position: Mapped[int] = mapped_column(SmallInteger)


KEY_LENGTH: Final = TAG_LENGTH
"""Of the key of a count: a tag's name is the longest."""


class ItemCount(Base):
    """A kept count: how many items of a status there are in all, of a tag, of a category, of an owner.

    Triggers of the database keep it, so that whatever writes items and links keeps it too: cascades, bulk writers, and the
    previous release. On SQLite the row itself is the count; on PostgreSQL it is as of the last folding, and rows of
    ``ItemCountChange`` are what came after.
    """

    __tablename__ = "item_counts"
    # Room for the next version of a row: folding then touches no index.
    __table_args__ = ({"sqlite_with_rowid": False, "postgresql_with": {"fillfactor": 70}},)

    dimension: Mapped[str] = mapped_column(String(16), primary_key=True)
    key: Mapped[str] = mapped_column(String(KEY_LENGTH), primary_key=True)
    status: Mapped[str] = mapped_column(String(16), primary_key=True)
    n: Mapped[int] = mapped_column(BigId)


class ItemCountChange(Base):
    """A difference that is not yet folded into ``ItemCount``: of links of a tag, else of items of a category and an owner.

    Writers of one tag each add rows of their own, where a counter would be one row that all of them wait for.
    """

    __tablename__ = "item_count_changes"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    status: Mapped[str] = mapped_column(String(16))
    tag: Mapped[str | None] = mapped_column(String(TAG_LENGTH))
    category_id: Mapped[int | None] = mapped_column(BigId)
    owner_id: Mapped[int | None] = mapped_column(BigId)
    n: Mapped[int] = mapped_column(BigId)
