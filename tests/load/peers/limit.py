"""The hand-written limit: bare ASGI, asyncpg, and statements that answer finished JSON.

About as fast as Python and PostgreSQL can answer one request with one statement. It validates almost nothing,
documents nothing and logs nothing: a yardstick, not a way to write an API. The pool is asyncpg's own as it comes,
which resets a connection's state after each use; `limit_without_reset` is what that costs.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import parse_qs
from uuid import uuid4

import asyncpg
from python_multipart.multipart import MultipartParser

from tests.load.peers.bearer import BadTokenError, Bearer, read_bearer
from tests.load.peers.serving import serve

if TYPE_CHECKING:
    from uvicorn._types import ASGIReceiveCallable, ASGISendCallable, HTTPScope, Scope

POOL_SIZE = 8
ITEMS = "/api/v1/items/"
ME = "/api/v1/users/me"
UPLOADS = "/api/v1/upload/items/"
FILES = Path(os.environ.get("DATA_DIR", "."))

# `i` is a row of items, `u` one of users.
OWNER = """json_build_object('id', u.id, 'first_name', u.first_name, 'last_name', u.last_name,
    'full_name', u.first_name || ' ' || u.last_name, 'avatar_url', u.avatar_url)"""
ITEM = f"""json_build_object('id', i.id, 'title', i.title, 'description', i.description, 'price', i.price,
    'discount_price', i.discount_price, 'tax', i.tax,
    'total_price', round(coalesce(i.discount_price, i.price) * (1 + coalesce(i.tax, 0) / 100), 2),
    'status', i.status, 'tags', {{tags}}, 'category_id', i.category_id, 'images', i.images, 'views', i.views,
    'owner_id', i.owner_id, 'owner', {OWNER}, 'version', i.version,
    'created_at', i.created_at, 'updated_at', i.updated_at)"""
TAGS_OF_ITEM = "ARRAY(SELECT tag FROM item_tags WHERE item_id = i.id ORDER BY position)"
STORED_ITEM = ITEM.format(tags=TAGS_OF_ITEM)

READ = f"""
SELECT {STORED_ITEM}::text FROM items i JOIN users u ON u.id = i.owner_id WHERE i.id = $1 AND i.status = 'active'
"""  # noqa: S608 - put together from constants

LIST = f"""
SELECT json_build_object('items', coalesce(json_agg({STORED_ITEM} ORDER BY i.created_at DESC, i.id DESC), '[]'),
    'total', $3::bigint, 'page', $2::bigint / $1::bigint + 1, 'size', $1::bigint,
    'pages', ceil($3::bigint / $1::numeric))::text
FROM (SELECT * FROM items WHERE status = 'active' ORDER BY created_at DESC, id DESC LIMIT $1 OFFSET $2) i
JOIN users u ON u.id = i.owner_id
"""  # noqa: S608

COUNT = "SELECT count(*) FROM items WHERE status = 'active'"

# The session and the person behind a token, read afresh for every request as Tradepost does.
PERSON = """
SELECT {columns} FROM sessions s JOIN users u ON u.id = s.user_id
WHERE s.id = $1 AND s.user_id = $2 AND s.expires_at > now() AND u.is_active
"""

READ_ME = PERSON.format(
    columns="""json_build_object('id', u.id, 'email', u.email, 'first_name', u.first_name,
    'last_name', u.last_name, 'full_name', u.first_name || ' ' || u.last_name, 'is_active', u.is_active,
    'email_verified', u.email_verified_at IS NOT NULL, 'role', u.role, 'avatar_url', u.avatar_url, 'phone', u.phone, 'website', u.website,
    'created_at', u.created_at, 'updated_at', u.updated_at)::text"""
)

CREATE = f"""
WITH u AS ({PERSON.format(columns="u.*")}),
i AS (
    INSERT INTO items (title, description, price, discount_price, tax, status, images, views, owner_id, version,
        created_at, updated_at)
    SELECT $3, $4, $5, $6, $7, 'active', '[]', 0, u.id, 1, now(), now() FROM u RETURNING *
),
named AS (
    INSERT INTO tags (name, created_at, updated_at)
    SELECT name, now(), now() FROM i, unnest($8::text[]) AS wanted (name)
    WHERE NOT EXISTS (SELECT FROM tags WHERE tags.name = wanted.name)
    ON CONFLICT DO NOTHING
),
linked AS (
    INSERT INTO item_tags (item_id, tag, position)
    SELECT i.id, wanted.name, wanted.position - 1 FROM i, unnest($8::text[]) WITH ORDINALITY AS wanted (name, position)
)
SELECT {ITEM.format(tags="$8::text[]")}::text FROM i, u
"""  # noqa: S608

CHANGE = f"""
WITH u AS ({PERSON.format(columns="u.*")}),
i AS (
    UPDATE items SET price = $4, version = items.version + 1, updated_at = now() FROM u
    WHERE items.id = $3 AND items.owner_id = u.id RETURNING items.*
)
SELECT {STORED_ITEM}::text FROM i, u
"""  # noqa: S608

KEEP = f"""
INSERT INTO files (name, category, original_name, content_type, size, sha256, state, owner_id, subject_id, created_at,
    changed_at)
