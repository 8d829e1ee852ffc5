"""Every setting of Tradepost: read from the environment, checked once, handed around as one frozen object.

A setting is looked for in this order: keyword arguments, environment variables, ``.env`` in the working
directory, and a file of its name in ``SECRETS_DIR``. Instead of ``NAME``, a variable ``NAME_FILE`` may give
the path of a file that holds the value; setting both is a fault. A variable that is set to nothing counts as
not set. Names are not case-sensitive.

Importing this module and making a ``Settings`` leave no trace on the machine; ``Settings.load`` may write the
key that ``local`` keeps for itself. Whatever is wrong is reported in one ``SettingsError``, which never
repeats a value that may be secret.
"""

import json
import os
import re
import unicodedata
from abc import abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any, Literal, Self, cast
from urllib.parse import SplitResult, urlencode, urlsplit

import phonenumbers
from email_validator import EmailNotValidError, validate_email
from pydantic import (
    AfterValidator,
    BeforeValidator,
    ByteSize,
    Field,
    JsonValue,
    SecretStr,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, PydanticUndefined
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from tradepost.core.clock import SystemClock

DAY = 86_400.0
DEFAULT_SECRETS_DIR = Path("/run/secrets")
PUBLISHED = "changethis"
MAKE_KEY = 'make one with: python -c "import secrets; print(secrets.token_urlsafe(48))"'
MINIMUM_KEY_BYTES = {"HS256": 32, "HS384": 48, "HS512": 64}
"""RFC 7518, section 3.2: a key at least as long as the hash. PyJWT is told to refuse shorter ones."""


class SettingsError(Exception):
    """The settings do not let Tradepost start; ``faults`` names each one as ``NAME: what is wrong``."""

    def __init__(self, faults: list[str]) -> None:
        self.faults = faults
        count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
        super().__init__("\n  - ".join([f"Tradepost cannot start: {count} in its settings", *faults]))


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


# --- values -------------------------------------------------------------------------------------------------

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": DAY}
_DURATION = re.compile(r"(?P<number>\d+(?:\.\d+)?)?\s*(?P<unit>ms|s|m|min|h|d)?", re.ASCII)
_LONGEST_RATE = 31 * DAY
_LARGEST_RATE = 1_000_000_000


def _duration(text: str) -> float | None:
    """Return the seconds that ``5``, ``5 s``, ``250ms``, ``1.5 m`` or a mere unit stand for, or None."""
    found = _DURATION.fullmatch(text.strip().lower())
    if found is None or not any(found.groups()):
        return None
    return float(found["number"] or 1) * _UNITS[found["unit"] or "s"]


@dataclass(frozen=True, slots=True)
class Rate:
    """At most ``limit`` requests in any ``seconds``; written ``100/60s``, ``10/1m`` or ``20/h``."""

    limit: int
    seconds: float

    def __post_init__(self) -> None:
        if not (1 <= self.limit <= _LARGEST_RATE and 0 < self.seconds <= _LONGEST_RATE):
            raise ValueError("needs a number of requests and a period above zero, the period at most 31 days")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``limit/period``; a ``ValueError`` says what a rate looks like."""
        limit, slash, period = text.partition("/")
        seconds = _duration(period)
        if not slash or seconds is None or not re.fullmatch(r"\s*\d{1,10}\s*", limit, re.ASCII):
            raise ValueError("is not a rate; write requests/period, such as 100/60s, 10/1m or 20/1h")
        return cls(int(limit), seconds)

    def __str__(self) -> str:
        return f"{self.limit}/{self.seconds:g}s"


def _seconds(value: object) -> object:
    if not isinstance(value, str):
        return value
    seconds = _duration(value)
    if seconds is None:
        raise ValueError("is not a duration; write seconds, such as 5, 2.5, 250 ms, 5 s, 10 m or 1 h")
    return seconds


def _rate(value: object) -> object:
    return Rate.parse(value) if isinstance(value, str) else value


def _list(value: object) -> object:
    """Read ``a, b`` or ``["a", "b"]``."""
    if not isinstance(value, str):
        return value
    if not value.lstrip().startswith("["):
        return [part.strip() for part in value.split(",") if part.strip()]
    try:
        entries = json.loads(value)
    except ValueError:
        entries = None
    if not isinstance(entries, list) or not all(isinstance(entry, str) for entry in entries):
        raise ValueError('is neither a comma-separated list nor a JSON list of strings, such as ["a", "b"]')
    return [entry.strip() for entry in entries]


def _lower(value: object) -> object:
    return value.strip().lower() if isinstance(value, str) else value


def _upper(value: object) -> object:
    return value.strip().upper() if isinstance(value, str) else value


def _email(value: str) -> str:
    # No DNS: start-up must not depend on a name server, nor the address on a domain that is there already.
    try:
        return validate_email(value, check_deliverability=False).normalized
    except EmailNotValidError:
        raise ValueError("is not an e-mail address") from None


def _folded(value: object) -> object:
    return unicodedata.normalize("NFKC", value).casefold().strip() if isinstance(value, str) else value


def _split(text: str) -> tuple[SplitResult, int | None]:
    """Return the parts of a URL and its port; the library's own messages would repeat a password in it."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ValueError("is not a URL that can be read") from None
    return parts, port


def _origin(text: str) -> str:
    """Return an origin the way browsers send it: lower case, no final slash, no port the scheme implies."""
    if "*" in text:
        if text != "*":
            raise ValueError("has a pattern among its origins; write each origin out")
        return text
    parts, port = _split(text)
    bare = not (parts.path.strip("/") or parts.query or parts.fragment or "@" in parts.netloc)
    if not (parts.scheme and parts.hostname and bare) or re.search(r"\s", text):
        raise ValueError("has an entry that is not an origin; write scheme://host or scheme://host:port")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    implied = {"http": 80, "https": 443}.get(parts.scheme)
    return f"{parts.scheme}://{host}" + (f":{port}" if port not in {None, implied} else "")


def _host(text: str) -> str:
    name = text.lower()
    if not re.fullmatch(r"\*|(\*\.)?[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?|\[[0-9a-f:.]+\]", name):
        raise ValueError(
            "has an entry that is not a host name; write names without scheme and port, *.name or *"
        )
    return name


def _web_url(text: str) -> str:
    parts, _ = _split(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("is not an http:// or https:// URL")
    return text.rstrip("/")


def _redis_url(value: SecretStr) -> SecretStr:
    parts, _ = _split(value.get_secret_value())
    if parts.scheme not in {"redis", "rediss", "unix"} or not (parts.hostname or parts.path.strip("/")):
        raise ValueError("is not a redis://, rediss:// or unix:// URL")
    return value


def _sentry_dsn(value: SecretStr) -> SecretStr:
    parts, _ = _split(value.get_secret_value())
    whole = parts.hostname and parts.username and parts.path.strip("/")
    if parts.scheme not in {"http", "https"} or not whole:
        raise ValueError("is not a Sentry DSN; it looks like https://key@host/project")
    return value


def _api_prefix(text: str) -> str:
    path = text.strip().rstrip("/")
    if not re.fullmatch(r"(/[A-Za-z0-9._~-]+)+", path):
        raise ValueError("is not a path; it begins with a slash, such as /api/v1")
    return path


def _region(text: str) -> str:
    if text not in phonenumbers.SUPPORTED_REGIONS:
        raise ValueError("is not a region with phone numbers; write two letters (ISO 3166), such as US")
    return text


Line = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=255, pattern=r"^[^\x00-\x1f\x7f]*$"),
]
SECONDS = BeforeValidator(_seconds)
Seconds = Annotated[float, SECONDS, Field(gt=0, le=DAY, allow_inf_nan=False)]
Bytes = Annotated[ByteSize, Field(ge=1, le=2**50)]
RateText = BeforeValidator(_rate)
ListText = BeforeValidator(_list)
Unique = AfterValidator(lambda values: list(dict.fromkeys(values)))
Email = Annotated[str, StringConstraints(strip_whitespace=True), AfterValidator(_email)]


