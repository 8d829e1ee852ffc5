"""How e-mail is put together from the settings."""

import asyncio
import ipaddress
from urllib.parse import urlsplit

from tradepost.accounts.recovery import RecoveryService
from tradepost.core.clock import Clock
from tradepost.core.resources import Resources
from tradepost.core.settings.settings import Settings
from tradepost.notifications.mail.composition import Mailbox
from tradepost.notifications.mail.folder import MailFolder
from tradepost.notifications.mail.letters import Letters
from tradepost.notifications.mail.service import Mailer, MailService, NoMailer
from tradepost.notifications.mail.smtp import Encryption, SmtpMailer, SmtpOptions

IMPLICIT_TLS_PORT = 465


def build_mailer(settings: Settings, clock: Clock) -> Mailer:
    """Return the way out for e-mails: the mail server, in ``local`` else a folder, and elsewhere none."""
    if settings.SMTP_HOST is not None:
        return SmtpMailer(smtp_options(settings), clock)
    return build_folder(settings) if settings.is_local else NoMailer()


def build_folder(settings: Settings) -> MailFolder:
    """Return the folder for e-mails without a mail server."""
    return MailFolder(settings.DATA_DIR / "mails")


def smtp_options(settings: Settings) -> SmtpOptions:
    """Return what ``settings`` say about the mail server."""
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


async def build_mail_service(resources: Resources) -> MailService:
    """Build the service that sends e-mails; the templates are read in a thread."""
    settings = resources.settings
    letters = await asyncio.to_thread(
        Letters,
        project=settings.PROJECT_NAME,
        public_url=settings.PUBLIC_URL,
        api_path=settings.API_V1_STR,
    )
    address = settings.EMAILS_FROM_EMAIL or "no-reply@localhost.localdomain"
    return MailService(
        recovery=resources[RecoveryService],
        letters=letters,
        mailer=resources[Mailer],
        sender=Mailbox(address, settings.EMAILS_FROM_NAME or settings.PROJECT_NAME),
    )


def _hello(settings: Settings) -> str:
    """Return the name of this service for the mail server (RFC 5321, section 4.1.4): asking the machine may take long."""
    host = urlsplit(settings.PUBLIC_URL).hostname or "localhost"
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    return f"[IPv6:{address}]" if address.version == 6 else f"[{address}]"  # noqa: PLR2004