SELECT $4, 'documents', '', 'application/pdf', $5, $6, 'stored', u.id, i.id, now(), now()
FROM ({PERSON.format(columns="u.id")}) u JOIN items i ON i.owner_id = u.id AND i.id = $3 RETURNING name
"""  # noqa: S608


class Limit:
    """The ASGI application."""

    pool_options: ClassVar[dict[str, Any]] = {}

    def __init__(self, database_url: str, secret: str) -> None:
        self.database_url = database_url
        self.secret = secret
        self.pool: asyncpg.Pool[asyncpg.Record]

    async def __call__(self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        if scope["type"] == "lifespan":
            await self.live(receive, send)
        elif scope["type"] == "http":
            try:
                status, body = await self.answer(scope, receive)
            except BadTokenError:
                status, body = 401, None
            payload = (body or '{"detail": "refused"}').encode()
            headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(payload))]
            await send(
                {"type": "http.response.start", "status": status, "headers": headers, "trailers": False}
            )
            await send({"type": "http.response.body", "body": payload, "more_body": False})

    async def live(self, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        """Keep the pool open from start-up to shutdown."""
        await receive()
        async with asyncpg.create_pool(
            self.database_url,
            min_size=POOL_SIZE,
            max_size=POOL_SIZE,
            server_settings={"timezone": "UTC"},
            **self.pool_options,
        ) as self.pool:
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})

    async def answer(self, scope: HTTPScope, receive: ASGIReceiveCallable) -> tuple[int, str | None]:
        """The status and the JSON for a request."""
        path = scope["path"]
        if path.startswith(UPLOADS):
            item_id = int(path[len(UPLOADS) :].partition("/")[0])
            return await self.upload(self.bearer(scope), item_id, scope, receive)
        if scope["method"] == "POST" and path == ITEMS:
            return await self.create(self.bearer(scope), await whole_body(receive))
        if path == ITEMS:
            return 200, await self.list(parse_qs(scope["query_string"].decode()))
        if path == ME:
            bearer = self.bearer(scope)
            me: str | None = await self.pool.fetchval(READ_ME, bearer.session_id, bearer.user_id)
            return (200, me) if me else (401, None)
        return await self.one(scope, receive) if path.startswith(ITEMS) else (404, None)

    async def one(self, scope: HTTPScope, receive: ASGIReceiveCallable) -> tuple[int, str | None]:
        """Read an item, or change it."""
        item_id = int(scope["path"][len(ITEMS) :])
        if scope["method"] == "PATCH":
            return await self.change(self.bearer(scope), item_id, await whole_body(receive))
        item: str | None = await self.pool.fetchval(READ, item_id)
        return (200, item) if item else (404, None)

    def bearer(self, scope: HTTPScope) -> Bearer:
        """Whose request this is."""
        for name, value in scope["headers"]:
            if name == b"authorization":
                return read_bearer(value.decode("latin-1"), self.secret)
        raise BadTokenError

    async def list(self, query: dict[str, list[str]]) -> str | None:
        """One page of the newest items, counted unless `total=false`."""
        limit, skip = int(query.get("limit", ["100"])[0]), int(query.get("skip", ["0"])[0])
        total: int | None = None
        if query.get("total") != ["false"]:
            total = await self.pool.fetchval(COUNT)
        page: str | None = await self.pool.fetchval(LIST, limit, skip, total)
        return page

    async def create(self, bearer: Bearer, body: bytes) -> tuple[int, str | None]:
        """Insert an item and its tags, and answer it."""
        new = json.loads(body, parse_float=Decimal)
        created: str | None = await self.pool.fetchval(
            CREATE,
            bearer.session_id,
            bearer.user_id,
            new["title"],
            new.get("description"),
            new["price"],
            new.get("discount_price"),
            new.get("tax"),
            new.get("tags", []),
        )
        return (201, created) if created else (401, None)

    async def change(self, bearer: Bearer, item_id: int, body: bytes) -> tuple[int, str | None]:
        """Give an item another price, and answer it."""
        price = json.loads(body, parse_float=Decimal)["price"]
        changed: str | None = await self.pool.fetchval(
            CHANGE, bearer.session_id, bearer.user_id, item_id, price
        )
        return (200, changed) if changed else (404, None)

    async def upload(
        self, bearer: Bearer, item_id: int, scope: HTTPScope, receive: ASGIReceiveCallable
    ) -> tuple[int, str | None]:
        """Write the one file of a form while it arrives, in a thread, and insert its row."""
        name = f"{uuid4().hex}.pdf"
        digest, size = hashlib.sha256(), 0
        pieces: list[bytes] = []
        boundary = next(value for name, value in scope["headers"] if name == b"content-type").split(b"=")[1]
        parser = MultipartParser(
            boundary, {"on_part_data": lambda data, start, end: pieces.append(data[start:end])}
        )
        with (FILES / name).open("wb", buffering=0) as out:
            more = True

            def keep() -> None:
                for piece in pieces:
                    digest.update(piece)
                    out.write(piece)

            while more:
                event = await receive()
                if event["type"] != "http.request":
                    raise ConnectionError
                parser.write(event["body"])
                more = event["more_body"]
                if pieces:
                    size += sum(map(len, pieces))
                    await asyncio.to_thread(keep)
                    pieces.clear()
            # What is answered is on the disk, as with Tradepost.
            await asyncio.to_thread(os.fsync, out.fileno())
        kept = await self.pool.fetchval(
            KEEP, bearer.session_id, bearer.user_id, item_id, name, size, digest.hexdigest()
        )
        return (200, json.dumps({"uploaded_files": [{"filename": kept}]})) if kept else (404, None)


async def whole_body(receive: ASGIReceiveCallable) -> bytes:
    """The request's body."""
    body = b""
    while True:
        event = await receive()
        if event["type"] != "http.request":
            return body
        body += event["body"]
        if not event["more_body"]:
            return body


if __name__ == "__main__":
    serve(Limit)
