"""Settings that are allowed and probably not meant: a start logs them, where a refusal would be too much."""

from urllib.parse import urlsplit

from tradepost.core.settings.database_url import options_left_out
from tradepost.core.settings.settings import Settings


def questionable(settings: Settings) -> list[str]:
    """Return what an operator should know at start-up, each as ``NAME: why``."""
    found: list[str] = []
    if settings.is_sqlite and settings.REDIS_URL is not None:
        found.append("DATABASE_URL: SQLite cannot be shared by several nodes, which REDIS_URL is for")
    if options := options_left_out(settings.DATABASE_URL.get_secret_value()):
        found.append(f"DATABASE_URL: options without a meaning to the driver: {', '.join(options)}")
    if settings.SMTP_HOST is None and not settings.is_local:
        found.append("SMTP_HOST: is not set, so no e-mail is sent, nor can a password be reset")
    if settings.SMTP_HOST is not None and settings.SMTP_USER is not None and not settings.SMTP_TLS:
        found.append("SMTP_TLS: without it, the mail server's password is sent for everybody to read")
    if not settings.is_local and urlsplit(settings.PUBLIC_URL).hostname in {"localhost", "127.0.0.1", "::1"}:
        found.append("PUBLIC_URL: links in e-mails lead to localhost, where nobody else finds this service")
    return found