# --- the database's address ---------------------------------------------------------------------------------

_TLS_MODES = {"disable", "allow", "prefer", "require", "verify-ca", "verify-full"}
_TLS_SWITCHES = {"true": "require", "1": "require", "false": "disable", "0": "disable"}
_TLS_OPTIONS = {"sslmode", "ssl"}
# Sockets and several hosts, read by SQLAlchemy itself.
_ADDRESSES = {"host", "port"}
# What SQLAlchemy and asyncpg.connect take under the same name.
_KEYWORDS = {
    "gsslib", "krbsrvname", "passfile", "prepared_statement_cache_size", "service", "servicefile",
    "target_session_attrs",
}  # fmt: skip
# What may stand in the options and belongs to the URL itself, where a password is hidden when it is printed.
_PARTS = {"user": "username", "password": "password", "dbname": "database"}
# What asyncpg understands only inside a DSN.
_DSN_OPTIONS = {
    "application_name", "options", "ssl_max_protocol_version", "ssl_min_protocol_version", "sslcert",
    "sslcrl", "sslkey", "sslnegotiation", "sslrootcert",
}  # fmt: skip
# What libpq knows and asyncpg has nothing like; the connection works without.
_IGNORED = {
    "channel_binding", "client_encoding", "connect_timeout", "fallback_application_name", "gssencmode",
    "keepalives", "keepalives_count", "keepalives_idle", "keepalives_interval", "load_balance_hosts",
    "sslcompression", "sslsni", "tcp_user_timeout",
}  # fmt: skip
_KNOWN = _TLS_OPTIONS | _ADDRESSES | _KEYWORDS | set(_PARTS) | _DSN_OPTIONS | _IGNORED


