"""Settings that are allowed and probably not meant: a start logs them, where a refusal would be too much."""

import os
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit

from dotenv import dotenv_values

from tradepost.core.settings.database_url import options_left_out
from tradepost.core.settings.settings import Settings
from tradepost.core.wire.spelling import is_one_edit_away, nearest

_PREFIX = "TRADEPOST_"


def questionable(settings: Settings) -> list[str]:
    """Return what an operator should know at start-up, each as ``NAME: why``."""
    found: list[str] = []
    if settings.is_sqlite and settings.REDIS_URL is not None:
        found.append("DATABASE_URL: SQLite cannot be shared by several nodes, which REDIS_URL is for")
    if options := options_left_out(settings.DATABASE_URL.get_secret_value()):
        found.append(f"DATABASE_URL: options without a meaning to the driver: {', '.join(options)}")
    if settings.DB_VIA_PGBOUNCER and settings.DATABASE_DIRECT_URL is None and settings.REDIS_URL is None:
        found.append(
            "DB_VIA_PGBOUNCER: without DATABASE_DIRECT_URL or REDIS_URL, other processes are heard of by looking"
        )
    if settings.SMTP_HOST is None and not settings.is_local:
        found.append("SMTP_HOST: is not set, so no e-mail is sent, nor can a password be reset")
    if settings.SMTP_HOST is not None and settings.SMTP_USER is not None and not settings.SMTP_TLS:
        found.append("SMTP_TLS: without it, the mail server's password is sent for everybody to read")
    if not settings.is_local and urlsplit(settings.PUBLIC_URL).hostname in {"localhost", "127.0.0.1", "::1"}:
        found.append("PUBLIC_URL: links in e-mails lead to localhost, where nobody else finds this service")
    return found


def surrounding_names() -> set[str]:
    """Return the names of all variables in the environment and in ``.env``."""
    file = Path(str(Settings.model_config["env_file"]))
    return {*os.environ, *(dotenv_values(file) if file.is_file() else ())}


def misspelt(names: Iterable[str]) -> list[str]:
    """Return what looks like a setting and is none, each as ``NAME: the likely one``.

    A setting under a wrong name is not read, and nothing else would tell.
    """
    known = {*Settings.model_fields, *(f"{name}_FILE" for name in Settings.model_fields)}
    found: list[str] = []
    for name in sorted(set(map(str.upper, names)) - known):
        if name.startswith(_PREFIX):
            likely = nearest(name.removeprefix(_PREFIX), known)
        else:
            likely = next((setting for setting in sorted(known) if is_one_edit_away(name, setting)), None)
        if likely is not None:
            found.append(f"{name}: is no setting; did you mean {likely}?")
        elif name.startswith(_PREFIX):
            found.append(f"{name}: is no setting; settings have no prefix")
    return found
