"""The hand-written limit on SQLite: bare ASGI, aiosqlite as it comes, and statements that answer finished JSON.

It reads: one connection, and a visit to its thread for each request.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import aiosqlite

from tests.load.peers.limit import COUNT, ITEMS, ME, Limit
from tests.load.peers.serving import serve

if TYPE_CHECKING:
    from uvicorn._types import ASGIReceiveCallable, ASGISendCallable, HTTPScope

OWNER = """json_object('id', u.id, 'first_name', u.first_name, 'last_name', u.last_name,
    'full_name', u.first_name || ' ' || u.last_name, 'avatar_url', u.avatar_url)"""
MOMENT = "replace({0}, ' ', 'T') || 'Z'"
ITEM = f"""json_object('id', i.id, 'title', i.title, 'description', i.description, 'price', i.price / 100.0,
    'discount_price', i.discount_price / 100.0, 'tax', i.tax / 100.0,
    'total_price', round(coalesce(i.discount_price, i.price) * (1 + coalesce(i.tax, 0) / 10000.0)) / 100,
    'status', i.status,
    'tags', (SELECT json_group_array(tag) FROM (SELECT tag FROM item_tags WHERE item_id = i.id ORDER BY position)),
    'category_id', i.category_id, 'images', json(i.images), 'views', i.views,
    'owner_id', i.owner_id, 'owner', {OWNER}, 'version', i.version,
    'created_at', {MOMENT.format("i.created_at")}, 'updated_at', {MOMENT.format("i.updated_at")})"""  # noqa: S608
READ = f"""
SELECT {ITEM} FROM items i JOIN users u ON u.id = i.owner_id WHERE i.id = ? AND i.status = 'active'
"""  # noqa: S608 - put together from constants
LIST = f"""
SELECT json_object('items', json_group_array(json(item)), 'total', ?3, 'page', ?2 / ?1 + 1, 'size', ?1,
    'pages', (?3 + ?1 - 1) / ?1)
FROM (SELECT {ITEM} AS item FROM items i JOIN users u ON u.id = i.owner_id WHERE i.status = 'active'
    ORDER BY i.created_at DESC, i.id DESC LIMIT ?1 OFFSET ?2)
"""  # noqa: S608
READ_ME = f"""
SELECT json_object('id', u.id, 'email', u.email, 'first_name', u.first_name, 'last_name', u.last_name,
    'full_name', u.first_name || ' ' || u.last_name, 'is_active', json(iif(u.is_active, 'true', 'false')),
    'email_verified', json(iif(u.email_verified_at IS NULL, 'false', 'true')),
    'role', u.role, 'avatar_url', u.avatar_url, 'phone', u.phone, 'website', u.website,
    'created_at', {MOMENT.format("u.created_at")}, 'updated_at', {MOMENT.format("u.updated_at")})
FROM sessions s JOIN users u ON u.id = s.user_id
WHERE s.id = ? AND s.user_id = ? AND s.expires_at > datetime('now') AND u.is_active
"""  # noqa: S608


class Reader:
    """The connection, with what the limit needs of an asyncpg pool."""

    def __init__(self, connection: aiosqlite.Connection) -> None:
        self.connection = connection

    async def fetchval(self, statement: str, *values: Any) -> Any:
        """The first column of the first row, or None."""
        rows = list(await self.connection.execute_fetchall(statement, values))
        return rows[0][0] if rows else None


class LimitOnSqlite(Limit):
    """The same answers from a file."""

    async def live(self, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        """Keep the connection open from start-up to shutdown."""
        await receive()
        path = self.database_url.removeprefix("sqlite:///")
        async with aiosqlite.connect(path, isolation_level=None) as connection:
            await connection.execute("PRAGMA query_only = ON")
            self.pool: Any = Reader(connection)
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})

    async def answer(self, scope: HTTPScope, receive: ASGIReceiveCallable) -> tuple[int, str | None]:
        """The status and the JSON for a request; what is changed is not for this one."""
        path = scope["path"]
        if scope["method"] != "GET" or not path.startswith((ITEMS, ME)):
            return 404, None
        if path == ME:
            bearer = self.bearer(scope)
            me = await self.pool.fetchval(READ_ME, bearer.session_id, bearer.user_id)
            return (200, me) if me else (401, None)
        return await super().answer(scope, receive)

    async def one(self, scope: HTTPScope, receive: ASGIReceiveCallable) -> tuple[int, str | None]:
        """Read an item."""
        item = await self.pool.fetchval(READ, int(scope["path"][len(ITEMS) :]))
        return (200, item) if item else (404, None)

    async def list(self, query: dict[str, list[str]]) -> str | None:
        """One page of the newest items, counted unless `total=false`."""
        limit, skip = int(query.get("limit", ["100"])[0]), int(query.get("skip", ["0"])[0])
        total = None if query.get("total") == ["false"] else await self.pool.fetchval(COUNT)
        page: str | None = await self.pool.fetchval(LIST, limit, skip, total)
        return page


if __name__ == "__main__":
    serve(LimitOnSqlite)
