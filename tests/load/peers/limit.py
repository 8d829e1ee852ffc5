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
import re
from base64 import urlsafe_b64decode
from datetime import UTC, datetime, timedelta
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
SEARCHES = "/api/v1/items/search/"
UPLOADS = "/api/v1/upload/items/"
FILES = Path(os.environ.get("DATA_DIR", "."))

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TAG_BYTES = 12
"""Before the place in a cursor."""

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

PAGE = f"""
SELECT json_build_object('items', coalesce(json_agg({STORED_ITEM} ORDER BY i.created_at DESC, i.id DESC), '[]'),
    'total', {{total}}, 'page', {{page}}, 'size', $1::bigint, 'pages', {{pages}})::text
FROM ({{chosen}} ORDER BY created_at DESC, id DESC LIMIT $1 {{skip}}) i JOIN users u ON u.id = i.owner_id
"""  # noqa: S608
PAGES = "ceil($3::bigint / $1::numeric)"

LIST = PAGE.format(
    total="$3::bigint",
    page="$2::bigint / $1::bigint + 1",
    pages=PAGES,
    chosen="SELECT * FROM items WHERE status = 'active'",
    skip="OFFSET $2",
)

AFTER = PAGE.format(
    total="null",
    page="null",
    pages="null",
    chosen="SELECT * FROM items WHERE status = 'active' AND (created_at, id) < ($2, $3)",
    skip="",
)

COUNT_TAGGED = "SELECT count(*) FROM item_tags t JOIN items i ON i.id = t.item_id WHERE t.tag = $1 AND i.status = 'active'"

TAGGED = PAGE.format(
    total="$3::bigint",
    page="1",
    pages=PAGES,
    chosen="""SELECT items.* FROM item_tags t JOIN items ON items.id = t.item_id
    WHERE t.tag = $2 AND items.status = 'active'""",
    skip="",
)

# As migration 0026 has it: an index of words serves the very expression that it is made of.
WORDS = """((title || ' ' || tags || ' ' || description || ' ' || facts || ' ' ||
    '\u00a7b' || (item_id >> 14)::text || ' ' || '\u00a7l' || (item_id >> 17)::text || ' ' ||
    '\u2039' || replace(title, ' ', ' \u2039') || ' ' || '\u203a' || replace(tags, ' ', ' \u203a'))::tsvector)"""

# The words as they are, each by the heaviest field that has it; the newest first.
SEARCH = f"""
SELECT coalesce(json_agg({STORED_ITEM} ORDER BY f.score DESC, i.id DESC), '[]')::text
FROM (
    SELECT item_id, (
        SELECT sum(CASE WHEN strpos(' ' || title || ' ', ' ' || word || ' ') > 0 THEN 4
            WHEN strpos(' ' || tags || ' ', ' ' || word || ' ') > 0 THEN 2 ELSE 1 END)
        FROM unnest($2::text[]) AS asked (word)
    ) AS score
    FROM item_texts WHERE {WORDS} @@ $1::text::tsquery ORDER BY score DESC, item_id DESC LIMIT $3
) f JOIN items i ON i.id = f.item_id JOIN users u ON u.id = i.owner_id
"""  # noqa: S608
ACTIVE = "'\u00a7sactive'"

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
        if path in {ITEMS, SEARCHES}:
            answer = self.page if path == ITEMS else self.search
            return 200, await answer(parse_qs(scope["query_string"].decode()))
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

    async def page(self, query: dict[str, list[str]]) -> str | None:
        """One page of the newest items, counted unless `total=false`."""
        limit, skip = int(query.get("limit", ["100"])[0]), int(query.get("skip", ["0"])[0])
        if "cursor" in query:
            return await self.fetched(AFTER, limit, *place_of(query["cursor"][0]))
        if "tag" in query:
            total = await self.pool.fetchval(COUNT_TAGGED, query["tag"][0])
            return await self.fetched(TAGGED, limit, query["tag"][0], total)
        total = None
        if query.get("total") != ["false"]:
            total = await self.pool.fetchval(COUNT)
        return await self.fetched(LIST, limit, skip, total)

    async def search(self, query: dict[str, list[str]]) -> str | None:
        """The items that have all words, whatever else they have."""
        words = list(dict.fromkeys(re.findall(r"\w+", query["q"][0].lower())))
        wanted = " & ".join([*(f"'{word}'" for word in words), ACTIVE])
        return await self.fetched(SEARCH, wanted, words, int(query["limit"][0]))

    async def fetched(self, statement: str, *values: object) -> str | None:
        """What a statement answers."""
        found: str | None = await self.pool.fetchval(statement, *values)
        return found

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


def place_of(cursor: str) -> tuple[datetime, int]:
    """Where a cursor of Tradepost's newest items stands; whether it is one of its own is not looked at."""
    (_, moment), item_id = json.loads(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))[TAG_BYTES:])
    return EPOCH + timedelta(microseconds=moment), item_id


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
