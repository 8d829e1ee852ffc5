"""The choices that settings have, and the defaults that follow from other settings."""

from enum import StrEnum
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from sqlalchemy.engine import URL

from tradepost.core.settings.values import Rate

PUBLISHED = "changethis"
"""The password that the documentation tells everybody."""


class Environment(StrEnum):
    """Where this copy of Tradepost runs: ``local`` forgives, the other two refuse unsafe settings."""

    LOCAL = "local"
    STAGING = "staging"
    PRODUCTION = "production"


class LogLevel(StrEnum):
    """The least severe log line that is still written."""

    DEBUG = "DEBUG"
    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"
    CRITICAL = "CRITICAL"


def embedded_database(data: dict[str, Any]) -> SecretStr:
    """Return the database that needs no server."""
    url = URL.create("sqlite", database=str(data["DATA_DIR"] / "tradepost.db"))
    return SecretStr(url.render_as_string(hide_password=False))


def upload_directory(data: dict[str, Any]) -> Path:
    """Return where files are kept on this machine."""
    return Path(data["DATA_DIR"], "uploads")


def default_rate(data: dict[str, Any]) -> Rate | None:
    """Return the limit for everybody: none in ``local``."""
    return None if data["ENVIRONMENT"] is Environment.LOCAL else Rate(100, 60.0)
