"""The HTTP client of webhooks: one signed request to a receiver, and the part of its answer that is kept."""

import asyncio
import re
import ssl
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

import httpcore2
import httpx2

from tradepost.core.clock import Clock
from tradepost.core.observability.server_timing import timing
from tradepost.core.observability.trace_context import child_of, traceparent
from tradepost.webhooks.network import PublicNetwork, Resolver
from tradepost.webhooks.targets import Target, TargetRules, UnacceptableTarget

CONCURRENCY: Final = 32
"""Requests that one process has under way, at most."""
CONNECT_TIMEOUT: Final = 5.0
ANSWER_TIMEOUT: Final = 15.0
"""Seconds until the head of the answer must be there."""
EXCERPT_TIMEOUT: Final = 2.0
"""Seconds for the body after that: the status has decided already."""
EXCERPT_BYTES: Final = 4096
IDLE_SECONDS: Final = 4.0
"""How long an idle connection is kept: less than the five seconds after which most servers close it."""

_SECONDS: Final = re.compile(r"[0-9]{1,9}")
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
GONE: Final = 410


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a request. ``status`` is None, and ``error`` says why, when none came."""

    status: int | None
    error: str | None
    excerpt: str | None = None
    retry_after: float = 0.0
    """The receiver's ``Retry-After`` with 429 and 503, in seconds."""

    @property
    def delivered(self) -> bool:
        """Whether the receiver took the message."""
        return self.error is None


class WebhookSender:
    """Sends requests over a pool of connections. Lives as long as the process; close it at the end.

    It follows no redirect, uses no proxy of the environment, and reads no more of an answer than it keeps.
    """

    def __init__(
        self,
        rules: TargetRules,
        *,
        clock: Clock,
        agent: str,
        resolver: Resolver | None = None,
        trust: ssl.SSLContext | None = None,
    ) -> None:
        self._rules = rules
        self._clock = clock
        self._agent = agent
        self._resolver = resolver or Resolver()
        self._trust = trust
        self._pool: httpcore2.AsyncConnectionPool | None = None

    async def send(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Post ``body`` to ``url``; a failure of the receiver is an answer, never an exception."""
        try:
            target = self._rules.read(url)
        except UnacceptableTarget as fault:
            return Answer(None, str(fault))
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT):
                pool = self._pool or await self._opened()
                response = await pool.handle_async_request(self._request(target, headers, body))
        except Exception as error:  # noqa: BLE001 - a stranger's server can make a library raise anything
            return Answer(None, _why(error))
        try:
            return self._judged(response, await _excerpt(response))
        finally:
            # The status is known: however the connection ends, the message was received or refused.
            with suppress(Exception):
                await response.aclose()

    async def close(self) -> None:
        """Close the connections."""
        self._resolver.close()
        if self._pool is not None:
            await self._pool.aclose()

    async def _opened(self) -> httpcore2.AsyncConnectionPool:
        # Reading the certificates would block the loop.
        trust = self._trust or await asyncio.to_thread(httpx2.create_ssl_context)
        if self._pool is None:
            self._pool = httpcore2.AsyncConnectionPool(
                ssl_context=trust,
                max_connections=CONCURRENCY,
                keepalive_expiry=IDLE_SECONDS,
                network_backend=PublicNetwork(self._rules, self._resolver),
            )
        return self._pool

    def _request(self, target: Target, headers: Mapping[str, str], body: bytes) -> httpcore2.Request:
        fields = {
            "Host": target.host_header,
            "User-Agent": self._agent,
            "Accept": "*/*",
            # A compressed answer could unpack to gigabytes.
            "Accept-Encoding": "identity",
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            **headers,
        }
        context = traceparent.get()
        if context is not None:
            asked = timing.get()
            # A span that is told of is a parent that those who look will find.
            recorded = asked is not None and asked.span is not None
            fields["traceparent"] = context if recorded else child_of(context, self._clock)
        return httpcore2.Request(
            "POST",
            httpcore2.URL(
                scheme=target.scheme.encode(),
                host=target.host.encode(),
                port=target.port,
                target=target.path,
            ),
            headers=[(name.encode(), value.encode()) for name, value in fields.items()],
            content=body,
            extensions={
                "timeout": {
                    "connect": CONNECT_TIMEOUT,
                    "read": ANSWER_TIMEOUT,
                    "write": ANSWER_TIMEOUT,
                    "pool": ANSWER_TIMEOUT,
                }
            },
        )

    def _judged(self, response: httpcore2.Response, excerpt: str) -> Answer:
        status = response.status
        if 200 <= status < 300:  # noqa: PLR2004 - what HTTP calls success
            return Answer(status, None, excerpt)
        error = f"The receiver answered {status}"
        if status in _REDIRECTS:
            error += "; redirects are not followed"
        asked = self._retry_after(response) if status in {429, 503} else 0.0
        return Answer(status, error, excerpt, asked)

    def _retry_after(self, response: httpcore2.Response) -> float:
        """Return the seconds that ``Retry-After`` asks for, given as a number or as a moment (RFC 9110, 10.2.3)."""
        value = next((value for name, value in response.headers if name.lower() == b"retry-after"), b"")
        text = value.decode("latin-1").strip()
        if _SECONDS.fullmatch(text):
            return float(text)
        try:
            moment = parsedate_to_datetime(text)
        except (ValueError, TypeError, OverflowError):
            return 0.0
        return max(0.0, (_aware(moment) - self._clock.now()).total_seconds())


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


async def _excerpt(response: httpcore2.Response) -> str:
    """Return the beginning of the body as text, as much of it as arrives in time."""
    kept = bytearray()
    try:
        async with asyncio.timeout(EXCERPT_TIMEOUT):
            async for chunk in response.aiter_stream():
                kept += chunk[: EXCERPT_BYTES - len(kept)]
                if len(kept) >= EXCERPT_BYTES:
                    break
    except Exception:  # noqa: BLE001, S110 - what was received was received, however the rest ends
        pass
    text = kept.decode("utf-8", "replace")
    return "".join(character for character in text if character.isprintable() or character in "\n\t")


_WORDS: Final[tuple[tuple[type[Exception], str], ...]] = (
    (httpcore2.ConnectTimeout, f"No connection within {CONNECT_TIMEOUT:.0f} seconds"),
    (httpcore2.TimeoutException, f"No answer within {ANSWER_TIMEOUT:.0f} seconds"),
    (TimeoutError, f"No answer within {ANSWER_TIMEOUT:.0f} seconds"),
    (httpcore2.ConnectError, "No connection"),
    (httpcore2.NetworkError, "The connection broke"),
    (httpcore2.ProtocolError, "The receiver closed the connection, or does not speak HTTP"),
)


def _why(error: Exception) -> str:
    """Return in words of our own why no answer came; a library's words may name internal addresses."""
    if isinstance(error, UnacceptableTarget):
        return str(error)
    link: BaseException | None = error
    while link is not None:
        # TLS errors arrive wrapped in several layers, and the owner needs to know about them.
        if isinstance(link, ssl.SSLCertVerificationError):
            return f"The certificate is not good: {link.verify_message}"
        if isinstance(link, ssl.SSLError):
            return "No encrypted connection"
        link = link.__cause__ or link.__context__
    words = (words for kind, words in _WORDS if isinstance(error, kind))
    return next(words, f"The request failed ({type(error).__name__})")
