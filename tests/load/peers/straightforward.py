"""The straightforward way: FastAPI, SQLAlchemy's async ORM, `selectinload`, `response_model`, the engine's own pool.

Written as the frameworks' tutorials have it, with nothing left out and nothing tuned. Only the columns' types are
Tradepost's own: they say how its tables keep money and time on each database.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Annotated, Any
from uuid import uuid4

from fastapi import Depends, FastAPI, Header, HTTPException, Request, UploadFile
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import ForeignKey, func, select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship, selectinload

from tests.load.peers.bearer import BadTokenError, read_bearer
from tests.load.peers.serving import serve
from tradepost.core.database.models import Money, Percent, PortableJson, UtcDateTime

UPLOADS = Path(os.environ.get("DATA_DIR", "."))
CHUNK = 1024 * 1024


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
    phone: Mapped[str | None]
    website: Mapped[str | None]
    avatar_url: Mapped[str | None]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]

    @property
    def full_name(self) -> str:
        """Both names."""
        return f"{self.first_name} {self.last_name}"


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
    item_tags: Mapped[list[ItemTag]] = relationship(order_by=ItemTag.position)

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


class OwnerRead(BaseModel):
    """An item's owner as everybody sees them."""

    model_config = ConfigDict(from_attributes=True)
    id: int
    first_name: str
    last_name: str
    full_name: str
    avatar_url: str | None


class UserRead(OwnerRead):
    """One's own account."""

    email: str
    is_active: bool
    role: str
    phone: str | None
    website: str | None
    created_at: datetime
    updated_at: datetime


class ItemRead(BaseModel):
    """An item as everybody sees it."""

    model_config = ConfigDict(from_attributes=True)
    id: int
    title: str
    description: str | None
    price: float
    discount_price: float | None
    tax: float | None
    total_price: float
    status: str
    tags: list[str]
    category_id: int | None
    images: list[str]
    views: int
    owner_id: int
    owner: OwnerRead
    version: int
    created_at: datetime
    updated_at: datetime


class ItemPage(BaseModel):
    """A part of the list."""

    items: list[ItemRead]
    total: int | None
    page: int
    size: int
    pages: int | None


class ItemCreate(BaseModel):
    """A new item."""

    title: str = Field(min_length=1, max_length=200)
    description: str | None = Field(default=None, max_length=1000)
    price: Decimal = Field(gt=0, max_digits=12, decimal_places=2)
    discount_price: Decimal | None = Field(default=None, gt=0, max_digits=12, decimal_places=2)
    tax: Decimal | None = Field(default=None, ge=0, le=100, decimal_places=2)
    tags: list[str] = Field(default=[], max_length=20)


async def get_session(request: Request) -> AsyncIterator[AsyncSession]:
    """A session for the length of the request."""
    async with request.app.state.sessions() as session:
        yield session


Session = Annotated[AsyncSession, Depends(get_session)]


async def get_current_user(
    request: Request, session: Session, authorization: Annotated[str, Header()]
) -> User:
    """The person behind the token."""
    try:
        bearer = read_bearer(authorization, request.app.state.secret)
    except BadTokenError:
        raise HTTPException(401) from None
    login = await session.scalar(
        select(LoginSession)
        .where(LoginSession.id == bearer.session_id)
        .options(selectinload(LoginSession.user))
    )
    if login is None or login.user_id != bearer.user_id or login.expires_at <= datetime.now(UTC):
        raise HTTPException(401)
    if not login.user.is_active:
        raise HTTPException(401)
    return login.user


CurrentUser = Annotated[User, Depends(get_current_user)]
WITH_OWNER_AND_TAGS = (selectinload(Item.owner), selectinload(Item.item_tags))


async def upload(item_id: int, session: Session, owner: CurrentUser, files: list[UploadFile]) -> Any:
    """Keep documents with an item, as `UploadFile` hands them over."""
    item = await session.get(Item, item_id)
    if item is None or item.owner_id != owner.id:
        raise HTTPException(404)
    stored = []
    for file in files:
        name = f"{uuid4().hex}.pdf"
        digest, size = hashlib.sha256(), 0
        with (UPLOADS / name).open("wb") as out:
            while chunk := await file.read(CHUNK):
                digest.update(chunk)
                size += len(chunk)
                await run_in_threadpool(out.write, chunk)
        now = datetime.now(UTC)
        stored.append(
            File(
                name=name,
                category="documents",
                original_name=file.filename or "",
                content_type=file.content_type or "",
                size=size,
                sha256=digest.hexdigest(),
                state="stored",
                owner_id=owner.id,
                subject_id=item_id,
                created_at=now,
                changed_at=now,
            )
        )
    session.add_all(stored)
    await session.commit()
    return {"uploaded_files": [{"filename": file.name, "size": file.size} for file in stored]}


def make_app(database_url: str, secret: str) -> FastAPI:
    """The application."""
    app = FastAPI()
    driver = "sqlite+aiosqlite://" if database_url.startswith("sqlite:") else "postgresql+asyncpg://"
    engine = create_async_engine(driver + database_url.partition("://")[2])
    app.state.sessions = async_sessionmaker(engine, expire_on_commit=False)
    app.state.secret = secret

    @app.get("/api/v1/items/", response_model=ItemPage)
    async def list_items(session: Session, skip: int = 0, limit: int = 100, total: str = "exact") -> Any:
        statement = select(Item).where(Item.status == "active")
        rows = await session.scalars(
            statement.options(*WITH_OWNER_AND_TAGS)
            .order_by(Item.created_at.desc(), Item.id.desc())
            .limit(limit)
            .offset(skip)
        )
        items = rows.all()
        count = None
        if total != "false":
            count = await session.scalar(select(func.count()).select_from(statement.subquery())) or 0
        pages = None if count is None else -(-count // limit)
        return {"items": items, "total": count, "page": skip // limit + 1, "size": limit, "pages": pages}

    @app.get("/api/v1/items/{item_id}", response_model=ItemRead)
    async def read_item(item_id: int, session: Session) -> Any:
        item = await session.get(Item, item_id, options=WITH_OWNER_AND_TAGS)
        if item is None or item.status != "active":
            raise HTTPException(404)
        return item

    @app.post("/api/v1/items/", response_model=ItemRead, status_code=201)
    async def create_item(new: ItemCreate, session: Session, owner: CurrentUser) -> Any:
        now = datetime.now(UTC)
        known = set(await session.scalars(select(Tag.name).where(Tag.name.in_(new.tags))))
        session.add_all(
            Tag(name=name, created_at=now, updated_at=now) for name in new.tags if name not in known
        )
        links = [ItemTag(tag=name, position=position) for position, name in enumerate(new.tags)]
        item = Item(
            **new.model_dump(exclude={"tags"}),
            status="active",
            images=[],
            views=0,
            version=1,
            category_id=None,
            owner=owner,
            item_tags=links,
            created_at=now,
            updated_at=now,
        )
        session.add(item)
        await session.commit()
        return item

    app.add_api_route("/api/v1/upload/items/{item_id}/documents/", upload, methods=["POST"])

    @app.get("/api/v1/users/me", response_model=UserRead)
    async def read_me(user: CurrentUser) -> Any:
        return user

    return app


if __name__ == "__main__":
    serve(make_app)
