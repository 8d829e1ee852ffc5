"""The table of settings in the docs."""

from pathlib import Path

from tradepost.core.settings.settings import Settings
from tradepost.core.settings.table import settings_table

ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in settings_table().splitlines()]
DEFAULTS = {row[0].strip("`"): row[1] for row in ROWS}


def test_every_setting_has_a_row_with_a_meaning() -> None:
    assert ROWS[0] == ["setting", "default", "meaning"]
    assert [row[0].strip("`") for row in ROWS[2:]] == list(Settings.model_fields)
    assert all(len(row) == 3 and all(row) for row in ROWS)
    assert not any("Undefined" in cell or "None" in cell for row in ROWS for cell in row)


def test_defaults_are_shown_as_an_operator_writes_them() -> None:
    assert DEFAULTS["ENVIRONMENT"] == "`local`"
    assert DEFAULTS["DATA_DIR"] == "`data`"
    assert DEFAULTS["DB_POOL_TIMEOUT"] == "`5`"
    assert DEFAULTS["UPLOAD_QUOTA_BYTES"] == "`1 GiB`"
    assert DEFAULTS["BACKEND_CORS_ORIGINS"] == "`[]`"
    assert DEFAULTS["ALLOWED_HOSTS"] == "`*`"
    assert DEFAULTS["USE_S3"] == "`false`"
    assert DEFAULTS["RATE_LIMIT_LOGIN"] == "`10/60s`"
    assert DEFAULTS["REDIS_URL"] == "none"
    assert DEFAULTS["FIRST_SUPERUSER_PASSWORD"] == "`changethis`"


def test_defaults_in_words_are_those_that_come_of_them() -> None:
    settings = Settings(DATA_DIR="/d")
    shown = {name: text.strip("`").format(DATA_DIR="/d") for name, text in DEFAULTS.items() if "{" in text}
    assert shown["DATABASE_URL"] == settings.DATABASE_URL.get_secret_value()
    assert Path(shown["UPLOAD_DIR"]) == settings.UPLOAD_DIR
    staging = Settings(ENVIRONMENT="staging", SECRET_KEY="k" * 32, FIRST_SUPERUSER_PASSWORD="Correct-Horse-9")
    assert DEFAULTS["RATE_LIMIT_DEFAULT"] == f"`{staging.RATE_LIMIT_DEFAULT}`, in `local` none"
