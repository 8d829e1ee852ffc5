"""The settings of a process: read from the environment, checked once, handed around as one frozen object.

Code that read a variable of its own would find its fault at the first request that needs it, not at the start. A setting is
looked for in this order: keyword arguments, environment variables, ``.env`` in the working
directory, and a file of its name in ``SECRETS_DIR``. Instead of ``NAME``, a variable ``NAME_FILE`` may give
the path of a file that holds the value; setting both is a fault. A variable that is set to nothing counts as
not set. Names are not case-sensitive, except those of keyword arguments.

Importing this module and making a ``Settings`` leave no trace on the machine; ``Settings.load`` may write the
key that ``local`` keeps for itself. Whatever is wrong is reported in one ``SettingsError``, which never
repeats a value that may be secret.
"""

from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import ByteSize, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict
from sqlalchemy.engine import URL

from tradepost.core.secret_keys import SecretKeys
from tradepost.core.settings.checks import CheckedSettings, header_fields
from tradepost.core.settings.database_url import async_url
from tradepost.core.settings.defaults import (
    PUBLISHED,
    Environment,
    LogLevel,
    default_rate,
    embedded_database,
    upload_directory,
)
from tradepost.core.settings.faults import SettingsError, faults_in
from tradepost.core.settings.secret_key import own_key
from tradepost.core.settings.sources import FileSource, reason
from tradepost.core.settings.values import (
    DAY,
    LOWER,
    SECONDS,
    UPPER,
    BareEmail,
    Bytes,
    Directory,
    HostName,
    Hosts,
    Line,
    Networks,
    Origins,
    PublicUrl,
    Rate,
    RateText,
    RedisUrl,
    Region,
    Seconds,
    SecretTexts,
    SecretWebUrl,
    UrlPath,
    WebUrl,
)

__all__ = ["Environment", "LogLevel", "Rate", "Settings"]


