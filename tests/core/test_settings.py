"""The settings: where they come from, what is accepted, what start-up refuses, the key ``local`` keeps."""

# ruff: noqa: SIM300, SIM905 - the first takes a setting for a constant, because its name is in capitals; the list reads better as words

import os
import stat
import subprocess
import sys
import traceback
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import pytest

import tradepost
from tradepost.core import settings as module
from tradepost.core.settings import (
    Environment,
    LogLevel,
    Rate,
    Settings,
    SettingsError,
    settings_table,
)

GOOD_KEY = "k" * 31 + "7"
SAFE = {"SECRET_KEY": GOOD_KEY, "FIRST_SUPERUSER_PASSWORD": "Correct-Horse-9"}
SPECIFIED = """
    ENVIRONMENT PROJECT_NAME VERSION API_V1_STR SECRET_KEY ALGORITHM ACCESS_TOKEN_EXPIRE_MINUTES
    REFRESH_TOKEN_EXPIRE_DAYS FIRST_SUPERUSER FIRST_SUPERUSER_PASSWORD DATA_DIR DATABASE_URL UPLOAD_DIR
    DB_POOL_SIZE DB_POOL_TIMEOUT DB_POOL_RECYCLE DB_PRE_PING DB_STATEMENT_TIMEOUT REQUEST_TIMEOUT REDIS_URL
    BACKEND_CORS_ORIGINS ALLOWED_HOSTS LOG_LEVEL SENTRY_DSN SENTRY_TRACES_SAMPLE_RATE
    SMTP_HOST SMTP_PORT SMTP_TLS SMTP_USER SMTP_PASSWORD EMAILS_FROM_EMAIL EMAILS_FROM_NAME
    USE_S3 AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_S3_BUCKET_NAME AWS_ENDPOINT_URL AWS_REGION
    MAX_BODY_BYTES MAX_UPLOAD_BYTES UPLOAD_QUOTA_BYTES UPLOAD_QUOTA_FILES
    RATE_LIMIT_ENABLED RATE_LIMIT_DEFAULT RATE_LIMIT_LOGIN RATE_LIMIT_REGISTER RATE_LIMIT_PASSWORD
    PHONE_DEFAULT_REGION CACHE_POPULAR_SECONDS
""".split()


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Start every test in an empty directory, with no setting and no secret of this machine in sight."""
    for name in Settings.model_fields:
        for variable in (name, f"{name}_FILE"):
            monkeypatch.delenv(variable, raising=False)
            monkeypatch.delenv(variable.lower(), raising=False)
    empty = tmp_path / "no secrets"
    empty.mkdir()
    monkeypatch.setattr(module, "DEFAULT_SECRETS_DIR", empty)
    workplace = tmp_path / "workplace"
    workplace.mkdir()
    monkeypatch.chdir(workplace)


def faults_of(build: Callable[[], object]) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        build()
    return caught.value.faults


def fault_of(**values: Any) -> str:
    (fault,) = faults_of(lambda: Settings(**values))
    return fault


def postgresql(rest: str) -> dict[str, Any]:
    """Return the keywords that asyncpg gets for a URL."""
    url = Settings(DATABASE_URL=f"postgresql://{rest}").database_url
    _, keywords = url.get_dialect()().create_connect_args(url)
    return dict(keywords)


class TestDefaults:
    def test_every_specified_setting_is_there_and_nothing_else_but_the_secrets_directory(self) -> None:
        assert set(Settings.model_fields) == {*SPECIFIED, "SECRETS_DIR"}

    def test_defaults(self) -> None:
        settings = Settings()
        assert settings.ENVIRONMENT is Environment.LOCAL
        assert settings.is_local
        assert (settings.PROJECT_NAME, settings.API_V1_STR) == ("Tradepost", "/api/v1")
        assert settings.ALGORITHM == "HS256"
        assert (settings.ACCESS_TOKEN_EXPIRE_MINUTES, settings.REFRESH_TOKEN_EXPIRE_DAYS) == (60, 30)
        assert settings.FIRST_SUPERUSER == "admin@example.com"
        assert settings.FIRST_SUPERUSER_PASSWORD.get_secret_value() == "changethis"
        assert settings.DATA_DIR == Path("data")
        assert settings.UPLOAD_DIR == Path("data/uploads")
        assert settings.DATABASE_URL.get_secret_value() == "sqlite:///data/tradepost.db"
        assert (settings.DB_POOL_SIZE, settings.DB_PRE_PING) == (8, True)
        assert (settings.DB_POOL_TIMEOUT, settings.DB_POOL_RECYCLE) == (5.0, 300.0)
        assert (settings.DB_STATEMENT_TIMEOUT, settings.REQUEST_TIMEOUT) == (10.0, 15.0)
        assert settings.REDIS_URL is None
        assert settings.BACKEND_CORS_ORIGINS == []
        assert settings.ALLOWED_HOSTS == ["*"]
        assert settings.LOG_LEVEL is LogLevel.INFO
        assert settings.SENTRY_DSN is None
        assert settings.SENTRY_TRACES_SAMPLE_RATE == 0.1
        assert (settings.SMTP_HOST, settings.SMTP_PORT, settings.SMTP_TLS) == (None, 587, True)
        assert (settings.SMTP_USER, settings.SMTP_PASSWORD) == (None, None)
        assert (settings.EMAILS_FROM_EMAIL, settings.EMAILS_FROM_NAME) == (None, None)
        assert settings.USE_S3 is False
        assert settings.MAX_BODY_BYTES == 1_048_576
        assert settings.MAX_UPLOAD_BYTES == 10_485_760
        assert (settings.UPLOAD_QUOTA_BYTES, settings.UPLOAD_QUOTA_FILES) == (1_073_741_824, 1000)
        assert settings.RATE_LIMIT_ENABLED is True
        assert settings.RATE_LIMIT_DEFAULT is None
        assert settings.RATE_LIMIT_LOGIN == Rate(10, 60.0)
        assert settings.RATE_LIMIT_REGISTER == Rate(20, 3600.0)
        assert settings.RATE_LIMIT_PASSWORD == Rate(5, 3600.0)
        assert settings.PHONE_DEFAULT_REGION == "US"
        assert settings.CACHE_POPULAR_SECONDS == 30.0
        assert settings.warnings == []

    def test_version_is_the_packages_or_zero_in_a_mere_source_tree(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert Settings().VERSION[0].isdigit()

        def missing(name: str) -> str:
            raise PackageNotFoundError(name)

        monkeypatch.setattr(module, "version", missing)
        assert Settings().VERSION == "0.0.0"

    def test_constructing_leaves_no_trace(self, tmp_path: Path) -> None:
        settings = Settings(DATA_DIR=tmp_path / "made later")
        assert settings.SECRET_KEY.get_secret_value() == ""
        assert not (tmp_path / "made later").exists()

    def test_paths_and_database_follow_the_data_directory(self) -> None:
        settings = Settings(DATA_DIR="/var/lib/trade post/50%?#")
        assert Path("/var/lib/trade post/50%?#/uploads") == settings.UPLOAD_DIR
        assert settings.database_url.database == "/var/lib/trade post/50%?#/tradepost.db"
        assert Settings(DATA_DIR="~/x").DATA_DIR == Path.home() / "x"

    def test_settings_cannot_be_changed_in_place(self) -> None:
        with pytest.raises(ValueError, match="frozen"):
            Settings().DB_POOL_SIZE = 3  # type: ignore[misc]

    def test_a_misspelt_keyword_is_a_slip_in_the_code(self) -> None:
        with pytest.raises(TypeError, match="DB_POOLSIZE"):
            Settings(DB_POOLSIZE=3)


class TestSources:
    def test_keyword_beats_environment_beats_env_file_beats_named_file_beats_directory(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        secrets = tmp_path / "secrets"
        secrets.mkdir()
        monkeypatch.setenv("SECRETS_DIR", str(secrets))
        assert Settings().PROJECT_NAME == "Tradepost"

        (secrets / "PROJECT_NAME").write_text("directory\n")
        assert Settings().PROJECT_NAME == "directory"

        (tmp_path / "other").write_text("env file's file\n")
        Path(".env").write_text(f"PROJECT_NAME_FILE={tmp_path / 'other'}\n")
        assert Settings().PROJECT_NAME == "env file's file"

        (tmp_path / "name").write_text("named file\n")
        monkeypatch.setenv("PROJECT_NAME_FILE", str(tmp_path / "name"))
        assert Settings().PROJECT_NAME == "named file"

        monkeypatch.delenv("PROJECT_NAME_FILE")
        Path(".env").write_text("PROJECT_NAME=env file\n")
        assert Settings().PROJECT_NAME == "env file"

        monkeypatch.setenv("PROJECT_NAME", "environment")
        assert Settings().PROJECT_NAME == "environment"

        assert Settings(PROJECT_NAME="keyword").PROJECT_NAME == "keyword"

    @pytest.mark.parametrize("name", SPECIFIED)
    def test_every_setting_has_a_file_variable(
        self, name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setenv(f"{name}_FILE", str(tmp_path / "absent"))
        expected = f"{name}: its file {tmp_path / 'absent'} cannot be read: No such file or directory"
        faults = faults_of(Settings)
        assert expected in faults
        assert len(faults) == 1 or name == "ENVIRONMENT"  # without which the strictest rules hold

    @pytest.mark.parametrize("first", ["environment", ".env"])
    @pytest.mark.parametrize("second", ["environment", ".env"])
    def test_a_value_and_a_file_for_the_same_setting_is_a_fault(
        self, first: str, second: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        (tmp_path / "key").write_text(GOOD_KEY)
        lines = []
        for where, name, value in [
            (first, "SECRET_KEY", GOOD_KEY),
            (second, "SECRET_KEY_FILE", str(tmp_path / "key")),
        ]:
            if where == ".env":
                lines.append(f"{name}={value}\n")
            else:
                monkeypatch.setenv(name, value)
        Path(".env").write_text("".join(lines))
        assert faults_of(Settings) == ["SECRET_KEY: both SECRET_KEY and SECRET_KEY_FILE are set; keep one"]

    def test_only_line_breaks_at_the_end_of_a_secret_are_dropped(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        (tmp_path / "key").write_bytes(f"  {GOOD_KEY} \r\n\n".encode())
        monkeypatch.setenv("SECRET_KEY_FILE", str(tmp_path / "key"))
        assert Settings().SECRET_KEY.get_secret_value() == f"  {GOOD_KEY} "

    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            (None, "No such file or directory"),
            (b"", "it is empty"),
            (b"\n", "it is empty"),
            (b"\xff\xfe secret", "it is not UTF-8 text"),
            (b"x" * 70_000, "it is larger than 64 KiB"),
        ],
    )
    def test_a_file_that_gives_nothing_is_one_named_fault(
        self, content: bytes | None, reason: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        path = tmp_path / "key"
        if content is not None:
            path.write_bytes(content)
        monkeypatch.setenv("SECRET_KEY_FILE", str(path))
        monkeypatch.setenv("ENVIRONMENT", "production")
        monkeypatch.setenv("FIRST_SUPERUSER_PASSWORD", "Correct-Horse-9")
        assert faults_of(Settings) == [f"SECRET_KEY: its file {path} cannot be read: {reason}"]

    def test_an_endless_device_is_read_no_further_than_needed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SECRET_KEY_FILE", "/dev/zero")
        assert faults_of(Settings) == [
            "SECRET_KEY: its file /dev/zero cannot be read: it is larger than 64 KiB"
        ]

    def test_secrets_directory_as_mounted_by_docker_and_kubernetes(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        secrets = tmp_path / "mounted"
        (secrets / "..2026_11_23").mkdir(parents=True)
        (secrets / "..data").symlink_to("..2026_11_23")
        (secrets / "..data" / "SECRET_KEY").write_text(GOOD_KEY + "\n")
        (secrets / "SECRET_KEY").symlink_to("..data/SECRET_KEY")
        (secrets / "first_superuser_password").write_text("Correct-Horse-9")
        (secrets / "unrelated").write_text("x")
        (secrets / "kubernetes.io").mkdir()
        monkeypatch.setenv("SECRETS_DIR", str(secrets))
        settings = Settings()
        assert settings.SECRET_KEY.get_secret_value() == GOOD_KEY
        assert settings.FIRST_SUPERUSER_PASSWORD.get_secret_value() == "Correct-Horse-9"

    def test_the_usual_secrets_directory_needs_no_setting_and_need_not_exist(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        usual = tmp_path / "run-secrets"
        monkeypatch.setattr(module, "DEFAULT_SECRETS_DIR", usual)
        assert Settings().SECRET_KEY.get_secret_value() == ""
        usual.mkdir()
        (usual / "secret_key").write_text(GOOD_KEY)
        assert Settings().SECRET_KEY.get_secret_value() == GOOD_KEY

    def test_a_secrets_directory_that_was_asked_for_must_exist(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setenv("SECRETS_DIR", str(tmp_path / "typo"))
        assert faults_of(Settings) == [
            f"SECRETS_DIR: {tmp_path / 'typo'} is not a directory that can be read"
        ]

    def test_an_unreadable_file_in_the_directory_is_a_fault_unless_something_stronger_is_set(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        secrets = tmp_path / "mounted"
        (secrets / "SECRET_KEY").mkdir(parents=True)
        monkeypatch.setenv("SECRETS_DIR", str(secrets))
        assert faults_of(Settings) == [
            f"SECRET_KEY: its file {secrets / 'SECRET_KEY'} cannot be read: Is a directory"
        ]
        monkeypatch.setenv("SECRET_KEY", GOOD_KEY)
        assert Settings().SECRET_KEY.get_secret_value() == GOOD_KEY

    def test_unknown_variables_and_empty_ones_count_for_nothing(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        Path(".env").write_text("UNKNOWN=1\nDB_POOL_SIZE=\nDB_POOL_TIMEOUT_FILE=\nSMTP_HOST\n")
        monkeypatch.setenv("TRADEPOST_UNKNOWN", "1")
        monkeypatch.setenv("REDIS_URL", "")
        monkeypatch.setenv("DB_POOL_RECYCLE_FILE", "")
        settings = Settings()
        assert (settings.DB_POOL_SIZE, settings.REDIS_URL, settings.SMTP_HOST) == (8, None, None)

    def test_names_are_not_case_sensitive(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        (tmp_path / "size").write_text("5")
        monkeypatch.setenv("project_name", "lower")
        monkeypatch.setenv("db_pool_size_file", str(tmp_path / "size"))
        settings = Settings()
        assert (settings.PROJECT_NAME, settings.DB_POOL_SIZE) == ("lower", 5)

    def test_an_env_file_may_begin_with_a_byte_order_mark(self) -> None:
        Path(".env").write_bytes(b"\xef\xbb\xbfPROJECT_NAME=Marked\n")
        assert Settings().PROJECT_NAME == "Marked"

    def test_an_env_file_that_is_no_text_is_a_fault(self) -> None:
        Path(".env").write_bytes(b"SECRET_KEY=\xff\xfe\n")
        assert faults_of(Settings) == [".env: cannot be read: it is not UTF-8 text"]


class TestValues:
    @pytest.mark.parametrize(
        ("text", "seconds"),
        [
            ("5", 5.0),
            ("5 s", 5.0),
            ("5s", 5.0),
            ("2.5", 2.5),
            ("250 ms", 0.25),
            ("1 m", 60.0),
            ("2min", 120.0),
            ("1h", 3600.0),
            (" 1 D ", 86_400.0),
            (3, 3.0),
        ],
    )
    def test_durations(self, text: object, seconds: float) -> None:
        assert Settings(DB_POOL_TIMEOUT=text).DB_POOL_TIMEOUT == seconds

    @pytest.mark.parametrize(
        "text", ["0", "-1", "-1 s", "five", "5 weeks", "nan", "inf", "1e3", "5 5", "2 d", "٣", float("nan")]
    )
    def test_durations_that_are_refused(self, text: object) -> None:
        assert fault_of(DB_POOL_TIMEOUT=text).startswith("DB_POOL_TIMEOUT: ")

    def test_the_cache_of_popular_items_may_be_switched_off(self) -> None:
        assert Settings(CACHE_POPULAR_SECONDS="0").CACHE_POPULAR_SECONDS == 0.0

    @pytest.mark.parametrize(
        "name",
        [
            "ACCESS_TOKEN_EXPIRE_MINUTES",
            "REFRESH_TOKEN_EXPIRE_DAYS",
            "DB_POOL_SIZE",
            "SMTP_PORT",
            "MAX_BODY_BYTES",
            "MAX_UPLOAD_BYTES",
            "UPLOAD_QUOTA_BYTES",
            "UPLOAD_QUOTA_FILES",
        ],
    )
    def test_counts_are_positive_and_bounded(self, name: str) -> None:
        for value in ("0", "-1", "1.5x", "99999999999999999999"):
            assert fault_of(**{name: value}).startswith(f"{name}: ")
        assert getattr(Settings(**{name: "1"}), name) == 1

    @pytest.mark.parametrize(
        ("text", "size"), [("1000", 1000), ("2 MiB", 2_097_152), ("2mib", 2_097_152), ("5 kB", 5000)]
    )
    def test_sizes_in_bytes(self, text: str, size: int) -> None:
        assert Settings(MAX_BODY_BYTES=text).MAX_BODY_BYTES == size

    @pytest.mark.parametrize(
        ("text", "rate"),
        [
            ("100/60s", Rate(100, 60.0)),
            ("10/1m", Rate(10, 60.0)),
            ("20/1h", Rate(20, 3600.0)),
            ("5/3600s", Rate(5, 3600.0)),
            ("5/3600", Rate(5, 3600.0)),
            ("7/h", Rate(7, 3600.0)),
            (" 3 / 0.5 s ", Rate(3, 0.5)),
        ],
    )
    def test_rates(self, text: str, rate: Rate, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("RATE_LIMIT_LOGIN", text)
        assert Settings().RATE_LIMIT_LOGIN == rate
        assert Rate.parse(str(rate)) == rate

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "/",
            "10",
            "10/",
            "/60s",
            "0/60s",
            "-1/60s",
            "10/0s",
            "10/-5s",
            "1.5/60s",
            "10/60x",
            "ten/60s",
            "1/32d",
        ],
    )
    def test_rates_that_are_refused(self, text: str) -> None:
        fault = fault_of(RATE_LIMIT_LOGIN=text)
        assert fault.startswith("RATE_LIMIT_LOGIN: ")
        assert "100/60s" in fault or "above zero" in fault

    def test_a_rate_made_in_code_obeys_the_same_bounds(self) -> None:
        with pytest.raises(ValueError, match="above zero"):
            Rate(0, 60.0)
        assert Settings(RATE_LIMIT_LOGIN=Rate(3, 1.0)).RATE_LIMIT_LOGIN == Rate(3, 1.0)

    def test_the_general_rate_depends_on_the_environment(self) -> None:
        assert Settings(ENVIRONMENT="staging", **SAFE).RATE_LIMIT_DEFAULT == Rate(100, 60.0)
        assert Settings(ENVIRONMENT="production", **SAFE).RATE_LIMIT_DEFAULT == Rate(100, 60.0)
        assert Settings(RATE_LIMIT_DEFAULT="9/9s").RATE_LIMIT_DEFAULT == Rate(9, 9.0)

    @pytest.mark.parametrize("where", ["environment", ".env"])
    @pytest.mark.parametrize(
        "text",
        [
            "https://a.example.com, http://localhost:3000",
            '["https://a.example.com/", "http://localhost:3000/"]',
            " HTTPS://A.Example.com:443/,,http://LOCALHOST:3000, https://a.example.com ,",
        ],
    )
    def test_origins_by_commas_and_as_json(
        self, where: str, text: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        if where == ".env":
            Path(".env").write_text(f"BACKEND_CORS_ORIGINS='{text}'\n")
        else:
            monkeypatch.setenv("BACKEND_CORS_ORIGINS", text)
        assert Settings().BACKEND_CORS_ORIGINS == ["https://a.example.com", "http://localhost:3000"]

    @pytest.mark.parametrize(
        "text",
        [
            "example.com",
            "https://",
            "https://*.example.com",
            "https://example.com/path",
            "https://user@example.com",
            "https://example.com:port",
            "https://exa mple.com",
            "null",
            '["https://a.example.com"',
            "[1]",
            '{"a": 1}',
        ],
    )
    def test_origins_that_are_refused(self, text: str) -> None:
        assert fault_of(BACKEND_CORS_ORIGINS=text).startswith("BACKEND_CORS_ORIGINS: ")

    def test_an_origin_may_be_an_ipv6_address_or_an_application(self) -> None:
        origins = ["http://[::1]:8080", "capacitor://localhost"]
        assert Settings(BACKEND_CORS_ORIGINS=",".join(origins)).BACKEND_CORS_ORIGINS == origins

    @pytest.mark.parametrize(
        "text", ["api.example.com, *.Example.com", '["api.example.com", "*.example.com"]']
    )
    def test_hosts(self, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("ALLOWED_HOSTS", text)
        assert Settings().ALLOWED_HOSTS == ["api.example.com", "*.example.com"]

    @pytest.mark.parametrize("text", ["https://example.com", "example.com:8000", "a.*.com", "[]", ",", "a b"])
    def test_hosts_that_are_refused(self, text: str) -> None:
        assert fault_of(ALLOWED_HOSTS=text).startswith("ALLOWED_HOSTS: ")

    def test_words_are_taken_in_either_case(self) -> None:
        settings = Settings(
            LOG_LEVEL="warning",
            ALGORITHM="hs512",
            PHONE_DEFAULT_REGION=" de ",
            ENVIRONMENT="Staging",
            SECRET_KEY="k" * 64,
            FIRST_SUPERUSER_PASSWORD="Correct-Horse-9",
        )
        assert settings.LOG_LEVEL is LogLevel.WARNING
        assert (settings.ALGORITHM, settings.PHONE_DEFAULT_REGION) == ("HS512", "DE")
        assert settings.ENVIRONMENT is Environment.STAGING

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("LOG_LEVEL", "LOUD"),
            ("ALGORITHM", "none"),
            ("ALGORITHM", "RS256"),
            ("PHONE_DEFAULT_REGION", "XX"),
            ("PROJECT_NAME", "two\nlines"),
            ("PROJECT_NAME", "  "),
            ("API_V1_STR", "api"),
            ("API_V1_STR", "/"),
            ("API_V1_STR", "/api?x"),
            ("SENTRY_TRACES_SAMPLE_RATE", "1.1"),
            ("SENTRY_TRACES_SAMPLE_RATE", "nan"),
            ("SENTRY_DSN", "https://sentry.example.com/1"),
            ("SMTP_PORT", "65536"),
            ("DB_PRE_PING", "perhaps"),
            ("FIRST_SUPERUSER", "admin"),
            ("FIRST_SUPERUSER", "a@b@example.com"),
            ("EMAILS_FROM_EMAIL", "Shop <shop@example.com>"),
            ("REDIS_URL", "http://cache"),
            ("REDIS_URL", "redis://"),
            ("REDIS_URL", "redis://:pass@cache:port"),
            ("AWS_ENDPOINT_URL", "minio:9000"),
        ],
    )
    def test_other_values_that_are_refused(self, name: str, value: str) -> None:
        assert fault_of(**{name: value}).startswith(f"{name}: ")

    def test_other_values_that_are_accepted(self) -> None:
        settings = Settings(
            API_V1_STR="/backend/v1/",
            REDIS_URL="rediss://:secret@cache.example.com:6380/1",
            SENTRY_DSN="https://key@sentry.example.com/42",
            AWS_ENDPOINT_URL="http://minio:9000/",
            EMAILS_FROM_EMAIL=" shop@example.com ",
        )
        assert settings.API_V1_STR == "/backend/v1"
        assert settings.REDIS_URL is not None
        assert settings.REDIS_URL.get_secret_value() == "rediss://:secret@cache.example.com:6380/1"
        assert settings.AWS_ENDPOINT_URL == "http://minio:9000"
        assert settings.EMAILS_FROM_EMAIL == "shop@example.com"

    def test_the_superusers_address_is_normalised_like_any_other(self) -> None:
        settings = Settings(FIRST_SUPERUSER=" \uff21dmin@Example.COM ")
        assert settings.FIRST_SUPERUSER == "admin@example.com"

    def test_settings_that_need_each_other(self) -> None:
        assert fault_of(USE_S3="true") == "AWS_S3_BUCKET_NAME: is missing, and USE_S3 is true"
        assert Settings(USE_S3="true", AWS_S3_BUCKET_NAME="files").USE_S3
        assert "AWS_ACCESS_KEY_ID" in fault_of(AWS_SECRET_ACCESS_KEY="s")
        assert "AWS_ACCESS_KEY_ID" in fault_of(AWS_ACCESS_KEY_ID="k")
        assert "SMTP_USER" in fault_of(SMTP_USER="u")
        assert "SMTP_USER" in fault_of(SMTP_PASSWORD="p")


class TestDatabaseUrl:
    @pytest.mark.parametrize(
        ("given", "used"),
        [
            ("postgresql://u:p@h:5433/d", "postgresql+asyncpg://u:p@h:5433/d"),
            ("postgres://u:p@h/d", "postgresql+asyncpg://u:p@h/d"),
            ("POSTGRES://u:p@h/d", "postgresql+asyncpg://u:p@h/d"),
            ("postgresql+asyncpg://u@h/d", "postgresql+asyncpg://u@h/d"),
            (" postgresql://u:p%40%2F@h/d\n", "postgresql+asyncpg://u:p%40%2F@h/d"),
            ("postgresql://u@[::1]:5432/d", "postgresql+asyncpg://u@[::1]:5432/d"),
            ("sqlite:///./x.db", "sqlite+aiosqlite:///./x.db"),
            ("sqlite:////var/x.db", "sqlite+aiosqlite:////var/x.db"),
            ("sqlite+aiosqlite:///x.db", "sqlite+aiosqlite:///x.db"),
        ],
    )
    def test_everyday_forms_get_the_async_driver(self, given: str, used: str) -> None:
        settings = Settings(DATABASE_URL=given)
        assert settings.database_url.render_as_string(hide_password=False) == used
        assert settings.is_sqlite is used.startswith("sqlite")

    @pytest.mark.parametrize(
        ("given", "word"),
        [
            ("mysql://u:hunter2@h/d", "scheme mysql"),
            ("postgresql+psycopg://u:hunter2@h/d", "postgresql+psycopg"),
            ("hunter2", "cannot be read"),
            ("postgresql://u:p@h:hunter2/d", "cannot be read"),
            ("sqlite://", "in memory"),
            ("sqlite:///", "in memory"),
            ("sqlite+aiosqlite:///", "in memory"),
            ("sqlite:///:memory:", "in memory"),
            ("sqlite:///file::memory:", "in memory"),
            ("sqlite:///file:x?mode=memory&uri=true", "no options"),
            ("sqlite:///x.db?timeout=3", "no options"),
            ("sqlite://x.db", "three slashes"),
            ("postgresql://u:hunter2@h/d?pgbouncer=true&schema=x", "pgbouncer, schema"),
            ("postgresql://u:hunter2@h/d?sslpassword=hunter2", "sslpassword"),
            ("postgresql://u@h/d?sslmode=yes", "sslmode"),
            ("postgresql://u@h/d?sslmode=require&sslmode=disable", "more than once"),
            ("postgresql://u@h/d?prepared_statement_cache_size=x", "prepared_statement_cache_size"),
        ],
    )
    def test_addresses_that_are_refused(self, given: str, word: str) -> None:
        fault = fault_of(DATABASE_URL=given)
        assert fault.startswith("DATABASE_URL: ")
        assert word in fault
        assert "hunter2" not in fault

    @pytest.mark.parametrize(
        ("options", "mode"),
        [
            ("sslmode=require", "require"),
            ("sslmode=verify-full", "verify-full"),
            ("sslmode=disable", "disable"),
            ("ssl=true", "require"),
            ("ssl=prefer", "prefer"),
        ],
    )
    def test_tls_modes_of_libpq(self, options: str, mode: str) -> None:
        keywords = postgresql(f"u:p@h/d?{options}")
        assert keywords["ssl"] == mode
        assert "sslmode" not in keywords

    def test_options_that_the_driver_takes_in_a_dsn(self) -> None:
        keywords = postgresql(
            "u:p@h:6000/d?sslmode=verify-ca&sslrootcert=/etc/ca%20x.pem&application_name=shop"
            "&options=-csearch_path%3Dshop&target_session_attrs=read-write"
        )
        assert keywords == {
            "user": "u",
            "password": "p",
            "host": "h",
            "port": 6000,
            "database": "d",
            "ssl": "verify-ca",
            "target_session_attrs": "read-write",
            "dsn": "postgresql://?sslrootcert=%2Fetc%2Fca+x.pem&application_name=shop"
            "&options=-csearch_path%3Dshop",
        }

    def test_sockets_and_several_hosts(self) -> None:
        assert postgresql("u@/d?host=/run/postgresql")["host"] == "/run/postgresql"
        keywords = postgresql("u@/d?host=a:1&host=b:2")
        assert (keywords["host"], keywords["port"]) == (["a", "b"], [1, 2])

    def test_a_password_among_the_options_is_moved_to_where_it_is_hidden(self) -> None:
        url = Settings(DATABASE_URL="postgresql://h?user=u&password=hunter2&dbname=d").database_url
        assert (url.username, url.password, url.database) == ("u", "hunter2", "d")
        assert "hunter2" not in repr(url)

    def test_options_without_a_counterpart_draw_a_warning(self) -> None:
        settings = Settings(
            DATABASE_URL="postgresql://u@h/d?sslmode=require&channel_binding=require&connect_timeout=9"
        )
        (warning,) = settings.warnings
        assert "channel_binding, connect_timeout" in warning
        assert dict(settings.database_url.query) == {"ssl": "require"}


class TestRefusals:
    def test_safe_settings_start_everywhere(self) -> None:
        for environment in Environment:
            assert Settings.load(ENVIRONMENT=environment, **SAFE).ENVIRONMENT is environment

    @pytest.mark.parametrize("environment", ["staging", "production"])
    def test_every_fault_is_named_at_once(
        self, environment: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setenv("ENVIRONMENT", environment)
        monkeypatch.setenv("BACKEND_CORS_ORIGINS", '["https://a.example.com", "*"]')
        monkeypatch.setenv("SMTP_PASSWORD_FILE", str(tmp_path / "absent"))
        monkeypatch.setenv("DB_POOL_SIZE", "many")
        monkeypatch.setenv("DATABASE_URL", "oracle://x")
        monkeypatch.setenv("RATE_LIMIT_ENABLED", "false")
        faults = faults_of(Settings.load)
        named = {fault.partition(":")[0] for fault in faults}
        expected = {
            "SECRET_KEY",
            "FIRST_SUPERUSER_PASSWORD",
            "BACKEND_CORS_ORIGINS",
            "SMTP_PASSWORD",
            "DB_POOL_SIZE",
            "DATABASE_URL",
        }
        assert named == expected | ({"RATE_LIMIT_ENABLED"} if environment == "production" else set())
        assert len(faults) == len(named)

    def test_the_message_has_one_line_for_each_fault(self) -> None:
        error = SettingsError(["A: is wrong", "B: is missing"])
        assert str(error) == (
            "Tradepost cannot start: 2 faults in its settings\n  - A: is wrong\n  - B: is missing"
        )
        assert "1 fault in" in str(SettingsError(["A: is wrong"]))

    def test_an_unknown_environment_is_held_to_the_strictest_rules(self) -> None:
        faults = faults_of(lambda: Settings(ENVIRONMENT="prod", RATE_LIMIT_ENABLED=False))
        assert [fault.partition(":")[0] for fault in faults] == [
            "ENVIRONMENT",
            "SECRET_KEY",
            "FIRST_SUPERUSER_PASSWORD",
            "RATE_LIMIT_ENABLED",
        ]

    @pytest.mark.parametrize("environment", list(Environment))
    @pytest.mark.parametrize(("algorithm", "least"), [("HS256", 32), ("HS384", 48), ("HS512", 64)])
    def test_a_key_is_as_long_as_its_hash(self, environment: str, algorithm: str, least: int) -> None:
        values = SAFE | {"ENVIRONMENT": environment, "ALGORITHM": algorithm}
        short, long = "k" * (least - 1), "k" * least
        fault = fault_of(**values | {"SECRET_KEY": short})
        assert fault == f"SECRET_KEY: it has {least - 1} bytes, and {algorithm} needs at least {least}"
        assert Settings(**values | {"SECRET_KEY": long}).SECRET_KEY.get_secret_value() == long

    def test_the_length_of_a_key_is_counted_in_bytes(self) -> None:
        assert Settings(SECRET_KEY="é" * 16).SECRET_KEY.get_secret_value() == "é" * 16

    @pytest.mark.parametrize("key", ["changethis", "changethis" * 5, "ChangeThis-ChangeThis-ChangeThis!"])
    def test_the_published_key_is_refused_outside_local(self, key: str) -> None:
        fault = fault_of(**SAFE | {"ENVIRONMENT": "staging", "SECRET_KEY": key})
        assert fault.startswith("SECRET_KEY: holds the published example")

    def test_a_short_key_is_refused_in_local_too(self) -> None:
        assert fault_of(SECRET_KEY="changethis").startswith("SECRET_KEY: it has 10 bytes")

    def test_the_published_password_is_refused_outside_local(self) -> None:
        fault = fault_of(ENVIRONMENT="staging", SECRET_KEY=GOOD_KEY)
        assert fault.startswith("FIRST_SUPERUSER_PASSWORD: is the published example")

    def test_a_wildcard_origin_is_for_local_only(self) -> None:
        assert Settings(BACKEND_CORS_ORIGINS="*").BACKEND_CORS_ORIGINS == ["*"]
        fault = fault_of(**SAFE, ENVIRONMENT="staging", BACKEND_CORS_ORIGINS="*")
        assert fault.startswith("BACKEND_CORS_ORIGINS: may not hold the wildcard")

    def test_only_production_insists_on_rate_limits(self) -> None:
        assert not Settings(RATE_LIMIT_ENABLED=False).RATE_LIMIT_ENABLED
        assert not Settings(**SAFE, ENVIRONMENT="staging", RATE_LIMIT_ENABLED=False).RATE_LIMIT_ENABLED
        fault = fault_of(**SAFE, ENVIRONMENT="production", RATE_LIMIT_ENABLED=False)
        assert fault == "RATE_LIMIT_ENABLED: may not be false in production"

    def test_no_secret_is_ever_repeated(self, monkeypatch: pytest.MonkeyPatch) -> None:
        secret = "hunter2"
        monkeypatch.setenv("SECRET_KEY", secret)
        monkeypatch.setenv("DATABASE_URL", f"postgresql://u:{secret}@h:{secret}/d")
        monkeypatch.setenv("REDIS_URL", f"http://:{secret}@[cache")
        monkeypatch.setenv("SENTRY_DSN", f"ftp://{secret}@h/1")
        monkeypatch.setenv("SMTP_PASSWORD", secret)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
        monkeypatch.setenv("RATE_LIMIT_LOGIN", secret)
        monkeypatch.setenv("DB_POOL_SIZE", secret)
        with pytest.raises(SettingsError) as caught:
            Settings.load()
        assert len(caught.value.faults) == 8
        assert secret not in str(caught.value)
        assert secret not in "".join(traceback.format_exception(caught.value))
        assert caught.value.__context__ is None  # where pydantic's error would bring the values along

    def test_printing_the_settings_hides_the_secrets(self) -> None:
        secret = "hunter2-hunter2-hunter2-hunter2-hunter2"
        settings = Settings(
            SECRET_KEY=secret,
            FIRST_SUPERUSER_PASSWORD=secret,
            DATABASE_URL=f"postgresql://u:{secret}@h/d",
            REDIS_URL=f"redis://:{secret}@h",
            SMTP_USER="u",
            SMTP_PASSWORD=secret,
            AWS_ACCESS_KEY_ID="k",
            AWS_SECRET_ACCESS_KEY=secret,
        )
        for text in (repr(settings), str(settings), str(settings.model_dump()), settings.model_dump_json()):
            assert secret not in text
        assert secret not in str(settings.database_url)


class TestWarnings:
    def test_sqlite_with_redis(self) -> None:
        (warning,) = Settings(REDIS_URL="redis://cache").warnings
        assert warning.startswith("DATABASE_URL: SQLite")
        assert Settings(REDIS_URL="redis://cache", DATABASE_URL="postgresql://h/d").warnings == []

    def test_what_is_probably_not_meant(self) -> None:
        (warning,) = Settings(**SAFE, ENVIRONMENT="staging", RATE_LIMIT_ENABLED=False).warnings
        assert warning.startswith("RATE_LIMIT_ENABLED: ")
        (warning,) = Settings(SMTP_USER="u", SMTP_PASSWORD="p", SMTP_TLS=False).warnings
        assert warning.startswith("SMTP_TLS: ")
        (warning,) = Settings(SMTP_HOST="mail").warnings
        assert warning.startswith("EMAILS_FROM_EMAIL: ")


LOADS = """
import sys
from tradepost.core.settings import Settings
print("ready", flush=True)
for line in sys.stdin:
    settings = Settings.load(DATA_DIR=line.rstrip("\\n"), _env_file=None)
    print(settings.SECRET_KEY.get_secret_value(), flush=True)
