"""The tables of the straightforward way, mapped as the frameworks' tutorials have it.

Only the columns' types are Tradepost's own: they say how its tables keep money and time on each database.
"""

from __future__ import annotations

from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from sqlalchemy import ForeignKey
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship, selectinload

from tradepost.core.database.models import Money, Percent, PortableJson, UtcDateTime


class Base(DeclarativeBase):
    """The root of the mapped classes."""

    type_annotation_map = {datetime: UtcDateTime(), list[str]: PortableJson}  # noqa: RUF012 - SQLAlchemy's idiom


class User(Base):
    """A person."""

    __tablename__ = "users"
    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str]
    first_name: Mapped[str]
    last_name: Mapped[str]
    role: Mapped[str]
    is_active: Mapped[bool]
    email_verified_at: Mapped[datetime | None]
    phone: Mapped[str | None]
    website: Mapped[str | None]
    avatar_url: Mapped[str | None]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]

    @property
    def full_name(self) -> str:
        """Both names."""
        return f"{self.first_name} {self.last_name}"

    @property
    def email_verified(self) -> bool:
        """Whether the address is taken for proved."""
        return self.email_verified_at is not None


class LoginSession(Base):
    """What a token hangs on."""

    __tablename__ = "sessions"
    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    expires_at: Mapped[datetime]
    user: Mapped[User] = relationship()


class Tag(Base):
    """A known tag."""

    __tablename__ = "tags"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class ItemTag(Base):
    """A tag on an item."""

    __tablename__ = "item_tags"
    item_id: Mapped[int] = mapped_column(ForeignKey("items.id"), primary_key=True)
    tag: Mapped[str] = mapped_column(primary_key=True)
    position: Mapped[int]


class Item(Base):
    """A thing for sale."""

    __tablename__ = "items"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    description: Mapped[str | None]
    price: Mapped[Decimal] = mapped_column(Money)
    discount_price: Mapped[Decimal | None] = mapped_column(Money)
    tax: Mapped[Decimal | None] = mapped_column(Percent)
    status: Mapped[str]
    category_id: Mapped[int | None]
    images: Mapped[list[str]]
    views: Mapped[int]
    owner_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    version: Mapped[int]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    owner: Mapped[User] = relationship()
    item_tags: Mapped[list[ItemTag]] = relationship(order_by=ItemTag.position, passive_deletes="all")

    @property
    def tags(self) -> list[str]:
        """The tags' names."""
        return [link.tag for link in self.item_tags]

    @property
    def total_price(self) -> Decimal:
        """What a buyer pays."""
        base = self.price if self.discount_price is None else self.discount_price
        return (base * (1 + (self.tax or 0) / Decimal(100))).quantize(Decimal("0.01"), ROUND_HALF_UP)


class File(Base):
    """A file that was uploaded."""

    __tablename__ = "files"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    category: Mapped[str]
    original_name: Mapped[str]
    content_type: Mapped[str]
    size: Mapped[int]
    sha256: Mapped[str]
    state: Mapped[str]
    owner_id: Mapped[int]
    subject_id: Mapped[int]
    created_at: Mapped[datetime]
    changed_at: Mapped[datetime]


class Event(Base):
    """A gathering with seats."""

    __tablename__ = "events"
    id: Mapped[int] = mapped_column(primary_key=True)
    max_participants: Mapped[int]
    participants_count: Mapped[int]
    waiting_count: Mapped[int]
    last_number: Mapped[int]


class Participant(Base):
    """A person with a seat at an event, or on its waiting list."""

    __tablename__ = "event_participants"
    id: Mapped[int] = mapped_column(primary_key=True)
    event_id: Mapped[int]
    user_id: Mapped[int]
    number: Mapped[int]
    status: Mapped[str]
    joined_at: Mapped[datetime]
    seated_at: Mapped[datetime | None]


class StoredKey(Base):
    """An idempotency key and its answer."""

    __tablename__ = "idempotency_keys"
    digest: Mapped[bytes] = mapped_column(primary_key=True)
    user_id: Mapped[int]
    fingerprint: Mapped[bytes]
    status: Mapped[int]
    headers: Mapped[list[Any]] = mapped_column(PortableJson)
    answer: Mapped[bytes]
    created_at: Mapped[datetime]


WITH_OWNER_AND_TAGS = (selectinload(Item.owner), selectinload(Item.item_tags))