def _sqlite_url(url: URL) -> URL:
    if url.host:
        raise ValueError(
            "needs three slashes before a relative path (sqlite:///./x.db) and four for an absolute one"
        )
    if url.query:
        raise ValueError("takes no options for SQLite")
    if not url.database or url.database.startswith((":", "file:")):
        raise ValueError("is an SQLite database in memory, which other connections cannot see; name a file")
    return url.set(drivername="sqlite+aiosqlite")


def _tls_mode(value: str) -> str:
    mode = _TLS_SWITCHES.get(value.lower(), value.lower())
    if mode not in _TLS_MODES:
        raise ValueError(f"has an unknown sslmode; it is one of {', '.join(sorted(_TLS_MODES))}")
    return mode


def _postgresql_url(url: URL) -> tuple[URL, list[str]]:
    """Rewrite libpq's options for SQLAlchemy and asyncpg: as a keyword, a part of the URL, or in a DSN."""
    if unknown := sorted(set(url.query) - _KNOWN):
        raise ValueError(f"has options that are not known: {', '.join(unknown)}")
    options = {name: value for name, value in url.query.items() if isinstance(value, str)}
    if repeated := sorted(set(url.query) - set(options) - _ADDRESSES):
        raise ValueError(f"has options that are given more than once: {', '.join(repeated)}")
    if not options.get("prepared_statement_cache_size", "0").isdecimal():
        raise ValueError("has a prepared_statement_cache_size that is not a number")
    query: dict[str, Any] = {
        name: value for name, value in url.query.items() if name in _ADDRESSES | _KEYWORDS
    }
    if mode := options.get("sslmode") or options.get("ssl"):
        query["ssl"] = _tls_mode(mode)
    if dsn := {name: value for name, value in options.items() if name in _DSN_OPTIONS}:
        query["dsn"] = f"postgresql://?{urlencode(dsn)}"
    parts: dict[str, Any] = {_PARTS[name]: value for name, value in options.items() if name in _PARTS}
    return url.set(drivername="postgresql+asyncpg", query=query, **parts), sorted(_IGNORED & set(options))


def _database_url(text: str) -> tuple[URL, list[str]]:
    """Return the URL for the async engine, and the names of the options that mean nothing to the driver."""
    try:
        url = make_url(text.strip())
    except (ArgumentError, ValueError):  # their messages may repeat a part of the password
        raise ValueError(
            "cannot be read; percent-encode special characters in user name and password"
        ) from None
    match url.drivername.lower():
        case "sqlite" | "sqlite+aiosqlite":
            return _sqlite_url(url), []
        case "postgresql" | "postgres" | "postgresql+asyncpg" | "postgres+asyncpg":
            return _postgresql_url(url)
        case scheme:
            raise ValueError(f"has the scheme {scheme}; use postgresql:// or sqlite:///")


# --- files --------------------------------------------------------------------------------------------------

_LARGEST_SECRET = 64 * 1024


def _read(path: Path) -> str:
    """Return the text of a small file without its last line break, or raise ``OSError``, ``ValueError``."""
    with path.open("rb") as file:
        content = file.read(_LARGEST_SECRET + 1)  # bounded: the path may be a device without an end
    if len(content) > _LARGEST_SECRET:
        raise ValueError("it is larger than 64 KiB")
    try:
        text = content.decode().rstrip("\r\n")
    except UnicodeDecodeError:  # would repeat bytes of the secret
        raise ValueError("it is not UTF-8 text") from None
    if not text:
        raise ValueError("it is empty")
    return text


def _reason(error: OSError | ValueError) -> str:
    return (error.strerror or type(error).__name__) if isinstance(error, OSError) else str(error)


@dataclass(frozen=True)
class _Fault:
    """Stands where a value could not be read, so that this fault is reported together with all others."""

    message: str