"""


class TestKeptKey:
    def test_a_missing_key_is_made_once_and_kept(self, tmp_path: Path) -> None:
        directory = tmp_path / "deep" / "data"
        first = Settings.load(DATA_DIR=directory)
        key = first.SECRET_KEY.get_secret_value()
        assert len(key.encode()) >= 64
        assert (directory / "secret_key").read_text() == key
        assert stat.S_IMODE((directory / "secret_key").stat().st_mode) == 0o600
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
        assert [path.name for path in directory.iterdir()] == ["secret_key"]
        assert Settings.load(DATA_DIR=directory) == first
        assert Settings.load(DATA_DIR=tmp_path / "other").SECRET_KEY != first.SECRET_KEY

    def test_the_directory_keeps_its_mode(self, tmp_path: Path) -> None:
        tmp_path.chmod(0o755)
        Settings.load(DATA_DIR=tmp_path)
        assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755

    @pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
    def test_the_kept_key_suits_every_algorithm(self, algorithm: str, tmp_path: Path) -> None:
        assert Settings.load(DATA_DIR=tmp_path, ALGORITHM=algorithm).SECRET_KEY.get_secret_value()

    def test_a_given_key_is_used_and_not_kept(self, tmp_path: Path) -> None:
        assert Settings.load(DATA_DIR=tmp_path, SECRET_KEY=GOOD_KEY).SECRET_KEY.get_secret_value() == GOOD_KEY
        assert list(tmp_path.glob("secret_key")) == []

    def test_no_key_is_made_outside_local(self, tmp_path: Path) -> None:
        (fault,) = faults_of(
            lambda: Settings.load(ENVIRONMENT="staging", DATA_DIR=tmp_path, FIRST_SUPERUSER_PASSWORD="x")
        )
        assert fault.startswith("SECRET_KEY: is missing")
        assert list(tmp_path.glob("secret_key")) == []

    @pytest.mark.parametrize(
        ("content", "reason"),
        [(b"", "it is empty"), (b"short\n", "it has 5 bytes"), (b"\xff" * 64, "it is not UTF-8 text")],
    )
    def test_a_kept_key_that_is_spoilt_is_a_fault(self, content: bytes, reason: str, tmp_path: Path) -> None:
        (tmp_path / "secret_key").write_bytes(content)
        (fault,) = faults_of(lambda: Settings.load(DATA_DIR=tmp_path))
        assert fault.startswith(f"SECRET_KEY: {tmp_path / 'secret_key'} is of no use: {reason}")
        assert (tmp_path / "secret_key").read_bytes() == content

    def test_a_key_that_cannot_be_read_or_kept_is_a_fault(self, tmp_path: Path) -> None:
        (tmp_path / "secret_key").mkdir()
        (fault,) = faults_of(lambda: Settings.load(DATA_DIR=tmp_path))
        assert "Is a directory" in fault
        (tmp_path / "file").touch()
        (fault,) = faults_of(lambda: Settings.load(DATA_DIR=tmp_path / "file"))
        assert fault.startswith(f"SECRET_KEY: cannot be kept in {tmp_path / 'file' / 'secret_key'}")

    def test_who_comes_second_takes_the_first_ones_key(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        """Let another worker finish between this one's look and its link: the moment that matters."""
        link = Path.hardlink_to
        other = []

        def late(self: Path, target: Path) -> None:
            monkeypatch.setattr(Path, "hardlink_to", link)
            other.append(Settings.load(DATA_DIR=tmp_path).SECRET_KEY)
            self.hardlink_to(target)

        monkeypatch.setattr(Path, "hardlink_to", late)
        assert [Settings.load(DATA_DIR=tmp_path).SECRET_KEY] == other
        assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["secret_key"]

    def test_workers_that_start_together_end_with_one_key(self, tmp_path: Path) -> None:
        workers = [
            subprocess.Popen(
                [sys.executable, "-c", LOADS],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=os.environ | {"PYTHONPATH": str(Path(tradepost.__file__).parents[1])},
            )
            for _ in range(4)
        ]
        try:
            for worker in workers:
                assert worker.stdout is not None
                assert worker.stdout.readline() == "ready\n"
            for turn in range(30):
                keys = []
                for worker in workers:
                    assert worker.stdin is not None
                    worker.stdin.write(f"{tmp_path / str(turn)}\n")
                    worker.stdin.flush()
                for worker in workers:
                    assert worker.stdout is not None
                    keys.append(worker.stdout.readline().strip())
                assert keys == [(tmp_path / str(turn) / "secret_key").read_text()] * len(workers)
                assert [path.name for path in (tmp_path / str(turn)).iterdir()] == ["secret_key"]
        finally:
            for worker in workers:
                worker.communicate(timeout=20)
        assert [worker.returncode for worker in workers] == [0] * len(workers)


