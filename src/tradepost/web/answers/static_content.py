"""Static content: the package's own pages and files, compressed once and validated by an entity tag of their bytes."""

import asyncio
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from fastapi import Request
from starlette.responses import Response

from tradepost.core.settings.settings import Settings
from tradepost.web.answers.content_coding import CODINGS, IDENTITY, accepted_coding

MOST_KEPT: Final = 16
"""Contents that are kept: some are made for a prefix, and which prefixes there are, a client may have a say in."""


@dataclass(frozen=True)
class StaticContent:
    """Bytes that never change, as they are and by each coding that makes fewer of them, with their entity tag."""

    body: bytes
    coded: Mapping[str, bytes]
    etag: str
    media_type: str

    @classmethod
    def of(cls, body: bytes, media_type: str) -> "StaticContent":
        etag = f'"{hashlib.blake2b(body, digest_size=16).hexdigest()}"'
        coded = {name: compress(body) for name, compress in CODINGS.items()}
        smaller = {name: result for name, result in coded.items() if len(result) < len(body)}
        return cls(body, smaller, etag, media_type)

    def answer(self, request: Request, cache_control: str) -> Response:
        """Return the answer: 304 when the client has the same bytes, in the coding that it likes best."""
        coding = accepted_coding(request.headers.get("accept-encoding", ""), tuple(self.coded))
        # A strong ETag names bytes, and those of a coding are others (RFC 9110, section 8.8.3.3).
        etag = self.etag if coding == IDENTITY else f'{self.etag[:-1]};{coding}"'
        headers = {"Cache-Control": cache_control, "ETag": etag, "Vary": "Accept-Encoding"}
        known = {
            name.strip().removeprefix("W/") for name in request.headers.get("if-none-match", "").split(",")
        }
        if "*" in known or etag in known:
            return Response(status_code=304, headers=headers)
        if coding != IDENTITY:
            headers["Content-Encoding"] = coding
        return Response(self.coded.get(coding, self.body), headers=headers, media_type=self.media_type)


class StaticContents:
    """A cache of static content, each made in a thread at its first request; the ``MOST_KEPT`` used last are kept."""

    def __init__(self) -> None:
        self._made: dict[str, StaticContent] = {}

    async def get(self, name: str, make: Callable[[], bytes], media_type: str) -> StaticContent:
        found = self._made.pop(name, None)
        if found is None:
            # Two at once both make it; the results are the same.
            found = await asyncio.to_thread(lambda: StaticContent.of(make(), media_type))
        self._made[name] = found
        while len(self._made) > MOST_KEPT:
            del self._made[next(iter(self._made))]
        return found


def root_of(request: Request, settings: Settings) -> str:
    """Return the prefix that a proxy in front takes off paths: as the proxy says, else as ``PUBLIC_URL`` does."""
    told = str(request.scope.get("root_path", "")).rstrip("/")
    return told or urlsplit(settings.PUBLIC_URL).path
