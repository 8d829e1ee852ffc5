"""The checks of settings beyond the shape of each, many of which look at others that are declared before."""

import re
from importlib.util import find_spec
from typing import Final
from urllib.parse import unquote, urlsplit

from pydantic import Secret, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings

from tradepost.core.settings.database_url import async_url
from tradepost.core.settings.defaults import PUBLISHED, Environment
from tradepost.core.settings.secret_key import check_length
from tradepost.core.settings.sources import Fault


class CheckedSettings(BaseSettings):
    """What ``Settings`` is checked by."""

    @field_validator("*", mode="before")
    @classmethod
    def _report_unread_file(cls, value: object) -> object:
        if isinstance(value, Fault):
            raise ValueError(value.message)  # noqa: TRY004 - pydantic collects ValueErrors
        return value

    @field_validator("SECRET_KEY", "FIRST_SUPERUSER_PASSWORD", "SECRET_KEYS_OLD", check_fields=False)
    @classmethod
    def _check_published(
        cls, value: SecretStr | list[SecretStr], info: ValidationInfo
    ) -> SecretStr | list[SecretStr]:
        secrets = value if isinstance(value, list) else [value]
        if _is_strict(info) and any(PUBLISHED in secret.get_secret_value().lower() for secret in secrets):
            raise ValueError(f"holds the published example {PUBLISHED}, which only local accepts")
        return value

    @field_validator("SECRET_KEY", check_fields=False)
    @classmethod
    def _check_secret_key(cls, value: SecretStr, info: ValidationInfo) -> SecretStr:
        key = value.get_secret_value()
        if key:
            check_length(key, info.data.get("ALGORITHM", "HS256"))
        elif _is_strict(info):
            raise ValueError(
                'is missing; make one with: python -c "import secrets; print(secrets.token_urlsafe(48))"'
            )
        return value

    @field_validator("SECRET_KEYS_OLD", check_fields=False)
    @classmethod
    def _check_old_keys(cls, value: list[SecretStr], info: ValidationInfo) -> list[SecretStr]:
        for number, secret in enumerate(value, 1):
            try:
                check_length(secret.get_secret_value(), info.data.get("ALGORITHM", "HS256"))
            except ValueError as error:
                raise ValueError(f"has a key, number {number}, that is of no use: {error}") from None
        return value

    @field_validator("DATABASE_URL", check_fields=False)
    @classmethod
    def _check_database_url(cls, value: SecretStr) -> SecretStr:
        async_url(value.get_secret_value())
        return value

    @field_validator("DB_VIA_PGBOUNCER", check_fields=False)
    @classmethod
    def _check_pgbouncer(cls, value: bool, info: ValidationInfo) -> bool:  # noqa: FBT001 - pydantic calls it
        url = info.data.get("DATABASE_URL")
        if value and url is not None and not _is_postgresql(url):
            raise ValueError("may not be true for SQLite, and DATABASE_URL is an SQLite database")
        return value

    @field_validator("DATABASE_DIRECT_URL", "DATABASE_REPLICA_URL", check_fields=False)
    @classmethod
    def _check_postgresql_url(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if value is None:
            return value
        if not _is_postgresql(value):
            raise ValueError("is no address of PostgreSQL")
        url = info.data.get("DATABASE_URL")
        if url is not None and not _is_postgresql(url):
            raise ValueError("is for PostgreSQL, and DATABASE_URL is an SQLite database")
        return value

    @field_validator("BACKEND_CORS_ORIGINS", check_fields=False)
    @classmethod
    def _check_origins(cls, value: list[str], info: ValidationInfo) -> list[str]:
        if _is_strict(info) and "*" in value:
            raise ValueError("may not hold the wildcard * outside local, because pages may send credentials")
        return value

    @field_validator("RATE_LIMIT_ENABLED", check_fields=False)
    @classmethod
    def _check_rate_limit(cls, value: bool, info: ValidationInfo) -> bool:  # noqa: FBT001 - pydantic calls it
        if not value and info.data.get("ENVIRONMENT") not in {Environment.LOCAL, Environment.STAGING}:
            raise ValueError("may not be false in production")
        return value

    @field_validator("FAULTS_ENABLED", "WEBHOOK_ALLOW_PRIVATE", check_fields=False)
    @classmethod
    def _check_not_in_production(cls, value: bool, info: ValidationInfo) -> bool:  # noqa: FBT001 - pydantic calls it
        if value and info.data.get("ENVIRONMENT") not in {Environment.LOCAL, Environment.STAGING}:
            raise ValueError("may not be true in production")
        return value

    @field_validator("SMTP_PASSWORD", "AWS_SECRET_ACCESS_KEY", check_fields=False)
    @classmethod
    def _check_pair(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        name = "SMTP_USER" if info.field_name == "SMTP_PASSWORD" else "AWS_ACCESS_KEY_ID"
        if name in info.data and (value is None) != (info.data[name] is None):
            raise ValueError(f"and {name} are set together or not at all")
        return value

    @field_validator("EMAILS_FROM_EMAIL", check_fields=False)
    @classmethod
    def _check_sender(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is None and info.data.get("SMTP_HOST"):
            raise ValueError("is missing, and SMTP_HOST is set")
        return value

    @field_validator("SENTRY_DSN", "OTEL_EXPORTER_OTLP_ENDPOINT", check_fields=False)
    @classmethod
    def _check_extra(cls, value: object, info: ValidationInfo) -> object:
        extra, package = _EXTRAS[info.field_name or ""]
        if value is not None and find_spec(package) is None:
            raise ValueError(f"needs an extra that is not installed: pip install 'tradepost[{extra}]'")
        return value

    @field_validator("SENTRY_DSN", check_fields=False)
    @classmethod
    def _check_dsn(cls, value: Secret[str] | None) -> Secret[str] | None:
        if value is not None:
            parts = urlsplit(value.get_secret_value())
            if not parts.username or not parts.path.rpartition("/")[2].isdigit():
                raise ValueError("is no DSN, such as https://key@sentry.example.com/1")
        return value

    @field_validator("OTEL_EXPORTER_OTLP_HEADERS", check_fields=False)
    @classmethod
    def _check_headers(cls, value: SecretStr | None) -> SecretStr | None:
        header_fields(value)
        return value

    @field_validator("AWS_S3_BUCKET_NAME", check_fields=False)
    @classmethod
    def _check_bucket(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is None and info.data.get("USE_S3"):
            raise ValueError("is missing, and USE_S3 is true")
        return value


_EXTRAS: Final = {
    "SENTRY_DSN": ("sentry", "sentry_sdk"),
    "OTEL_EXPORTER_OTLP_ENDPOINT": ("otel", "opentelemetry.sdk"),
}


def header_fields(given: SecretStr | None) -> dict[str, str]:
    """Return the headers that are written as ``name=value``, by commas; ``ValueError`` if they are not."""
    fields: dict[str, str] = {}
    for field in given.get_secret_value().split(",") if given is not None else ():
        name, is_there, value = field.strip().partition("=")
        if not is_there or not re.fullmatch(r"[A-Za-z0-9-]+", name):
            raise ValueError("is not name=value, by commas")
        # As OpenTelemetry has it: what a header may hold and this list may not is percent-encoded.
        text = unquote(value.strip())
        if not (text.isascii() and text.isprintable()):
            # It would be refused at each sending, by words that have it in them.
            raise ValueError("has a value that no header can have")
        fields[name.lower()] = text
    return fields


def _is_strict(info: ValidationInfo) -> bool:
    """Whether unsafe values are refused: also when ENVIRONMENT is wrong, so that every fault is named."""
    return info.data.get("ENVIRONMENT") is not Environment.LOCAL


def _is_postgresql(url: SecretStr) -> bool:
    return async_url(url.get_secret_value()).get_backend_name() == "postgresql"
