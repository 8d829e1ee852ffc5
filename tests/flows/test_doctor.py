"""``tradepost doctor`` names what is wrong, and what to do, and says nothing of passwords."""

import socket
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from tests.flows.command_line import called
from tests.flows.live import environment
from tests.servers import PostgresServer, RedisServer

PARTS = ("settings", "database", "schema", "Redis", "storage", "mail")


def verdicts(output: str) -> dict[str, str]:
    """Return ``ok`` or ``WRONG`` by part."""
    lines = [line.split(maxsplit=2)[:2] for line in output.splitlines() if line.startswith(("ok ", "WRONG "))]
    return {part.rstrip(":"): verdict for verdict, part in lines}


@pytest.fixture
def closed_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
    return port


async def test_a_sound_installation(tmp_path: Path) -> None:
    env = environment(tmp_path)
    assert (await called("migrate", env=env)).status == 0
    examined = await called("doctor", env=env)
    assert examined.status == 0, examined.output
    assert verdicts(examined.output) == dict.fromkeys(PARTS, "ok")


async def test_what_is_away_is_named(tmp_path: Path, closed_port: int) -> None:
    away = f"127.0.0.1:{closed_port}"
    env = environment(
        tmp_path, f"postgresql://shop:hushed@{away}/shop", REDIS_URL=f"redis://:hushed@{away}/0",
        SMTP_HOST="127.0.0.1", SMTP_PORT=closed_port, EMAILS_FROM_EMAIL="shop@example.com",
    )  # fmt: skip
    examined = await called("doctor", env=env)
    assert examined.status == 1
    expected = dict.fromkeys(PARTS, "WRONG") | {"settings": "ok", "storage": "ok"}
    assert verdicts(examined.output) == expected
    assert "hushed" not in examined.output
    assert "4 of 6 parts need attention" in examined.output


async def test_a_redis_that_evicts_and_an_old_schema(tmp_path: Path) -> None:
    with RedisServer.running() as redis:
        env = environment(
            tmp_path, ENVIRONMENT="staging", SECRET_KEY="k" * 32, FIRST_SUPERUSER_PASSWORD="Uncommon1",
            REDIS_URL=redis.url,
        )  # fmt: skip
        examined = await called("doctor", env=env)
    found = verdicts(examined.output)
    assert (found["database"], found["schema"], found["Redis"], found["mail"]) == (
        "ok",
        "WRONG",
        "ok",
        "WRONG",
    )
    assert "tradepost migrate" in examined.output


async def test_a_fault_in_the_settings_is_told_as_ever(tmp_path: Path) -> None:
    examined = await called("doctor", env=environment(tmp_path, DB_POOL_SIZE="none"))
    assert examined.status == 1
    assert "DB_POOL_SIZE" in examined.output


@pytest.mark.parametrize(
    ("options", "role", "reason"),
    [
        ("ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'", None, "its encoding is LATIN1"),
        ("", "doctors_patient", "GRANT CREATE ON SCHEMA public TO doctors_patient"),
    ],
)
async def test_a_database_that_cannot_be_migrated(
    tmp_path: Path, postgres: PostgresServer, options: str, role: str | None, reason: str
) -> None:
    name = f"hindered_{role or 'latin'}"
    server = await asyncpg.connect(postgres.admin_url)
    try:
        await server.execute(f"CREATE DATABASE {name} TEMPLATE template0 {options}")
        url = postgres.url(name)
        if role:
            await server.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'hushed'")
            parts = urlsplit(url)
            url = urlunsplit(parts._replace(netloc=f"{role}:hushed@{parts.netloc.rpartition('@')[2]}"))
        env = environment(tmp_path, url)
        examined, migrated = await called("doctor", env=env), await called("migrate", env=env)
    finally:
        await postgres.drop_database(name)
        await server.execute(f"DROP ROLE IF EXISTS {role}" if role else "SELECT 1")
        await server.close()
    assert verdicts(examined.output)["schema"] == "WRONG"
    assert (examined.status, migrated.status) == (1, 1)
    for output in (examined.output, migrated.output):
        assert reason in output
        assert "hushed" not in output
