"""How the mail server is reached: encrypted or not, with a password or without, and how often."""

import asyncio
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import settings_for
from tests.notifications.mail.sink import HOST, Sink, only_password
from tests.notifications.mail.test_headers import written
from tradepost.core.clock import SystemClock
from tradepost.core.messaging.messages import Undeliverable
from tradepost.notifications.mail.dependencies import build_mailer, smtp_options
from tradepost.notifications.mail.folder import MailFolder
from tradepost.notifications.mail.service import NoMailer
from tradepost.notifications.mail.smtp import CONNECTIONS, Encryption, MailFailed, SmtpMailer, SmtpOptions

SAFE = {
    "FIRST_SUPERUSER_PASSWORD": "Something1",
    "DATABASE_URL": "sqlite:///x.db",
    "RATE_LIMIT_ENABLED": True,
}


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for the loopback address, signed by itself, with its key in one file."""
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl to make a certificate with")
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    made = subprocess.run(
        [
            *(
                "openssl",
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:prime256v1",
                "-nodes",
            ),
            *("-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", "-", "-out", "-"),
        ],
        check=True,
        capture_output=True,
    )
    path.write_bytes(made.stdout)
    return path


@pytest.fixture
def trusted(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """A server's side of TLS, whose certificate this machine trusts for the test."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    return server_side(certificate)


def server_side(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


@asynccontextmanager
async def mailer(
    sink: Sink, encryption: Encryption = Encryption.NONE, **options: Any
) -> AsyncIterator[SmtpMailer]:
    """A mailer for one server."""
    made = SmtpMailer(SmtpOptions(HOST, sink.port, encryption, "localhost", **options), SystemClock())
    try:
        yield made
    finally:
        await made.close()


async def test_tls_from_the_start(trusted: ssl.SSLContext) -> None:
    async with Sink.running(secure=trusted) as sink, mailer(sink, Encryption.IMPLICIT) as smtp:
        await smtp.send(written())
        await smtp.send(written())
        assert (len(sink.taken), sink.connections) == (2, 1)


async def test_starttls_with_a_password(trusted: ssl.SSLContext) -> None:
    demanding = {
        "tls_context": trusted,
        "require_starttls": True,
        "auth_required": True,
        "authenticator": only_password("right"),
    }
    async with Sink.running(**demanding) as sink:
        async with mailer(sink, Encryption.STARTTLS, user="shop", password="right") as smtp:
            await smtp.send(written())
        assert len(sink.taken) == 1
        async with mailer(sink, Encryption.STARTTLS, user="shop", password="wrong") as smtp:
            with pytest.raises(MailFailed, match="535"):
                await smtp.send(written())
        async with mailer(sink, Encryption.STARTTLS) as smtp:
            with pytest.raises(MailFailed, match="530"):
                await smtp.send(written())
        assert len(sink.taken) == 1


async def test_what_should_be_encrypted_is_never_sent_in_the_clear() -> None:
    async with Sink.running() as sink:
        async with mailer(sink, Encryption.STARTTLS, user="shop", password="secret") as smtp:
            with pytest.raises(MailFailed, match="STARTTLS"):
                await smtp.send(written())
        assert sink.seen == []


@pytest.mark.parametrize("encryption", [Encryption.IMPLICIT, Encryption.STARTTLS])
async def test_a_certificate_that_nobody_vouches_for(certificate: Path, encryption: Encryption) -> None:
    context = server_side(certificate)
    secure = {"secure": context} if encryption is Encryption.IMPLICIT else {"tls_context": context}
    async with Sink.running(**secure) as sink, mailer(sink, encryption) as smtp:
        with pytest.raises(MailFailed, match=r"(?i)certificate"):
            await smtp.send(written())
        assert sink.seen == []


async def test_connections_are_few_and_used_again() -> None:
    async with Sink.running() as sink, mailer(sink) as smtp:
        await asyncio.gather(*(smtp.send(written()) for _ in range(40)))
        assert len(sink.taken) == 40
        assert sink.connections <= CONNECTIONS
        for _ in range(3):
            await smtp.send(written())
        assert sink.connections <= CONNECTIONS


async def test_a_cancelled_email_leaves_nothing_to_the_next() -> None:
    async with Sink.running() as sink, mailer(sink) as smtp:
        sink.data = "hang"
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await smtp.send(written(title="First"))
        sink.reset()
        await smtp.send(written(title="Second"))
        assert [mail.read["Subject"] for mail in sink.taken] == ["Second"]


async def test_a_server_that_takes_no_other_letters() -> None:
    async with Sink.running() as sink, mailer(sink) as smtp:
        sink.utf8 = False
        with pytest.raises(Undeliverable, match="ASCII"):
            await smtp.send(written(address="jörg@example.com"))
        await smtp.send(written())
        assert sink.connections == 1


async def test_nonsense_for_an_answer_is_no_text_for_a_table() -> None:
    async with Sink.running() as sink, mailer(sink) as smtp:
        sink.rcpt = "550 \x00\x7f\x1b no"
        with pytest.raises(Undeliverable) as refused:
            await smtp.send(written())
        str(refused.value).encode()
        assert "\x00" not in str(refused.value)


def test_the_way_out_follows_from_the_settings(tmp_path: Path) -> None:
    mail = {"SMTP_HOST": "mail.example.com", "EMAILS_FROM_EMAIL": "shop@example.com"}

    def built(**values: Any) -> Any:
        settings = settings_for("sqlite:///x.db", tmp_path, **values)
        return build_mailer(settings, SystemClock()), smtp_options(settings)

    assert isinstance(built()[0], MailFolder)
    assert isinstance(built(ENVIRONMENT="staging", **SAFE)[0], NoMailer)
    assert isinstance(built(**mail)[0], SmtpMailer)
    assert built(**mail)[1].encryption is Encryption.STARTTLS
    assert built(**mail, SMTP_PORT=465)[1].encryption is Encryption.IMPLICIT
    assert built(**mail, SMTP_TLS=False)[1].encryption is Encryption.NONE
    assert built(**mail, PUBLIC_URL="http://10.0.0.1")[1].hello == "[10.0.0.1]"
    assert built(**mail, PUBLIC_URL="http://[::1]:80")[1].hello == "[IPv6:::1]"
    assert built(**mail, PUBLIC_URL="https://market.example.com/x")[1].hello == "market.example.com"


async def test_without_a_server_the_message_says_so() -> None:
    with pytest.raises(Undeliverable, match="SMTP_HOST"):
        await NoMailer().send(written())
