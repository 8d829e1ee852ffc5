"""The settings: their defaults, what start-up refuses, and that no secret is repeated."""

# ruff: noqa: SIM300 - takes a setting for a constant, because its name is in capitals

import traceback
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from tradepost.core.settings.advice import misspelt, questionable, surrounding_names
from tradepost.core.settings.faults import SettingsError
from tradepost.core.settings.settings import Environment, LogLevel, Rate, Settings

GOOD_KEY = "k" * 31 + "7"
SAFE = {"SECRET_KEY": GOOD_KEY, "FIRST_SUPERUSER_PASSWORD": "Correct-Horse-9"}


def faults_of(build: Callable[[], object]) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        build()
    return caught.value.faults


def fault_of(**values: Any) -> str:
    (fault,) = faults_of(lambda: Settings(**values))
    return fault


class TestDefaults:
    def test_the_settings_and_their_defaults_are_those_specified(self) -> None:
        assert dict(Settings()) == {
            "ENVIRONMENT": Environment.LOCAL,
            "SECRETS_DIR": Path("/run/secrets"),
            "PROJECT_NAME": "Tradepost",
            "VERSION": version("tradepost"),
            "API_V1_STR": "/api/v1",
            "PUBLIC_URL": "http://localhost:8000",
            "ALGORITHM": "HS256",
            "SECRET_KEY": SecretStr(""),
            "SECRET_KEYS_OLD": [],
            "ACCESS_TOKEN_EXPIRE_MINUTES": 60,
            "REFRESH_TOKEN_EXPIRE_DAYS": 30,
            "FIRST_SUPERUSER": "admin@example.com",
            "FIRST_SUPERUSER_PASSWORD": SecretStr("changethis"),
            "DATA_DIR": Path("data"),
            "DATABASE_URL": SecretStr("sqlite:///data/tradepost.db"),
            "DB_VIA_PGBOUNCER": False,
            "DATABASE_DIRECT_URL": None,
            "DATABASE_REPLICA_URL": None,
            "UPLOAD_DIR": Path("data/uploads"),
            "DB_POOL_SIZE": 8,
            "DB_POOL_TIMEOUT": 5.0,
            "DB_POOL_RECYCLE": 300.0,
            "DB_PRE_PING": True,
            "DB_STATEMENT_TIMEOUT": 10.0,
            "REQUEST_TIMEOUT": 15.0,
            "REDIS_URL": None,
            "BACKEND_CORS_ORIGINS": [],
            "TRUSTED_PROXIES": [],
            "KEEP_ALIVE_SECONDS": 75.0,
            "DRAIN_SECONDS": 3.0,
            "ALLOWED_HOSTS": ["*"],
            "LOG_LEVEL": LogLevel.INFO,
            "SENTRY_DSN": None,
            "SENTRY_TRACES_SAMPLE_RATE": 0.1,
            "OTEL_EXPORTER_OTLP_ENDPOINT": None,
            "OTEL_EXPORTER_OTLP_HEADERS": None,
            "OTEL_TRACES_SAMPLE_RATE": 1.0,
            "SMTP_HOST": None,
            "SMTP_PORT": 587,
            "SMTP_TLS": True,
            "SMTP_USER": None,
            "SMTP_PASSWORD": None,
            "EMAILS_FROM_EMAIL": None,
            "EMAILS_FROM_NAME": None,
            "USE_S3": False,
            "AWS_ACCESS_KEY_ID": None,
            "AWS_SECRET_ACCESS_KEY": None,
            "AWS_S3_BUCKET_NAME": None,
            "AWS_ENDPOINT_URL": None,
            "AWS_REGION": None,
            "MAX_BODY_BYTES": 1_048_576,
            "MAX_UPLOAD_BYTES": 10_485_760,
            "MAX_BULK_BYTES": 67_108_864,
            "MAX_BULK_LINES": 100_000,
            "IDEMPOTENCY_HOURS": 24,
            "UPLOAD_QUOTA_BYTES": 1_073_741_824,
            "UPLOAD_QUOTA_FILES": 1000,
            "OVERLOAD_CONTROL": True,
            "RATE_LIMIT_ENABLED": True,
            "RATE_LIMIT_DEFAULT": None,
            "RATE_LIMIT_LOGIN": Rate(10, 60.0),
            "RATE_LIMIT_REGISTER": Rate(20, 3600.0),
            "RATE_LIMIT_PASSWORD": Rate(5, 3600.0),
            "WEBHOOK_ALLOW_PRIVATE": False,
            "FAULTS_ENABLED": False,
            "REQUIRE_STAFF_TOTP": False,
            "PHONE_DEFAULT_REGION": "US",
            "CACHE_POPULAR_SECONDS": 30.0,
        }

    def test_constructing_leaves_no_trace(self, tmp_path: Path) -> None:
        settings = Settings(DATA_DIR=tmp_path / "made later")
        assert settings.SECRET_KEY.get_secret_value() == ""
        assert not (tmp_path / "made later").exists()

    def test_paths_and_database_follow_the_data_directory(self) -> None:
        settings = Settings(DATA_DIR="/var/lib/trade post/50%?#")
        assert Path("/var/lib/trade post/50%?#/uploads") == settings.UPLOAD_DIR
        assert settings.is_sqlite
        assert settings.database_url.database == "/var/lib/trade post/50%?#/tradepost.db"
        assert Settings(DATA_DIR="~/x").DATA_DIR == Path.home() / "x"

    @pytest.mark.parametrize("environment", ["staging", "production"])
    def test_the_general_rate_is_limited_outside_local(self, environment: str) -> None:
        assert Settings(ENVIRONMENT=environment, **SAFE).RATE_LIMIT_DEFAULT == Rate(100, 60.0)
        assert Settings(RATE_LIMIT_DEFAULT="9/9s").RATE_LIMIT_DEFAULT == Rate(9, 9.0)

    def test_settings_cannot_be_changed_in_place(self) -> None:
        with pytest.raises(ValueError, match="frozen"):
            Settings().DB_POOL_SIZE = 3  # type: ignore[misc]

    def test_a_misspelt_keyword_is_a_fault(self) -> None:
        assert fault_of(DB_POOLSIZE=3).startswith("DB_POOLSIZE: ")


