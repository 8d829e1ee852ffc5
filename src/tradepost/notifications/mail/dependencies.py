"""The parts of e-mail, built from the settings."""

import asyncio
import ipaddress
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from tradepost.accounts.farewells import Farewells
from tradepost.accounts.recovery import RecoveryService
from tradepost.core.clock import Clock
from tradepost.core.resources import Resources
from tradepost.core.settings.settings import Settings
from tradepost.injection.troubles import Troubles
from tradepost.notifications.mail.composition import Mailbox
from tradepost.notifications.mail.email_templates import EmailTemplates
from tradepost.notifications.mail.folder import MailFolder
from tradepost.notifications.mail.service import Mailer, MailService, NoMailer, UnreliableMailer
from tradepost.notifications.mail.smtp import Encryption, SmtpMailer, SmtpOptions
from tradepost.notifications.preferences.dependencies import build_unsubscribe_links

IMPLICIT_TLS_PORT = 465


def build_mailer(settings: Settings, clock: Clock) -> Mailer:
    """Return the mail server of the settings, without one a folder in ``local``, and elsewhere a refusal."""
    if settings.SMTP_HOST is not None:
        return SmtpMailer(smtp_options(settings), clock)
    return build_folder(settings) if settings.is_local else NoMailer()


def build_folder(settings: Settings) -> MailFolder:
    """Return the folder for e-mails without a mail server."""
    return MailFolder(settings.DATA_DIR / "mails")


def smtp_options(settings: Settings) -> SmtpOptions:
    """Return the options for the mail server from the settings."""
    encryption = Encryption.NONE
    if settings.SMTP_TLS:
        encryption = Encryption.IMPLICIT if settings.SMTP_PORT == IMPLICIT_TLS_PORT else Encryption.STARTTLS
    return SmtpOptions(
        host=settings.SMTP_HOST or "",
        port=settings.SMTP_PORT,
        encryption=encryption,
        hello=_hello(settings),
        user=settings.SMTP_USER,
        password=settings.SMTP_PASSWORD.get_secret_value() if settings.SMTP_PASSWORD else None,
    )


@asynccontextmanager
async def open_mail(resources: Resources) -> AsyncIterator[None]:
    """Put in what sends e-mails, and close it at the end of the block; needs the service for recovery."""
    mailer = build_mailer(resources.settings, resources.clock)
    if resources.settings.FAULTS_ENABLED:
        mailer = UnreliableMailer(mailer, resources[Troubles].fail_mail)
    resources.put(Mailer, mailer)
    resources.put(MailService, await build_mail_service(resources))
    try:
        yield
    finally:
        await mailer.close()


async def build_mail_service(resources: Resources) -> MailService:
    """Build the service that sends e-mails; a thread reads the templates."""
    settings = resources.settings
    templates = await asyncio.to_thread(
        EmailTemplates,
        project=settings.PROJECT_NAME,
        public_url=settings.PUBLIC_URL,
    )
    address = settings.EMAILS_FROM_EMAIL or "no-reply@localhost.localdomain"
    return MailService(
        recovery=resources[RecoveryService],
        farewells=resources[Farewells],
        templates=templates,
        unsubscribe_links=build_unsubscribe_links(settings),
        mailer=resources[Mailer],
        sender=Mailbox(address, settings.EMAILS_FROM_NAME or settings.PROJECT_NAME),
    )


def _hello(settings: Settings) -> str:
    """Return the name for EHLO (RFC 5321, section 4.1.4) from ``PUBLIC_URL``: asking the machine for its name may block."""
    host = urlsplit(settings.PUBLIC_URL).hostname or "localhost"
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    return f"[IPv6:{address}]" if address.version == 6 else f"[{address}]"  # noqa: PLR2004