class Settings(CheckedSettings):
    """What an operator can choose. Build it with ``Settings.load()``; a change makes a copy (``model_copy``).

    Constructing it reads and checks everything and writes nothing; ``SECRET_KEY`` may then still be empty in
    ``local``. Raises ``SettingsError``.
    """

    model_config = SettingsConfigDict(
        env_file=".env",
        env_file_encoding="utf-8-sig",
        dotenv_filtering="only_existing",
        env_ignore_empty=True,
        enable_decoding=False,  # lists may also be written with commas
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        validate_default=True,
    )

    # A check may look at fields declared above its own, so the order counts.
    ENVIRONMENT: Annotated[Environment, LOWER] = Field(
        Environment.LOCAL,
        description="`local`, `staging` or `production`; the last two refuse unsafe settings",
    )
    SECRETS_DIR: Path = Field(
        Path("/run/secrets"),
        description="directory whose files give the settings they are named after; one set here must exist",
    )
    PROJECT_NAME: Line = Field(
        "Tradepost", description="name of the service in its answers and documentation"
    )
    VERSION: Line = Field(
        default_factory=lambda: version("tradepost"), description="version shown in the documentation"
    )
    API_V1_STR: UrlPath = Field(
        "/api/v1", description="path in front of every route but the probes, metrics and documentation"
    )
    PUBLIC_URL: PublicUrl = Field(
        "http://localhost:8000", description="how people reach this service: links in e-mails begin with it"
    )
    ALGORITHM: Annotated[Literal["HS256", "HS384", "HS512"], UPPER] = Field(
        "HS256", description="how access tokens are signed: `HS256`, `HS384` or `HS512`"
    )
    SECRET_KEY: SecretStr = Field(
        SecretStr(""),
        description="signs tokens: at least 32 bytes (`HS384` 48, `HS512` 64), the same in every replica",
    )
    SECRET_KEYS_OLD: SecretTexts = Field(
        [],
        description="keys that still open what they signed, by commas: the last one, and the next one before it is in force",
    )
    ACCESS_TOKEN_EXPIRE_MINUTES: int = Field(
        60, ge=1, le=43_200, description="minutes for which an access token is good"
    )
    REFRESH_TOKEN_EXPIRE_DAYS: int = Field(
        30, ge=1, le=3_650, description="days after which a session ends, however often it was refreshed"
    )
    FIRST_SUPERUSER: BareEmail = Field(
        "admin@example.com", description="e-mail address of the first administrator, made with the database"
    )
    FIRST_SUPERUSER_PASSWORD: SecretStr = Field(
        SecretStr(PUBLISHED),
        min_length=1,
        max_length=1000,
        description="the first administrator's password; outside `local` it must be changed",
    )
    DATA_DIR: Directory = Field(Path("data"), description="directory for everything kept on this machine")
    DATABASE_URL: SecretStr = Field(
        default_factory=embedded_database,
        description="`postgresql://user:password@host:5432/name` (also `postgres://`, hosts by commas) or `sqlite:///./x.db`",
    )
    DB_VIA_PGBOUNCER: bool = Field(
        default=False, description="whether `DATABASE_URL` leads to a PgBouncer that pools transactions"
    )
    DATABASE_DIRECT_URL: SecretStr | None = Field(
        None,
        description="with `DB_VIA_PGBOUNCER`, the way past it: for migrations, and signals without Redis",
    )
    DATABASE_REPLICA_URL: SecretStr | None = Field(
        None, description="a standby of PostgreSQL, which answers lists, search and exports of strangers"
    )
    UPLOAD_DIR: Directory = Field(
        default_factory=upload_directory, description="directory for uploaded files when S3 is not used"
    )
    DB_POOL_SIZE: int = Field(8, ge=1, le=1_000, description="database connections of one process, at most")
    DB_POOL_TIMEOUT: Seconds = Field(5.0, description="seconds a request waits for a database connection")
    DB_POOL_RECYCLE: Seconds = Field(
        300.0, description="seconds after which a database connection is replaced"
    )
    DB_PRE_PING: bool = Field(default=True, description="whether a connection is tried before it is used")
    DB_STATEMENT_TIMEOUT: Seconds = Field(
        10.0, description="seconds after which PostgreSQL ends a statement; SQLite does not"
    )
    REQUEST_TIMEOUT: Seconds = Field(15.0, description="seconds after which a request is given up")
    REDIS_URL: RedisUrl | None = Field(
        None,
        description="`redis://host:6379/0`, shared by several nodes; without it, each process keeps its own",
    )
    BACKEND_CORS_ORIGINS: Origins = Field(
        [],
        description="origins whose pages may call the API, by commas or as a JSON list; `*` only in `local`",
    )
    ALLOWED_HOSTS: Hosts = Field(
        ["*"], description="host names served, `*.name` and `*` too, by commas or as a JSON list"
    )
    TRUSTED_PROXIES: Networks = Field(
        [],
        description=(
            "addresses and networks whose `X-Forwarded-For`, `-Proto`, `-Host`, `-Prefix` and `Forwarded` are "
            "believed, by commas or as a JSON list"
        ),
    )
    KEEP_ALIVE_SECONDS: Seconds = Field(
        75.0,
        description="seconds for which an idle connection is kept; more than a load balancer in front keeps its own",
    )
    DRAIN_SECONDS: Annotated[float, SECONDS, Field(ge=0, le=600)] = Field(
        3.0,
        description="seconds after SIGTERM in which requests are still taken, and `/readyz` says that no more are wanted",
    )
    LOG_LEVEL: Annotated[LogLevel, UPPER] = Field(
        LogLevel.INFO, description="`DEBUG`, `INFO`, `WARNING`, `ERROR` or `CRITICAL`"
    )
    SENTRY_DSN: SecretWebUrl | None = Field(
        None, description="where Sentry takes reports of errors; needs the extra `sentry`"
    )
    SENTRY_TRACES_SAMPLE_RATE: float = Field(
        0.1, ge=0, le=1, description="share of requests whose spans Sentry gets, where no collector does"
    )
    OTEL_EXPORTER_OTLP_ENDPOINT: WebUrl | None = Field(
        None,
        description="collector that takes spans over OTLP/HTTP, such as `http://collector:4318`; needs the extra `otel`",
    )
    OTEL_EXPORTER_OTLP_HEADERS: SecretStr | None = Field(
        None, description="headers that show a collector who sends them, as `name=value`, by commas"
    )
    OTEL_TRACES_SAMPLE_RATE: float = Field(
        1.0, ge=0, le=1, description="share of requests whose spans a collector gets"
    )
    SMTP_HOST: HostName | None = Field(
        None, description="mail server; without it, `local` writes e-mails to `{DATA_DIR}/mails`"
    )
    SMTP_PORT: int = Field(
        587, ge=1, le=65_535, description="port of the mail server; 465 speaks TLS from the start"
    )
    SMTP_TLS: bool = Field(
        default=True, description="whether mail is sent over TLS only, which other ports begin with STARTTLS"
    )
    SMTP_USER: Line | None = Field(None, description="user name at the mail server; needs a password")
    SMTP_PASSWORD: SecretStr | None = Field(None, description="password at the mail server")
    EMAILS_FROM_EMAIL: BareEmail | None = Field(
        None, description="address that e-mails come from; needed with `SMTP_HOST`"
    )
    EMAILS_FROM_NAME: Line | None = Field(
        None, description="name that e-mails come from, else `PROJECT_NAME`"
    )
    USE_S3: bool = Field(default=False, description="whether files are kept in S3, not in `UPLOAD_DIR`")
    AWS_ACCESS_KEY_ID: Line | None = Field(
        None, description="key for S3; without one, the machine's own role is used"
    )
    AWS_SECRET_ACCESS_KEY: SecretStr | None = Field(None, description="secret of that key")
    AWS_S3_BUCKET_NAME: Line | None = Field(None, description="bucket for the files; needed with `USE_S3`")
    AWS_ENDPOINT_URL: WebUrl | None = Field(
        None, description="URL of a server that speaks S3, if it is not AWS"
    )
    AWS_REGION: Line | None = Field(None, description="region of the bucket")
    MAX_BODY_BYTES: Bytes = Field(ByteSize(2**20), description="largest request body that is not an upload")
    MAX_UPLOAD_BYTES: Bytes = Field(ByteSize(10 * 2**20), description="largest uploaded file")
    MAX_BULK_BYTES: Bytes = Field(ByteSize(64 * 2**20), description="largest body of `POST /items/bulk`")
    MAX_BULK_LINES: int = Field(
        100_000, ge=1, le=10**7, description="how many items one `POST /items/bulk` takes"
    )
    IDEMPOTENCY_HOURS: int = Field(
        24,
        ge=1,
        le=24 * 366,
        description="for how long the answer to a request with an `Idempotency-Key` is kept",
    )
    UPLOAD_QUOTA_BYTES: Bytes = Field(ByteSize(2**30), description="what one person's files may take up")
    UPLOAD_QUOTA_FILES: int = Field(1000, ge=1, le=10**9, description="how many files one person may keep")
    RATE_LIMIT_ENABLED: bool = Field(
        default=True, description="`false` lifts every limit, for load tests; `production` refuses that"
    )
    OVERLOAD_CONTROL: bool = Field(
        default=True,
        description="whether requests are refused with 503 at once while more come than can be answered",
    )
    RATE_LIMIT_DEFAULT: RateText | None = Field(
        default_factory=default_rate,
        description="requests of one client or person to all routes together, as `requests/period`",
    )
    RATE_LIMIT_LOGIN: RateText = Field(
        Rate(10, 60.0), description="attempts to log in to one account from one address"
    )
    RATE_LIMIT_REGISTER: RateText = Field(Rate(20, 3600.0), description="registrations from one address")
    RATE_LIMIT_PASSWORD: RateText = Field(
        Rate(5, 3600.0),
        description="changes of one account's password, and e-mails asked for, for one account or by one client",
    )
    WEBHOOK_ALLOW_PRIVATE: bool = Field(
        default=False,
        description="whether webhooks may lead to private addresses, for development; `production` refuses that",
    )
    FAULTS_ENABLED: bool = Field(
        default=False,
        description="whether faults can be made on purpose ([load-testing.md](load-testing.md)); `production` refuses that",
    )
    REQUIRE_STAFF_TOTP: bool = Field(
        default=False, description="whether moderators and admins do nothing without a second factor"
    )
    PHONE_DEFAULT_REGION: Region = Field(
        "US", description="country of phone numbers written without one (ISO 3166, two letters)"
    )
    CACHE_POPULAR_SECONDS: Annotated[float, SECONDS] = Field(
        30.0,
        ge=0,
        le=DAY,
        description="seconds for which the list of popular items is kept, 0 for not at all",
    )

    def __init__(self, **values: Any) -> None:
        """Read every source, ``values`` first; ``_env_file`` and its like are for pydantic-settings."""
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise SettingsError(faults_in(error)) from None
        except (OSError, UnicodeError) as error:
            raise SettingsError([f".env: cannot be read: {reason(error)}"]) from None

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
        files = FileSource(settings_cls, env_settings, dotenv_settings)
        return init_settings, files, env_settings, dotenv_settings

    @classmethod
    def load(cls, **values: Any) -> Self:
        """Read and check the settings, and see to it that ``local`` has a key that outlives a restart.

        The key is kept in ``{DATA_DIR}/secret_key``, for its owner's eyes only, the same in every worker.
        Raises ``SettingsError``.
        """
        settings = cls(**values)
        if settings.SECRET_KEY.get_secret_value():
            return settings
        key = own_key(settings.DATA_DIR / "secret_key", settings.ALGORITHM)
        return settings.model_copy(update={"SECRET_KEY": SecretStr(key)})

    @property
    def is_local(self) -> bool:
        """Whether this is a developer's machine, where unsafe defaults are welcome."""
        return self.ENVIRONMENT is Environment.LOCAL

    @property
    def secret_keys(self) -> SecretKeys:
        """The key in force, and those that still count."""
        return SecretKeys(
            self.SECRET_KEY.get_secret_value(), *(key.get_secret_value() for key in self.SECRET_KEYS_OLD)
        )

    @property
    def otlp_headers(self) -> dict[str, str]:
        """``OTEL_EXPORTER_OTLP_HEADERS`` by name."""
        return header_fields(self.OTEL_EXPORTER_OTLP_HEADERS)

    @property
    def drain_seconds(self) -> float:
        """``DRAIN_SECONDS``; in ``local``, where nobody stands in front, none unless it was set."""
        return 0.0 if self.is_local and "DRAIN_SECONDS" not in self.model_fields_set else self.DRAIN_SECONDS

    @property
    def database_url(self) -> URL:
        """``DATABASE_URL`` for SQLAlchemy's async engine; printing it hides the password."""
        return async_url(self.DATABASE_URL.get_secret_value())

    @property
    def direct_database_url(self) -> URL | None:
        """``DATABASE_DIRECT_URL`` for SQLAlchemy's async engine."""
        given = self.DATABASE_DIRECT_URL
        return None if given is None else async_url(given.get_secret_value())

    @property
    def replica_database_url(self) -> URL | None:
        """``DATABASE_REPLICA_URL`` for SQLAlchemy's async engine; of several hosts a standby is preferred."""
        given = self.DATABASE_REPLICA_URL
        return None if given is None else async_url(given.get_secret_value(), wanted="prefer-standby")

    @property
    def is_sqlite(self) -> bool:
        """Whether the database is the embedded one."""
        return self.database_url.get_backend_name() == "sqlite"
