"""Files and pages of the package's own: packed and named by their content once, then sent again and again."""

import asyncio
import gzip
import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from fastapi import Request
from starlette.responses import Response


@dataclass(frozen=True)
class Prepared:
    """Bytes that are sent again and again: as they are, packed, and named by their content."""

    body: bytes
    packed: bytes
    etag: str
    media_type: str

    @classmethod
    def of(cls, body: bytes, media_type: str) -> "Prepared":
        etag = f'"{hashlib.blake2b(body, digest_size=16).hexdigest()}"'
        return cls(body, gzip.compress(body, 6, mtime=0), etag, media_type)

    def answer(self, request: Request, cache_control: str) -> Response:
        """Return the answer: 304 when the client has the same bytes, packed when it can unpack them."""
        packs = "gzip" in request.headers.get("accept-encoding", "") and len(self.packed) < len(self.body)
        # A strong ETag names bytes, and the packed ones are others (RFC 9110, section 8.8.3.3).
        etag = f'{self.etag[:-1]}-gzip"' if packs else self.etag
        headers = {"Cache-Control": cache_control, "ETag": etag, "Vary": "Accept-Encoding"}
        known = {
            name.strip().removeprefix("W/") for name in request.headers.get("if-none-match", "").split(",")
        }
        if "*" in known or etag in known:
            return Response(status_code=304, headers=headers)
        if packs:
            headers["Content-Encoding"] = "gzip"
        return Response(self.packed if packs else self.body, headers=headers, media_type=self.media_type)


class Shelf:
    """Prepares each thing once, in a thread, when it is first asked for."""

    def __init__(self) -> None:
        self._prepared: dict[str, Prepared] = {}

    async def get(self, name: str, make: Callable[[], bytes], media_type: str) -> Prepared:
        found = self._prepared.get(name)
        if found is None:
            # Two at once both make it; the results are the same.
            found = await asyncio.to_thread(lambda: Prepared.of(make(), media_type))
            self._prepared[name] = found
        return found


def root_of(request: Request) -> str:
    """Return the prefix that a proxy in front takes off paths (``--root-path``)."""
    return str(request.scope.get("root_path", "")).rstrip("/")
