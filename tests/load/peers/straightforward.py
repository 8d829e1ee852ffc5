"""The straightforward way: FastAPI, SQLAlchemy's async ORM, `selectinload`, `response_model`, the engine's own pool.

Written as the frameworks' tutorials have it, with nothing left out and nothing tuned.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any
from uuid import uuid4

from fastapi import Depends, FastAPI, Header, HTTPException, Request, Response, UploadFile
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import selectinload

from tests.load.peers.bearer import BadTokenError, read_bearer
from tests.load.peers.serving import serve
from tests.load.peers.straightforward_models import (
    WITH_OWNER_AND_TAGS,
    Event,
    File,
    Item,
    ItemTag,
    LoginSession,
    Participant,
    StoredKey,
    Tag,
    User,
)

UPLOADS = Path(os.environ.get("DATA_DIR", "."))
CHUNK = 1024 * 1024
DIGEST_SIZE = 32


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
    email_verified: bool
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


class ItemUpdate(BaseModel):
    """Changes to an item."""

    title: str = Field(default="", min_length=1, max_length=200)
    description: str | None = Field(default=None, max_length=1000)
    price: Decimal = Field(default=Decimal(1), gt=0, max_digits=12, decimal_places=2)


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


async def update_item(item_id: int, changes: ItemUpdate, session: Session, owner: CurrentUser) -> Any:
    """Change an item's fields."""
    item = await session.get(Item, item_id, options=WITH_OWNER_AND_TAGS, with_for_update={"of": Item})
    if item is None:
        raise HTTPException(404)
    if item.owner_id != owner.id:
        raise HTTPException(403)
    for name, value in changes.model_dump(exclude_unset=True).items():
        setattr(item, name, value)
    item.version += 1
    item.updated_at = datetime.now(UTC)
    await session.commit()
    return item


async def delete_item(item_id: int, session: Session, owner: CurrentUser) -> Any:
    """Delete an item."""
    item = await session.get(Item, item_id, with_for_update=True)
    if item is None:
        raise HTTPException(404)
    if item.owner_id != owner.id:
        raise HTTPException(403)
    await session.delete(item)
    await session.commit()
    return {"message": "Item deleted successfully"}


async def _place(session: AsyncSession, event_id: int, user_id: int) -> tuple[Event, Participant | None]:
    event = await session.get(Event, event_id, with_for_update=True)
    if event is None:
        raise HTTPException(404)
    one = select(Participant).where(Participant.event_id == event_id, Participant.user_id == user_id)
    return event, await session.scalar(one)


async def join_event(event_id: int, session: Session, user: CurrentUser, response: Response) -> Any:
    """Take a seat at an event, or a place on its waiting list."""
    event, mine = await _place(session, event_id, user.id)
    if mine is not None:
        response.status_code = 200
        return {"event_id": event_id, "user_id": user.id, "status": mine.status}
    now = datetime.now(UTC)
    seated = event.participants_count < event.max_participants
    event.last_number += 1
    if seated:
        event.participants_count += 1
    else:
        event.waiting_count += 1
    mine = Participant(
        event_id=event_id,
        user_id=user.id,
        number=event.last_number,
        status="joined" if seated else "waiting",
        joined_at=now,
        seated_at=now if seated else None,
    )
    session.add(mine)
    await session.commit()
    return {"event_id": event_id, "user_id": user.id, "status": mine.status}


async def leave_event(event_id: int, session: Session, user: CurrentUser) -> Any:
    """Give up a seat, which goes to the first who waits, or a place on the waiting list."""
    event, mine = await _place(session, event_id, user.id)
    if mine is None:
        raise HTTPException(404)
    await session.delete(mine)
    waiting = select(Participant).where(Participant.event_id == event_id, Participant.status == "waiting")
    if mine.status == "waiting":
        event.waiting_count -= 1
    elif (heir := await session.scalar(waiting.order_by(Participant.number).limit(1))) is not None:
        heir.status, heir.seated_at = "joined", datetime.now(UTC)
        event.waiting_count -= 1
    else:
        event.participants_count -= 1
    await session.commit()
    return {"message": "Left the event"}


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
    async def create_item(
        new: ItemCreate,
        session: Session,
        owner: CurrentUser,
        idempotency_key: Annotated[str | None, Header()] = None,
    ) -> Any:
        digest = hashlib.sha256(f"{owner.id} {idempotency_key}".encode()).digest()[:DIGEST_SIZE]
        if idempotency_key is not None:
            kept = await session.get(StoredKey, digest)
            if kept is not None:
                return Response(kept.answer, kept.status, media_type="application/json")
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
        if idempotency_key is not None:
            await session.flush()
            session.add(
                StoredKey(
                    digest=digest,
                    user_id=owner.id,
                    fingerprint=hashlib.sha256(new.model_dump_json().encode()).digest()[:DIGEST_SIZE],
                    status=201,
                    headers=[],
                    answer=ItemRead.model_validate(item).model_dump_json().encode(),
                    created_at=now,
                )
            )
        await session.commit()
        return item

    app.add_api_route("/api/v1/items/{item_id}", update_item, methods=["PATCH"], response_model=ItemRead)
    app.add_api_route("/api/v1/items/{item_id}", delete_item, methods=["DELETE"])
    participants = "/api/v1/events/{event_id}/participants"
    app.add_api_route(participants, join_event, methods=["POST"], status_code=201)
    app.add_api_route(participants, leave_event, methods=["DELETE"])
    app.add_api_route("/api/v1/upload/items/{item_id}/documents/", upload, methods=["POST"])

    @app.get("/api/v1/users/me", response_model=UserRead)
    async def read_me(user: CurrentUser) -> Any:
        return user

    return app


if __name__ == "__main__":
    serve(make_app)