class TestTable:
    def test_every_setting_has_a_row_with_a_meaning(self) -> None:
        lines = settings_table().splitlines()
        assert lines[:2] == ["| setting | default | meaning | used by |", "|---|---|---|---|"]
        rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]
        assert [row[0].strip("`") for row in rows] == list(Settings.model_fields)
        assert all(len(row) == 4 and all(row) for row in rows)
        assert "PydanticUndefined" not in settings_table()

    def test_the_part_that_will_use_a_setting_is_named(self) -> None:
        used = {
            cells[1].strip(" `"): cells[4].strip()
            for cells in (line.split("|") for line in settings_table().splitlines()[2:])
        }
        assert used["SMTP_HOST"] == used["EMAILS_FROM_NAME"] == "later: notifications"
        assert used["USE_S3"] == used["AWS_REGION"] == used["UPLOAD_QUOTA_FILES"] == "later: media"
        assert used["REDIS_URL"] == used["SENTRY_DSN"] == "later: deployment"
        assert used["RATE_LIMIT_DEFAULT"] == "later: rate limits"
        assert used["REQUEST_TIMEOUT"] == "later: deadlines"
        assert used["SECRET_KEY"] == used["RATE_LIMIT_LOGIN"] == used["MAX_BODY_BYTES"] == "in use"

    def test_defaults_are_those_of_the_code(self) -> None:
        shown = {
            cells[1].strip(" `"): cells[2].strip()
            for cells in (line.split("|") for line in settings_table().splitlines()[2:])
        }
        assert shown["DB_POOL_TIMEOUT"] == "`5 s`"
        assert shown["MAX_UPLOAD_BYTES"] == "`10 MiB`"
        assert shown["UPLOAD_QUOTA_BYTES"] == "`1 GiB`"
        assert shown["BACKEND_CORS_ORIGINS"] == "`[]`"
        assert shown["ALLOWED_HOSTS"] == "`*`"
        assert shown["USE_S3"] == "`false`"
        assert shown["RATE_LIMIT_LOGIN"] == "`10/60s`"
        assert shown["REDIS_URL"] == "none"
        # What the table words by hand is checked against the settings that come of it.
        settings = Settings(DATA_DIR="/d")
        assert shown["DATABASE_URL"].strip("`").format(DATA_DIR="/d") == (
            settings.DATABASE_URL.get_secret_value()
        )
        assert shown["UPLOAD_DIR"].strip("`").format(DATA_DIR="/d") == str(settings.UPLOAD_DIR)
        assert Path(shown["DATA_DIR"].strip("`")) == Settings().DATA_DIR
        assert shown["FIRST_SUPERUSER_PASSWORD"].strip("`") == (
            settings.FIRST_SUPERUSER_PASSWORD.get_secret_value()
        )
        staging = Settings(ENVIRONMENT="staging", **SAFE)
        assert shown["RATE_LIMIT_DEFAULT"].split("`")[1] == str(staging.RATE_LIMIT_DEFAULT)
