"""A mail server for tests: aiosmtpd on the tests' own loop, which keeps what it takes and misbehaves on demand."""

import asyncio
import email
import email.policy
import re
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage, Message
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from sqlalchemy import select, update

from tests.conftest import World
from tradepost.core.messaging.dispatcher import Dispatcher
from tradepost.core.messaging.outbox import MessageState, StoredMessage

HOST = "127.0.0.1"
OK = "250 taken"


@dataclass(frozen=True)
class Taken:
    """An e-mail as it came over the wire."""

    sender: str
    recipients: tuple[str, ...]
    content: bytes

    @property
    def headers(self) -> list[tuple[str, str]]:
        """The header lines as they are, unfolded and not decoded: what a mail server goes by."""
        raw: Message = email.message_from_bytes(self.content, policy=email.policy.compat32)
        return [(name, re.sub(r"\r?\n[ \t]", " ", str(value)).strip()) for name, value in raw.items()]

    @property
    def read(self) -> EmailMessage:
        """The e-mail as a mail program reads it."""
        return email.message_from_bytes(self.content, policy=email.policy.default)

    def body(self, kind: str = "plain") -> str:
        part = self.read.get_body((kind,))
        assert part is not None
        return str(part.get_content())

    @property
    def link(self) -> str:
        """The first link with a token."""
        found = re.search(r"https?://\S+#token=[\w-]+", self.body())
        assert found, self.body()
        return found[0]

    @property
    def token(self) -> str:
        return self.link.partition("#token=")[2]


@dataclass
class Sink:
    """``rcpt`` and ``data`` are what it answers to these commands, a status or one of ``hang`` and ``close``."""

    port: int
    options: dict[str, Any] = field(default_factory=dict)
    secure: ssl.SSLContext | None = None
    rcpt: str = OK
    data: str = OK
    utf8: bool = True
    taken: list[Taken] = field(default_factory=list)
    seen: list[Taken] = field(default_factory=list)
    """Everything whose bytes arrived, taken or not."""
    connections: int = 0
    _server: asyncio.Server | None = None
    _held: asyncio.Event = field(default_factory=asyncio.Event)
    _open: set[asyncio.BaseTransport] = field(default_factory=set)

    @classmethod
    @asynccontextmanager
    async def running(cls, *, secure: ssl.SSLContext | None = None, **options: Any) -> AsyncIterator["Sink"]:
        """Run a server on a port of its own; ``options`` are aiosmtpd's."""
        with socket.socket() as probe:
            probe.bind((HOST, 0))
            sink = cls(probe.getsockname()[1], options, secure)
        await sink.start()
        try:
            yield sink
        finally:
            sink.let_go()
            await sink.stop()

    @property
    def settings(self) -> dict[str, Any]:
        """The settings of an application that sends here."""
        return {
            "SMTP_HOST": HOST,
            "SMTP_PORT": self.port,
            "SMTP_TLS": False,
            "EMAILS_FROM_EMAIL": "shop@example.com",
            "PUBLIC_URL": "https://market.example.com",
        }

    def reset(self) -> None:
        """Forget everything, and take everything from now on."""
        self.rcpt = self.data = OK
        self.taken.clear()
        self.seen.clear()
        self.connections = 0
        self._held = asyncio.Event()

    def let_go(self) -> None:
        """End every wait of ``hang``."""
        self.rcpt = self.data = OK
        self._held.set()

    async def start(self) -> None:
        if self._server is None:
            loop = asyncio.get_running_loop()
            self._server = await loop.create_server(self._connection, HOST, self.port, ssl=self.secure)

    async def stop(self) -> None:
        """Go away: existing connections break, new ones are refused."""
        if self._server is not None:
            self._server.close()
            self.drop_connections()
            await asyncio.sleep(0.01)
            self._server = None

    def drop_connections(self) -> None:
        """Break every connection that is open."""
        for transport in tuple(self._open):
            transport.close()
        self._open.clear()

    def _connection(self) -> SMTP:
        self.connections += 1
        return _Counted(self, enable_SMTPUTF8=self.utf8, hostname="sink.example.com", **self.options)

    async def _answer(self, what: str, server: SMTP) -> str:
        if what == "hang":
            await self._held.wait()
            return OK
        if what == "close":
            assert server.transport is not None
            server.transport.close()
            return OK
        return what

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        answer = await self._answer(self.rcpt, server)
        if answer.startswith("2"):
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        assert isinstance(envelope.original_content, bytes)
        mail = Taken(str(envelope.mail_from), tuple(envelope.rcpt_tos), envelope.original_content)
        self.seen.append(mail)
        answer = await self._answer(self.data, server)
        if answer.startswith("2") and self.data == OK:
            self.taken.append(mail)
        return answer


class _Counted(SMTP):
    """Remembers its connection with the sink."""

    def __init__(self, sink: Sink, **options: Any) -> None:
        super().__init__(sink, **options)
        self._sink = sink

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._sink._open.add(transport)
        super().connection_made(transport)


def only_password(password: str) -> Any:
    """Return an authenticator of aiosmtpd's that knows one password."""

    def authenticate(
        _server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, data: Any
    ) -> AuthResult:
        return AuthResult(
            handled=False, success=isinstance(data, LoginPassword) and data.password == password.encode()
        )

    return authenticate


async def hasten(world: World) -> None:
    """Deliver what is due, and at once what is to be tried again later."""
    async with world.database.transaction() as db:
        await db.execute(
            update(StoredMessage)
            .where(StoredMessage.state == MessageState.PENDING)
            .values(due_at=world.resources.clock.now())
        )
    await world.resources[Dispatcher].drain()


async def states(
    world: World, subscription: str = "notifications.mail"
) -> list[tuple[MessageState, str | None]]:
    """Return the state and the error of each message to a subscription, oldest first."""
    async with world.database.read() as db:
        rows = await db.scalars(
            select(StoredMessage).where(StoredMessage.subscription == subscription).order_by(StoredMessage.id)
        )
        return [(row.state, row.error) for row in rows]
