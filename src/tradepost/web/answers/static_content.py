"""Static content: the package's own pages and files, compressed once and validated by an entity tag of their bytes."""

import asyncio
import gzip
import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from fastapi import Request
from starlette.responses import Response


@dataclass(frozen=True)
class StaticContent:
    """Bytes that never change, as they are and compressed, with their entity tag."""

    body: bytes
    gzipped: bytes
    etag: str
    media_type: str

    @classmethod
    def of(cls, body: bytes, media_type: str) -> "StaticContent":
        etag = f'"{hashlib.blake2b(body, digest_size=16).hexdigest()}"'
        return cls(body, gzip.compress(body, 6, mtime=0), etag, media_type)

    def answer(self, request: Request, cache_control: str) -> Response:
        """Return the answer: 304 when the client has the same bytes, gzipped when it can decompress them."""
        gzips = "gzip" in request.headers.get("accept-encoding", "") and len(self.gzipped) < len(self.body)
        # A strong ETag names bytes, and the gzipped ones are others (RFC 9110, section 8.8.3.3).
        etag = f'{self.etag[:-1]}-gzip"' if gzips else self.etag
        headers = {"Cache-Control": cache_control, "ETag": etag, "Vary": "Accept-Encoding"}
        known = {
            name.strip().removeprefix("W/") for name in request.headers.get("if-none-match", "").split(",")
        }
        if "*" in known or etag in known:
            return Response(status_code=304, headers=headers)
        if gzips:
            headers["Content-Encoding"] = "gzip"
        return Response(self.gzipped if gzips else self.body, headers=headers, media_type=self.media_type)


class StaticContents:
    """A cache of static content, each made once, in a thread, at its first request."""

    def __init__(self) -> None:
        self._made: dict[str, StaticContent] = {}

    async def get(self, name: str, make: Callable[[], bytes], media_type: str) -> StaticContent:
        found = self._made.get(name)
        if found is None:
            # Two at once both make it; the results are the same.
            found = await asyncio.to_thread(lambda: StaticContent.of(make(), media_type))
            self._made[name] = found
        return found


def root_of(request: Request) -> str:
    """Return the prefix that a proxy in front takes off paths (``--root-path``)."""
    return str(request.scope.get("root_path", "")).rstrip("/")