class TestValues:
    def test_words_are_taken_in_either_case(self) -> None:
        settings = Settings(LOG_LEVEL="warning", ALGORITHM="hs512", ENVIRONMENT="Local")
        assert settings.LOG_LEVEL is LogLevel.WARNING
        assert settings.ALGORITHM == "HS512"
        assert settings.ENVIRONMENT is Environment.LOCAL

    def test_the_cache_of_popular_items_may_be_switched_off(self) -> None:
        assert Settings(CACHE_POPULAR_SECONDS="0").CACHE_POPULAR_SECONDS == 0.0

    @pytest.mark.parametrize(
        "name",
        ["ACCESS_TOKEN_EXPIRE_MINUTES", "REFRESH_TOKEN_EXPIRE_DAYS", "DB_POOL_SIZE", "UPLOAD_QUOTA_FILES"],
    )
    def test_counts_are_positive_and_bounded(self, name: str) -> None:
        for value in ("0", "-1", "1.5x", "99999999999999999999"):
            assert fault_of(**{name: value}).startswith(f"{name}: ")
        assert getattr(Settings(**{name: "1"}), name) == 1

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("LOG_LEVEL", "LOUD"),
            ("ALGORITHM", "none"),
            ("ALGORITHM", "RS256"),
            ("SENTRY_TRACES_SAMPLE_RATE", "1.1"),
            ("SENTRY_TRACES_SAMPLE_RATE", "nan"),
            ("SENTRY_DSN", "https://sentry.example.com/1"),
            ("SENTRY_DSN", "https://key@sentry.example.com/project"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "Authorization"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "Authorization=Bearer%20key%0A"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "Authorization=Bearer%20k\u00e9y"),
            ("OTEL_TRACES_SAMPLE_RATE", "2"),
            ("CACHE_POPULAR_SECONDS", "-1"),
            ("SMTP_PORT", "65536"),
            ("DB_PRE_PING", "perhaps"),
            ("FIRST_SUPERUSER", "admin"),
            ("EMAILS_FROM_EMAIL", "a@b@example.com"),
            ("EMAILS_FROM_EMAIL", "Shop <shop@example.com>"),
            ("FIRST_SUPERUSER", "Ada <ada@example.com>"),
            ("SMTP_HOST", "mail.example.com:587"),
            ("SMTP_HOST", "smtp://mail"),
            ("TRUSTED_PROXIES", "nginx"),
            ("TRUSTED_PROXIES", "10.0.0.0/33"),
            ("KEEP_ALIVE_SECONDS", "0"),
            ("DRAIN_SECONDS", "-1"),
            ("PUBLIC_URL", "market.example.com"),
            ("PUBLIC_URL", "ftp://market.example.com"),
            ("PUBLIC_URL", "https://market.example.com/?a=1"),
            ("PUBLIC_URL", 'https://market.example.com/"><b>'),
            ("DATABASE_URL", "oracle://x"),
            ("DATABASE_DIRECT_URL", "sqlite:///x.db"),
            ("DATABASE_REPLICA_URL", "sqlite:///x.db"),
            ("DATABASE_REPLICA_URL", "postgresql://h/d"),
            ("DB_VIA_PGBOUNCER", "true"),
        ],
    )
    def test_values_that_are_refused(self, name: str, value: str) -> None:
        assert fault_of(**{name: value}).startswith(f"{name}: ")

    def test_links_begin_with_the_public_url(self) -> None:
        assert Settings(PUBLIC_URL=" https://example.com:8443/market/ ").PUBLIC_URL == (
            "https://example.com:8443/market"
        )
        assert Settings(PUBLIC_URL="http://[::1]:8000").PUBLIC_URL == "http://[::1]:8000"

    def test_settings_that_need_each_other(self) -> None:
        assert fault_of(USE_S3="true") == "AWS_S3_BUCKET_NAME: is missing, and USE_S3 is true"
        assert Settings(USE_S3="true", AWS_S3_BUCKET_NAME="files").USE_S3
        assert "AWS_ACCESS_KEY_ID" in fault_of(AWS_SECRET_ACCESS_KEY="s")
        assert "AWS_ACCESS_KEY_ID" in fault_of(AWS_ACCESS_KEY_ID="k")
        assert fault_of(SMTP_HOST="mail") == "EMAILS_FROM_EMAIL: is missing, and SMTP_HOST is set"
        assert "SMTP_USER" in fault_of(SMTP_USER="u")
        assert "SMTP_USER" in fault_of(SMTP_PASSWORD="p")

    def test_keys_beside_the_one_in_force(self) -> None:
        keys = Settings(SECRET_KEY=GOOD_KEY, SECRET_KEYS_OLD=f"{'a' * 32}, {'b' * 32}").secret_keys
        assert keys.all == (GOOD_KEY, "a" * 32, "b" * 32)
        fault = fault_of(SECRET_KEYS_OLD=f"{'a' * 32},short")
        assert fault == (
            "SECRET_KEYS_OLD: has a key, number 2, that is of no use: it has 5 bytes, and HS256 needs at least 32"
        )
        assert faults_of(
            lambda: Settings(ENVIRONMENT="production", **SAFE, SECRET_KEYS_OLD="changethis" * 4)
        ) == ["SECRET_KEYS_OLD: holds the published example changethis, which only local accepts"]

    def test_a_misspelt_name_is_named_with_the_likely_one(self) -> None:
        assert misspelt({"PATH", "HOME", "SMTP_HOST", "SECRET_KEY_FILE", "DB_POOL_SIZE"}) == []
        assert misspelt({"TRADEPOST_SECRET_KEY", "TRADEPOST_QQQ", "SMPT_HOST", "database_urls"}) == [
            "DATABASE_URLS: is no setting; did you mean DATABASE_URL?",
            "SMPT_HOST: is no setting; did you mean SMTP_HOST?",
            "TRADEPOST_QQQ: is no setting; settings have no prefix",
            "TRADEPOST_SECRET_KEY: is no setting; did you mean SECRET_KEY?",
        ]

    def test_names_are_looked_for_in_the_env_file_too(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("REDIS_ULR", "redis://cache")
        Path(".env").write_text("SMTP_HOTS=mail\n")
        assert {"REDIS_ULR", "SMTP_HOTS"} <= surrounding_names()

    def test_warnings_of_what_is_probably_not_meant(self) -> None:
        assert questionable(Settings()) == []
        (warning,) = questionable(Settings(REDIS_URL="redis://cache"))
        assert warning.startswith("DATABASE_URL: SQLite")
        assert questionable(Settings(REDIS_URL="redis://cache", DATABASE_URL="postgresql://h/d")) == []
        (warning,) = questionable(Settings(DATABASE_URL="postgresql://h/d?channel_binding=require"))
        assert warning.endswith("channel_binding")
        pooled = {"DATABASE_URL": "postgresql://h/d", "DB_VIA_PGBOUNCER": "true"}
        (warning,) = questionable(Settings(**pooled))
        assert warning.startswith("DB_VIA_PGBOUNCER: ")
        assert questionable(Settings(**pooled, DATABASE_DIRECT_URL="postgresql://i/d")) == []
        mail = {"SMTP_HOST": "mail", "EMAILS_FROM_EMAIL": "shop@example.com"}
        (warning,) = questionable(Settings(**mail, SMTP_USER="u", SMTP_PASSWORD="p", SMTP_TLS="false"))
        assert warning.startswith("SMTP_TLS: ")
        assert [
            warning.partition(":")[0]
            for warning in questionable(
                Settings(ENVIRONMENT="staging", DATABASE_URL="postgresql://h/d", **SAFE)
            )
        ] == ["SMTP_HOST", "PUBLIC_URL"]
        public = {"PUBLIC_URL": "https://market.example.com", "DATABASE_URL": "postgresql://h/d"}
        assert questionable(Settings(ENVIRONMENT="production", **SAFE, **mail, **public)) == []


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

    @pytest.mark.parametrize("name", ["SECRET_KEY", "FIRST_SUPERUSER_PASSWORD"])
    @pytest.mark.parametrize("secret", ["changethis", "changethis" * 5, "ChangeThis-ChangeThis-ChangeThis!"])
    def test_the_published_secret_is_refused_outside_local(self, name: str, secret: str) -> None:
        fault = fault_of(**SAFE | {"ENVIRONMENT": "staging", name: secret})
        assert fault.startswith(f"{name}: holds the published example")

    def test_a_wildcard_origin_is_for_local_only(self) -> None:
        assert Settings(BACKEND_CORS_ORIGINS="*").BACKEND_CORS_ORIGINS == ["*"]
        fault = fault_of(**SAFE, ENVIRONMENT="staging", BACKEND_CORS_ORIGINS="*")
        assert fault.startswith("BACKEND_CORS_ORIGINS: may not hold the wildcard")

    def test_only_production_insists_on_rate_limits(self) -> None:
        assert not Settings(RATE_LIMIT_ENABLED=False).RATE_LIMIT_ENABLED
        assert not Settings(**SAFE, ENVIRONMENT="staging", RATE_LIMIT_ENABLED=False).RATE_LIMIT_ENABLED
        fault = fault_of(**SAFE, ENVIRONMENT="production", RATE_LIMIT_ENABLED=False)
        assert fault == "RATE_LIMIT_ENABLED: may not be false in production"

    def test_production_sends_nothing_to_private_addresses(self) -> None:
        assert Settings(**SAFE, ENVIRONMENT="staging", WEBHOOK_ALLOW_PRIVATE=True).WEBHOOK_ALLOW_PRIVATE
        fault = fault_of(**SAFE, ENVIRONMENT="production", WEBHOOK_ALLOW_PRIVATE=True)
        assert fault == "WEBHOOK_ALLOW_PRIVATE: may not be true in production"

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
