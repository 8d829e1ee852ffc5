"""Fingerprints of bodies while they stream by: what tells a request from another one, without holding either.

Of a form its parts count, with their names, types and bytes; the borders between them are drawn at random for each request.
"""

import hashlib
from contextlib import suppress
from typing import Protocol

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.types import Message, Receive

_TOLD: tuple[bytes, ...] = (b"content-disposition", b"content-type")


class Fingerprint(Protocol):
    """What is known of a body by the bytes that have come of it."""

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes."""
        ...

    def digest(self) -> bytes:
        """Return the digest of what has come."""
        ...


class PlainFingerprint:
    """The digest of a body's bytes."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def feed(self, chunk: bytes) -> None:
        self._hash.update(chunk)

    def digest(self) -> bytes:
        return self._hash.digest()


class FormFingerprint:
    """The digest of a multipart form's parts, in their order. A body that is no such form has one as well, and is refused."""

    def __init__(self, boundary: bytes) -> None:
        self._parts = hashlib.sha256()
        self._part = hashlib.sha256()
        self._name, self._value = bytearray(), bytearray()
        self._headers: dict[bytes, bytes] = {}
        self._broken = False
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._headers.clear,
                "on_header_field": lambda data, start, end: self._name.extend(data[start:end]),
                "on_header_value": lambda data, start, end: self._value.extend(data[start:end]),
                "on_header_end": self._on_header_end,
                "on_headers_finished": self._on_headers,
                "on_part_data": lambda data, start, end: self._part.update(memoryview(data)[start:end]),
                "on_part_end": lambda: self._parts.update(self._part.digest()),
            },
        )

    def feed(self, chunk: bytes) -> None:
        if not self._broken:
            try:
                self._parser.write(chunk)
            except FormParserError:
                self._broken = True
        if self._broken:
            self._parts.update(chunk)

    def digest(self) -> bytes:
        return self._parts.digest()

    def _on_header_end(self) -> None:
        self._headers[bytes(self._name).lower()] = bytes(self._value).strip()
        self._name.clear()
        self._value.clear()

    def _on_headers(self) -> None:
        self._part = hashlib.sha256()
        for name in _TOLD:
            value = self._headers.get(name, b"")
            self._part.update(b"%d:" % len(value) + value)


class WatchedBody:
    """A body whose fingerprint is taken while a route reads it."""

    def __init__(self, receive: Receive, content_type: bytes) -> None:
        self._receive = receive
        self._ended = False
        kind, options = parse_options_header(content_type)
        boundary = options.get(b"boundary")
        self._fingerprint: Fingerprint = PlainFingerprint()
        if kind == b"multipart/form-data" and boundary:
            with suppress(FormParserError):  # the route refuses such a boundary
                self._fingerprint = FormFingerprint(boundary)

    async def receive(self) -> Message:
        """Receive a message, and note what there is of the body in it."""
        message = await self._receive()
        if message["type"] == "http.request":
            self._fingerprint.feed(message.get("body", b""))
            self._ended = not message.get("more_body", False)
        return message

    def digest(self) -> bytes | None:
        """Return the fingerprint; None until the body has come whole."""
        return self._fingerprint.digest() if self._ended else None