class _Files(PydanticBaseSettingsSource):
    """Values that are kept in files: one read for each setting that no stronger source has given."""

    @abstractmethod
    def path(self, name: str) -> Path | _Fault | None:
        """Return the file of the setting, a fault in how it was named, or None where there is no file."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        del field
        path = self.path(field_name)
        if not isinstance(path, Path):
            return path, field_name, False
        try:
            return _read(path), field_name, False
        except (OSError, ValueError) as error:
            return _Fault(f"its file {path} cannot be read: {_reason(error)}"), field_name, False

    def __call__(self) -> dict[str, Any]:
        values = {
            name: self.get_field_value(field, name)[0]
            for name, field in self.settings_cls.model_fields.items()
            if name not in self.current_state and name != "SECRETS_DIR"
        }
        return {name: value for name, value in values.items() if value is not None}


class _NamedFiles(_Files):
    """The files that ``NAME_FILE`` variables of the environment, then of ``.env``, point to."""

    def __init__(
        self, settings_cls: type[BaseSettings], sources: Iterable[PydanticBaseSettingsSource]
    ) -> None:
        super().__init__(settings_cls)
        self.variables: list[Mapping[str, str | None]] = [
            source.env_vars for source in sources if isinstance(source, EnvSettingsSource)
        ]

    def path(self, name: str) -> Path | _Fault | None:
        key = f"{name}_file".lower()
        found = next((variables[key] for variables in self.variables if variables.get(key)), None)
        if not found:
            return None
        if any(variables.get(name.lower()) for variables in self.variables):
            return _Fault(f"both {name} and {name}_FILE are set; keep one")
        return Path(found)


class _SecretsDirectory(_Files):
    """The files in ``SECRETS_DIR`` with the name of a setting: how Docker and Kubernetes mount secrets."""

    def __call__(self) -> dict[str, Any]:
        directory = Path(self.current_state.get("SECRETS_DIR", DEFAULT_SECRETS_DIR))
        try:
            found = sorted(directory.iterdir(), reverse=True)
        except OSError:  # the check of SECRETS_DIR says so, if it matters
            found = []
        self.found = {path.name.upper(): path for path in found}
        return super().__call__()

    def path(self, name: str) -> Path | None:
        return self.found.get(name)


def _kept_key(directory: Path) -> str:
    """Return the key in ``directory``, made now if there is none.

    Several workers may get here at once. Each writes a whole file under a name of its own and links it to the
    final name, which only one can; so nobody ever reads half a key, and all go on with the same one.
    """
    path = directory / "secret_key"
    if path.exists():
        return _read(path)
    chance = SystemClock()
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = directory / f".secret_key.{chance.token()}"
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(chance.token(48))
            file.flush()
            os.fsync(file.fileno())
        path.hardlink_to(draft)
    except FileExistsError:
        pass  # another worker was first
    finally:
        draft.unlink(missing_ok=True)
    return _read(path)


# --- defaults -----------------------------------------------------------------------------------------------


def _package_version() -> str:
    try:
        return version("tradepost")
    except PackageNotFoundError:  # a source tree that was never installed
        return "0.0.0"


def _embedded_database(data: dict[str, Any]) -> SecretStr:
    url = URL.create("sqlite", database=str(data["DATA_DIR"] / "tradepost.db"))
    return SecretStr(url.render_as_string(hide_password=False))


def _upload_directory(data: dict[str, Any]) -> Path:
    return cast("Path", data["DATA_DIR"]) / "uploads"


def _default_rate(data: dict[str, Any]) -> Rate | None:
    return None if data["ENVIRONMENT"] is Environment.LOCAL else Rate(100, 60.0)


# --- the settings -------------------------------------------------------------------------------------------

Part = Literal["now", "deadlines", "deployment", "media", "notifications", "rate limits"]


def _used(part: Part = "now", *, shown: str | None = None) -> dict[str, JsonValue]:
    """Say which part of Tradepost uses a setting, and how to write a default that the code cannot show."""
    return {"part": part} if shown is None else {"part": part, "shown": shown}


DEADLINES = _used("deadlines")
DEPLOYMENT = _used("deployment")
MEDIA = _used("media")
NOTIFICATIONS = _used("notifications")


class Settings(BaseSettings):
    """What an operator can choose. Build it with ``Settings.load()``; a change makes a copy (``model_copy``).

    Constructing it reads and checks everything and writes nothing; ``SECRET_KEY`` may then still be empty in
    ``local``. Raises ``SettingsError``.
    """

    model_config = SettingsConfigDict(
        env_file=".env",
        env_file_encoding="utf-8-sig",
        dotenv_filtering="only_existing",
        env_ignore_empty=True,
        enable_decoding=False,  # lists are read below: JSON or commas
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
        validate_default=True,
    )

    # A check may look at fields declared above its own, so the order counts.
    ENVIRONMENT: Annotated[Environment, BeforeValidator(_lower)] = Field(
        Environment.LOCAL,
        description="`local`, `staging` or `production`; the last two refuse unsafe settings",
    )
    SECRETS_DIR: Path = Field(
        default_factory=lambda: DEFAULT_SECRETS_DIR,
        description="directory whose files give the settings they are named after; one set here must exist",
        json_schema_extra=_used(shown=f"`{DEFAULT_SECRETS_DIR}`"),
    )
    PROJECT_NAME: Line = Field(
        "Tradepost", description="name of the service in its answers and documentation"
    )
    VERSION: Line = Field(
        default_factory=_package_version,
        description="version shown in the documentation",
        json_schema_extra=_used(shown="the package's"),
    )
    API_V1_STR: Annotated[str, AfterValidator(_api_prefix)] = Field(
        "/api/v1", description="path in front of every route but the probes, metrics and documentation"
    )
    ALGORITHM: Annotated[Literal["HS256", "HS384", "HS512"], BeforeValidator(_upper)] = Field(
        "HS256", description="how access tokens are signed: `HS256`, `HS384` or `HS512`"
    )
    SECRET_KEY: SecretStr = Field(
        SecretStr(""),
        description="signs tokens: at least 32 bytes (`HS384` 48, `HS512` 64), the same in every replica",
        json_schema_extra=_used(shown="in `local` made and kept in `{DATA_DIR}/secret_key`"),
    )
    ACCESS_TOKEN_EXPIRE_MINUTES: int = Field(
        60, ge=1, le=43_200, description="minutes for which an access token is good"
    )
    REFRESH_TOKEN_EXPIRE_DAYS: int = Field(
        30, ge=1, le=3_650, description="days after which a session ends, however often it was refreshed"
    )
    FIRST_SUPERUSER: Annotated[Email, BeforeValidator(_folded)] = Field(
        "admin@example.com", description="e-mail address of the first administrator, made with the database"
    )
    FIRST_SUPERUSER_PASSWORD: SecretStr = Field(
        SecretStr(PUBLISHED),
        min_length=1,
        max_length=1000,
        description="the first administrator's password; outside `local` it must be changed",
        json_schema_extra=_used(shown=f"`{PUBLISHED}`"),
    )
    DATA_DIR: Path = Field(
        Path("data"),
        description="directory for everything kept on this machine",
        json_schema_extra=_used(shown="`./data`"),
    )
    DATABASE_URL: SecretStr = Field(
        default_factory=_embedded_database,
        description="`postgresql://user:password@host:5432/name` (also `postgres://`) or `sqlite:///./x.db`",
        json_schema_extra=_used(shown="`sqlite:///{DATA_DIR}/tradepost.db`"),
    )
    UPLOAD_DIR: Path = Field(
        default_factory=_upload_directory,
        description="directory for uploaded files when S3 is not used",
        json_schema_extra=_used("media", shown="`{DATA_DIR}/uploads`"),
    )
    DB_POOL_SIZE: int = Field(8, ge=1, le=1_000, description="database connections of one process, at most")
    DB_POOL_TIMEOUT: Seconds = Field(5.0, description="seconds a request waits for a database connection")
    DB_POOL_RECYCLE: Seconds = Field(
        300.0, description="seconds after which a database connection is replaced"
    )
    DB_PRE_PING: bool = Field(default=True, description="whether a connection is tried before it is used")
    DB_STATEMENT_TIMEOUT: Seconds = Field(
        10.0, description="seconds after which a database statement is ended"
    )
    REQUEST_TIMEOUT: Seconds = Field(
        15.0, description="seconds after which a request is given up", json_schema_extra=DEADLINES
    )
    REDIS_URL: Annotated[SecretStr, AfterValidator(_redis_url)] | None = Field(
        None,
        description="`redis://host:6379/0`, shared by several nodes; without it, each process keeps its own",
        json_schema_extra=DEPLOYMENT,
    )
    BACKEND_CORS_ORIGINS: Annotated[list[Annotated[str, AfterValidator(_origin)]], ListText, Unique] = Field(
        [],
        description="origins whose pages may call the API, by commas or as a JSON list; `*` only in `local`",
    )
    ALLOWED_HOSTS: Annotated[
        list[Annotated[str, AfterValidator(_host)]], Field(min_length=1), ListText, Unique
    ] = Field(
        ["*"],
        description="host names served, `*.name` and `*` too, by commas or as a JSON list",
    )
    LOG_LEVEL: Annotated[LogLevel, BeforeValidator(_upper)] = Field(
        LogLevel.INFO, description="`DEBUG`, `INFO`, `WARNING`, `ERROR` or `CRITICAL`"
    )
    SENTRY_DSN: Annotated[SecretStr, AfterValidator(_sentry_dsn)] | None = Field(
        None, description="where Sentry takes reports of errors", json_schema_extra=DEPLOYMENT
    )
    SENTRY_TRACES_SAMPLE_RATE: float = Field(
        0.1,
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="share of requests traced",
        json_schema_extra=DEPLOYMENT,
    )
    SMTP_HOST: Line | None = Field(
        None,
        description="mail server; without it, `local` writes e-mails to a folder",
        json_schema_extra=NOTIFICATIONS,
    )
    SMTP_PORT: int = Field(
        587, ge=1, le=65_535, description="port of the mail server", json_schema_extra=NOTIFICATIONS
    )
    SMTP_TLS: bool = Field(
        default=True, description="whether mail is sent over TLS only", json_schema_extra=NOTIFICATIONS
    )
    SMTP_USER: Line | None = Field(
        None, description="user name at the mail server; needs a password", json_schema_extra=NOTIFICATIONS
    )
    SMTP_PASSWORD: SecretStr | None = Field(
        None, description="password at the mail server", json_schema_extra=NOTIFICATIONS
    )
    EMAILS_FROM_EMAIL: Email | None = Field(
        None, description="address that e-mails come from", json_schema_extra=NOTIFICATIONS
    )
    EMAILS_FROM_NAME: Line | None = Field(
        None, description="name that e-mails come from, else `PROJECT_NAME`", json_schema_extra=NOTIFICATIONS
    )
    USE_S3: bool = Field(
        default=False,
        description="whether files are kept in S3, not in `UPLOAD_DIR`",
        json_schema_extra=MEDIA,
    )
    AWS_ACCESS_KEY_ID: Line | None = Field(
        None, description="key for S3; without one, the machine's own role is used", json_schema_extra=MEDIA
    )
    AWS_SECRET_ACCESS_KEY: SecretStr | None = Field(
        None, description="secret of that key", json_schema_extra=MEDIA
    )
    AWS_S3_BUCKET_NAME: Line | None = Field(
        None, description="bucket for the files; needed with `USE_S3`", json_schema_extra=MEDIA
    )
    AWS_ENDPOINT_URL: Annotated[str, AfterValidator(_web_url)] | None = Field(
        None, description="URL of a server that speaks S3, if it is not AWS", json_schema_extra=MEDIA
    )
    AWS_REGION: Line | None = Field(None, description="region of the bucket", json_schema_extra=MEDIA)
    MAX_BODY_BYTES: Bytes = Field(ByteSize(2**20), description="largest request body that is not an upload")
    MAX_UPLOAD_BYTES: Bytes = Field(
        ByteSize(10 * 2**20), description="largest uploaded file", json_schema_extra=MEDIA
    )
    UPLOAD_QUOTA_BYTES: Bytes = Field(
        ByteSize(2**30), description="what one person's files may take up", json_schema_extra=MEDIA
    )
    UPLOAD_QUOTA_FILES: int = Field(
        1000, ge=1, le=10**9, description="how many files one person may keep", json_schema_extra=MEDIA
    )
    RATE_LIMIT_ENABLED: bool = Field(
        default=True, description="`false` lifts every limit, for load tests; `production` refuses that"
    )
    RATE_LIMIT_DEFAULT: Annotated[Rate | None, RateText] = Field(
        default_factory=_default_rate,
        description="requests of one client or person to all routes together, as `requests/period`",
        json_schema_extra=_used("rate limits", shown="`100/60s`, in `local` none"),
    )
    RATE_LIMIT_LOGIN: Annotated[Rate, RateText] = Field(
        Rate(10, 60.0), description="attempts to log in to one account from one address"
    )
    RATE_LIMIT_REGISTER: Annotated[Rate, RateText] = Field(
        Rate(20, 3600.0), description="registrations from one address"
    )
    RATE_LIMIT_PASSWORD: Annotated[Rate, RateText] = Field(
        Rate(5, 3600.0), description="changes and resets of one account's password"
    )
    PHONE_DEFAULT_REGION: Annotated[str, AfterValidator(_region), BeforeValidator(_upper)] = Field(
        "US", description="country of phone numbers written without one (ISO 3166, two letters)"
    )
    CACHE_POPULAR_SECONDS: Annotated[float, SECONDS] = Field(
        30.0,
        ge=0,
        le=DAY,
        allow_inf_nan=False,
        description="seconds for which the list of popular items is kept, 0 for not at all",
    )

    def __init__(self, **values: Any) -> None:
        """Read every source, ``values`` first; ``_env_file`` and its like are for pydantic-settings."""
        unknown = [
            name
            for name in values
            if not name.startswith("_") and name.upper() not in type(self).model_fields
        ]
        if unknown:  # a slip in the code, where a stray variable of the environment is none
            raise TypeError(f"no such settings: {', '.join(unknown)}")
        faults: list[str] = []
        try:
            super().__init__(**values)
        except ValidationError as error:
            faults = _faults(error.errors(include_url=False, include_context=False, include_input=False))
        except (OSError, UnicodeError) as error:
            faults = [f".env: cannot be read: {getattr(error, 'strerror', None) or 'it is not UTF-8 text'}"]
        if faults:  # raised out here: as a context, the other error would carry the values along
            raise SettingsError(faults)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - ours reports what it cannot read
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return where values come from, the strongest first (a hook of pydantic-settings)."""
        # NAME_FILE comes before NAME only so that the fault of setting both is not hidden by the value.
        named = _NamedFiles(settings_cls, [env_settings, dotenv_settings])
        return init_settings, named, env_settings, dotenv_settings, _SecretsDirectory(settings_cls)

    @field_validator("*", mode="before")
    @classmethod
    def _report_unread_file(cls, value: object) -> object:
        if isinstance(value, _Fault):
            raise ValueError(value.message)  # noqa: TRY004 - pydantic collects ValueErrors
        return value

    @field_validator("SECRETS_DIR")
    @classmethod
    def _check_secrets_directory(cls, value: Path) -> Path:
        expected = value != DEFAULT_SECRETS_DIR or value.exists()
        if expected and not (os.access(value, os.R_OK | os.X_OK) and value.is_dir()):
            raise ValueError(f"{value} is not a directory that can be read")
        return value

    @field_validator("DATA_DIR", "UPLOAD_DIR")
    @classmethod
    def _expand_home(cls, value: Path) -> Path:
        return value.expanduser()

    @field_validator("SECRET_KEY")
    @classmethod
    def _check_secret_key(cls, value: SecretStr, info: ValidationInfo) -> SecretStr:
        key = value.get_secret_value()
        if not key:
            if _is_strict(info):
                raise ValueError(f"is missing; {MAKE_KEY}")
            return value
        if _is_strict(info) and PUBLISHED in key.lower():
            raise ValueError(f"holds the published example {PUBLISHED}; {MAKE_KEY}")
        _check_key_length(key, info.data.get("ALGORITHM", "HS256"))
        return value

    @field_validator("FIRST_SUPERUSER_PASSWORD")
    @classmethod
    def _check_superuser_password(cls, value: SecretStr, info: ValidationInfo) -> SecretStr:
        if _is_strict(info) and value.get_secret_value().strip().lower() == PUBLISHED:
            raise ValueError(f"is the published example {PUBLISHED}; only local accepts that")
        return value

    @field_validator("DATABASE_URL")
    @classmethod
    def _check_database_url(cls, value: SecretStr) -> SecretStr:
        _database_url(value.get_secret_value())
        return value

    @field_validator("BACKEND_CORS_ORIGINS")
    @classmethod
    def _check_origins(cls, value: list[str], info: ValidationInfo) -> list[str]:
        if _is_strict(info) and "*" in value:
            raise ValueError("may not hold the wildcard * outside local, because pages may send credentials")
        return value

    @field_validator("RATE_LIMIT_ENABLED")
    @classmethod
    def _check_rate_limit(cls, value: bool, info: ValidationInfo) -> bool:  # noqa: FBT001 - pydantic calls it
        if not value and info.data.get("ENVIRONMENT") not in {Environment.LOCAL, Environment.STAGING}:
            raise ValueError("may not be false in production")
        return value

    @field_validator("SMTP_PASSWORD", "AWS_SECRET_ACCESS_KEY")
    @classmethod
    def _check_pair(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        name = {"SMTP_PASSWORD": "SMTP_USER", "AWS_SECRET_ACCESS_KEY": "AWS_ACCESS_KEY_ID"}[
            str(info.field_name)
        ]
        if name in info.data and (value is None) != (info.data[name] is None):
            raise ValueError(f"and {name} are set together or not at all")
        return value

    @field_validator("AWS_S3_BUCKET_NAME")
    @classmethod
    def _check_bucket(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is None and info.data.get("USE_S3"):
            raise ValueError("is missing, and USE_S3 is true")
        return value

    @classmethod
    def load(cls, **values: Any) -> Self:
        """Read and check the settings, and see to it that ``local`` has a key that outlives a restart.

        The key is kept in ``{DATA_DIR}/secret_key``, for its owner's eyes only, the same in every worker.
        Raises ``SettingsError``.
        """
        settings = cls(**values)
        if settings.SECRET_KEY.get_secret_value():
            return settings
        path = settings.DATA_DIR / "secret_key"
        try:
            key = _kept_key(settings.DATA_DIR)
            _check_key_length(key, settings.ALGORITHM)
        except OSError as error:
            fault = f"SECRET_KEY: cannot be kept in {path}: {_reason(error)}; set it, or another DATA_DIR"
        except ValueError as error:
            fault = f"SECRET_KEY: {path} is of no use: {error}; delete it to have a new one made"
        else:
            return settings.model_copy(update={"SECRET_KEY": SecretStr(key)})
        raise SettingsError([fault])

    @property
    def is_local(self) -> bool:
        """Whether this is a developer's machine, where unsafe defaults are welcome."""
        return self.ENVIRONMENT is Environment.LOCAL

    @property
    def database_url(self) -> URL:
        """``DATABASE_URL`` for SQLAlchemy's async engine; printing it hides the password."""
        return _database_url(self.DATABASE_URL.get_secret_value())[0]

    @property
    def is_sqlite(self) -> bool:
        """Whether the database is the embedded one."""
        return self.database_url.get_backend_name() == "sqlite"

    @property
    def warnings(self) -> list[str]:
        """What is allowed and probably not meant: to be logged once at start-up, each as ``NAME: why``."""
        found: list[str] = []
        if self.is_sqlite and self.REDIS_URL is not None:
            found.append("DATABASE_URL: SQLite cannot be shared by several nodes, which REDIS_URL is for")
        if ignored := _database_url(self.DATABASE_URL.get_secret_value())[1]:
            found.append(
                f"DATABASE_URL: options without a meaning to the driver are left out: {', '.join(ignored)}"
            )
        if not self.RATE_LIMIT_ENABLED and not self.is_local:
            found.append("RATE_LIMIT_ENABLED: every limit is lifted, those on guessing passwords too")
        if self.SMTP_PASSWORD is not None and not self.SMTP_TLS:
            found.append("SMTP_TLS: without it the password for the mail server travels in the clear")
        if self.SMTP_HOST is not None and self.EMAILS_FROM_EMAIL is None:
            found.append("EMAILS_FROM_EMAIL: is not set, so no e-mail can be sent through SMTP_HOST")
        return found


def _is_strict(info: ValidationInfo) -> bool:
    """Whether unsafe values are refused: also when ENVIRONMENT is wrong, so that every fault is named."""
    return info.data.get("ENVIRONMENT") is not Environment.LOCAL


def _check_key_length(key: str, algorithm: str) -> None:
    size, least = len(key.encode()), MINIMUM_KEY_BYTES[algorithm]
    if size < least:
        raise ValueError(f"it has {size} bytes, and {algorithm} needs at least {least}")


def _faults(errors: list[ErrorDetails]) -> list[str]:
    """Put pydantic's findings in words, each once; a default that waited for a faulty setting is no fault."""
    return list(
        dict.fromkeys(
            f"{error['loc'][0]}: {error['msg'].removeprefix('Value error, ').removeprefix('Input ')}"
            for error in errors
            if error["type"] != "default_factory_not_called"
        )
    )


def _shown_default(field: FieldInfo) -> str:
    value = field.default
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, ByteSize):
        return f"`{value.human_readable(separator=' ').replace('.0', '')}`"
    if SECONDS in field.metadata:
        return f"`{value:g} s`"
    if isinstance(value, list):
        return f"`{','.join(value) or '[]'}`"
    return "none" if value is None or value is PydanticUndefined else f"`{value}`"


def settings_table() -> str:
    """Return the README's table of all settings, in Markdown: name, default, meaning, and its user."""
    rows = ["| setting | default | meaning | used by |", "|---|---|---|---|"]
    for name, field in Settings.model_fields.items():
        extra = cast("dict[str, str]", field.json_schema_extra or {})
        part = extra.get("part", "now")
        used = "in use" if part == "now" else f"later: {part}"
        rows.append(
            f"| `{name}` | {extra.get('shown') or _shown_default(field)} | {field.description} | {used} |"
        )
    return "\n".join(rows) + "\n"
