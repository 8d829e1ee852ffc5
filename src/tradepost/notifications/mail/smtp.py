"""A mailer over SMTP (RFC 5321), with connections that are kept for the next e-mails."""

import asyncio
import ssl
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from typing import Final

import aiosmtplib
from aiosmtplib.email import parse_address

from tradepost.core.clock import Clock
from tradepost.core.messaging.messages import Undeliverable
from tradepost.notifications.mail.composition import Email
from tradepost.notifications.mail.refusals import RefusalLog, described_without, is_final, is_passing, kind_of

CONNECTIONS: Final = 4
"""Connections of one process to the server, at most."""
STEP_SECONDS: Final = 10.0
"""The limit of each step of the conversation but the last."""
ACCEPT_SECONDS: Final = 30.0
"""The limit for the server to take the whole e-mail, which a scanner may check meanwhile."""
GOODBYE_SECONDS: Final = 2.0
IDLE_SECONDS: Final = 60.0
"""How long an idle connection is kept: servers end silent ones."""
MAILS_EACH: Final = 100
"""E-mails over one connection, at most: servers limit them."""


class MailFailed(Exception):
    """The e-mail may or may not have been taken; a retry is due."""


class Encryption(Enum):
    """When a connection becomes TLS: from its start, by STARTTLS before anything else, or never."""

    IMPLICIT = "implicit"
    STARTTLS = "starttls"
    NONE = "none"


@dataclass(frozen=True)
class SmtpOptions:
    """How to reach the mail server; ``hello`` is the name of this machine for EHLO."""

    host: str
    port: int
    encryption: Encryption
    hello: str
    user: str | None = None
    password: str | None = None


@dataclass
class _Connection:
    client: aiosmtplib.SMTP
    last_used: float
    mails: int = 0


class SmtpMailer:
    """Sends e-mails over connections from a small pool, the one used last first.

    Only the server's final word about this e-mail or its recipient makes it ``Undeliverable``. A refusal of the sender,
    the password or any service is no fault of the e-mail: like a time-out or a lost connection it is ``MailFailed``, and
    the e-mail is retried.
    """

    def __init__(self, options: SmtpOptions, clock: Clock) -> None:
        self._options = options
        self._monotonic = clock.monotonic
        self._refusals = RefusalLog(clock)
        self._room = asyncio.Semaphore(CONNECTIONS)
        self._idle: list[_Connection] = []
        self._context: ssl.SSLContext | None = None

    async def send(self, mail: Email) -> None:
        """Hand an e-mail to the server; return when the server has taken it."""
        if parse_address(mail.recipient) != mail.recipient:
            raise Undeliverable("the address is ambiguous")
        async with self._room:
            try:
                await self._send(mail)
            except (aiosmtplib.SMTPException, OSError) as error:
                reason = described_without(mail.recipient, error)
                if not is_passing(error):
                    self._refusals.note(kind_of(error), reason)
                raise MailFailed(reason) from error

    async def check(self) -> None:
        """Connect as for an e-mail, and log in where there is a user; raises ``MailFailed``."""
        try:
            await _leave((await self._connected()).client)
        except (aiosmtplib.SMTPException, OSError) as error:
            raise MailFailed(str(error)) from error

    async def close(self) -> None:
        """Say goodbye to the server."""
        idle, self._idle = self._idle, []
        await asyncio.gather(*(_leave(connection.client) for connection in idle))

    async def _send(self, mail: Email) -> None:
        connection = await self._kept() or await self._connected()
        try:
            await _transfer(connection.client, mail)
        except aiosmtplib.SMTPResponseException:
            self._keep(connection)
            raise
        except Undeliverable:
            self._keep(connection)
            raise
        except BaseException:
            # A late answer of the server belongs to this e-mail, and the next one would read it as its own.
            connection.client.close()
            raise
        self._keep(connection)

    async def _kept(self) -> _Connection | None:
        """Return an idle connection that still works, reset from the e-mail before."""
        while self._idle:
            connection = self._idle.pop()
            fresh = self._monotonic() - connection.last_used < IDLE_SECONDS
            if fresh and connection.mails < MAILS_EACH and connection.client.is_connected:
                try:
                    await connection.client.rset()
                except (aiosmtplib.SMTPException, OSError):
                    connection.client.close()
                    continue
                except BaseException:
                    connection.client.close()
                    raise
                return connection
            connection.client.close()
        return None

    def _keep(self, connection: _Connection) -> None:
        connection.last_used = self._monotonic()
        connection.mails += 1
        if connection.client.is_connected:
            self._idle.append(connection)

    async def _connected(self) -> _Connection:
        options = self._options
        if self._context is None and options.encryption is not Encryption.NONE:
            # It reads the machine's certificates.
            self._context = await asyncio.to_thread(ssl.create_default_context)
        client = aiosmtplib.SMTP(
            hostname=options.host,
            port=options.port,
            username=options.user,
            password=options.password,
            local_hostname=options.hello,
            timeout=STEP_SECONDS,
            use_tls=options.encryption is Encryption.IMPLICIT,
            start_tls=options.encryption is Encryption.STARTTLS,
            tls_context=self._context,
        )
        await client.connect()
        return _Connection(client, self._monotonic())


async def _leave(client: aiosmtplib.SMTP) -> None:
    with suppress(aiosmtplib.SMTPException, OSError):
        await client.quit(timeout=GOODBYE_SECONDS)
    client.close()


async def _transfer(client: aiosmtplib.SMTP, mail: Email) -> None:
    encoding, options = "ascii", []
    if mail.needs_utf8:
        await client.ehlo()
        if not client.supports_extension("smtputf8"):
            raise Undeliverable("the mail server takes no address with characters outside ASCII")
        encoding, options = "utf-8", ["SMTPUTF8"]
    await client.mail(mail.sender, options=options, encoding=encoding)
    try:
        await client.rcpt(mail.recipient, encoding=encoding)
        await client.data(mail.content, timeout=ACCEPT_SECONDS)
    except (aiosmtplib.SMTPRecipientRefused, aiosmtplib.SMTPDataError) as error:
        if is_final(error):
            raise Undeliverable(described_without(mail.recipient, error)) from error
        raise
