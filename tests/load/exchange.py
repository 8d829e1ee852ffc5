"""HTTP/1.1 over sockets that never block: keep-alive, one request at a time, bodies by Content-Length or in chunks.

As little as a measurement needs, so that on a small machine the generator leaves the cores to what it measures.
"""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass, field

CHUNK = 256 * 1024
CONTENT_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)", re.IGNORECASE)
RETRY_AFTER = re.compile(rb"\r\nretry-after:[ \t]*(\d+)", re.IGNORECASE)
CLOSE = re.compile(rb"\r\nconnection:[ \t]*close", re.IGNORECASE)
CHUNKED = re.compile(rb"\r\ntransfer-encoding:[ \t]*chunked", re.IGNORECASE)
HEAD_END = b"\r\n\r\n"
STATUS = slice(9, 12)
NOT_MODIFIED = b"304"
UNAVAILABLE = 503


class ProtocolError(Exception):
    """The server sent something that is no answer this client understands, or closed before it was complete."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer; `last` when the server said that it closes the connection after it."""

    status: int
    body: bytes
    last: bool


def parse(received: bytes) -> Answer | None:
    """The answer in `received`, or None while it is not complete."""
    head_end = received.find(HEAD_END)
    if head_end < 0:
        return None
    length = CONTENT_LENGTH.search(received, 0, head_end)
    if received[STATUS] == NOT_MODIFIED:
        size = 0  # whatever length it tells of
    elif length is None and CHUNKED.search(received, 0, head_end):
        return _in_chunks(received, head_end + len(HEAD_END))
    elif length is None:
        message = f"no Content-Length in {received[:head_end]!r}"
        raise ProtocolError(message)
    else:
        size = int(length[1])
    body_start = head_end + len(HEAD_END)
    missing = body_start + size - len(received)
    if missing > 0:
        return None
    if missing < 0:
        message = "more bytes than the answer's Content-Length announced"
        raise ProtocolError(message)
    last = CLOSE.search(received, 0, head_end) is not None
    return Answer(int(received[STATUS]), received[body_start:], last)


def _in_chunks(received: bytes, at: int) -> Answer | None:
    """The answer whose chunks begin there, or None while it is not complete."""
    body: list[bytes] = []
    while (line_end := received.find(b"\r\n", at)) >= 0:
        size = int(received[at:line_end], 16)
        start, at = line_end + 2, line_end + 2 + size + 2
        if len(received) < at:
            break
        if size == 0:
            if len(received) > at:
                message = "more bytes than the answer's last chunk"
                raise ProtocolError(message)
            return Answer(int(received[STATUS]), b"".join(body), CLOSE.search(received) is not None)
        body.append(received[start : start + size])
    return None


@dataclass(slots=True)
class Connection:
    """One client: a kept-alive connection, what it waits for, and how often it was served."""

    address: tuple[str, int]
    socket: socket.socket = field(init=False)
    since: float = 0.0
    """From when the answer's latency counts: its sending, or in an open loop the moment it was due."""
    request: int = -1
    """The number of the request in flight, -1 for none."""
    answers: int = 0
    kind: int = 0
    """What the one who sent the request calls it."""
    retry_after: int = 0
    """Seconds, as the last answer had it."""
    _received: bytes = b""

    is_closed: bool = True
    waits: bool = True
    """Whether opening it waits until the server has accepted; else the socket can be written to from then on."""

    def __post_init__(self) -> None:
        self.open()

    def open(self) -> None:
        """Connect; nothing is in flight."""
        if self.waits:
            self.socket = socket.create_connection(self.address, timeout=10)
            self.socket.settimeout(0)
        else:
            self.socket = socket.socket()
            self.socket.settimeout(0)
            # What is wrong with it is told by the first request.
            self.socket.connect_ex(self.address)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.is_closed = False

    def close(self) -> None:
        """Disconnect; what was in flight is lost."""
        self.socket.close()
        self._received = b""
        self.request = -1
        self.is_closed = True

    def send(self, number: int, encoded: bytes, *, since: float) -> None:
        """Send one request. It is far smaller than a socket's buffer, so a short write is an error."""
        try:
            sent = self.socket.send(encoded)
        except OSError as error:
            raise ProtocolError(str(error)) from error
        if sent != len(encoded):
            message = f"only {sent} of {len(encoded)} bytes of a request fitted"
            raise ProtocolError(message)
        self.request = number
        self.since = since

    def receive(self) -> Answer | None:
        """Take what has arrived; the answer once it is complete. `ProtocolError` when the server closed."""
        try:
            chunk = self.socket.recv(CHUNK)
        except BlockingIOError:
            return None
        except OSError as error:
            raise ProtocolError(str(error)) from error
        if not chunk:
            message = "the server closed the connection"
            raise ProtocolError(message)
        if self._received:
            chunk = self._received + chunk
        answer = parse(chunk)
        self._received = b"" if answer is not None else chunk
        if answer is not None and answer.status == UNAVAILABLE:
            told = RETRY_AFTER.search(chunk)
            self.retry_after = 0 if told is None else int(told[1])
        return answer
