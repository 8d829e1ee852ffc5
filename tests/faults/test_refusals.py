"""What the commands refuse to do, in words for the person at the shell: never a traceback, never somebody's secret."""

import asyncio
import re
import socket
from pathlib import Path

import click
import pytest
from uvicorn.config import STARTUP_FAILURE

from tests.conftest import ENGINES, settings_for
from tests.flows.command_line import called
from tests.flows.live import Finished, environment, serving, tradepost
from tests.servers import PostgresServer
from tradepost.bootstrap import opened, prepare_database
from tradepost.cli.running import refuse_taken_port

KEY = "a secret of more than thirty-two bytes"
PRODUCTION = {"ENVIRONMENT": "production", "SECRET_KEY": KEY, "FIRST_SUPERUSER_PASSWORD": "Uncommon1"}
TRACES = re.compile(r"Traceback|File \"|sqlalche|\[SQL|\[parameters", re.IGNORECASE)


def assert_refused(finished: Finished, *words: str) -> None:
    """Check that a command ended in one message with these words in it."""
    assert finished.status == 1, finished.output
    assert finished.output.count("Error: ") == 1, finished.output
    assert not TRACES.search(finished.output), finished.output
    for word in words:
        assert word in finished.output


def contents(directory: Path) -> list[Path]:
    return list(directory.iterdir())


@pytest.mark.parametrize("command", ["serve", "migrate"])
async def test_production_does_not_start_with_unsafe_settings(command: str, tmp_path: Path) -> None:
    env = environment(
        tmp_path,
        ENVIRONMENT="production",
        BACKEND_CORS_ORIGINS="*",
        DATABASE_URL_FILE=tmp_path / "nowhere",
        ACCESS_TOKEN_EXPIRE_MINUTES="soon",
    )
    finished = await tradepost(command, env=env, cwd=tmp_path)
    # Every fault at once.
    assert_refused(finished, "SECRET_KEY", "changethis", "BACKEND_CORS_ORIGINS", "DATABASE_URL", "RATE_LIMIT")
    assert "ACCESS_TOKEN_EXPIRE_MINUTES" in finished.output
    assert contents(tmp_path) == []


@pytest.mark.parametrize("command", ["migrate", "seed", "openapi"])
async def test_every_command_refuses_a_short_key_and_does_not_repeat_it(command: str, tmp_path: Path) -> None:
    finished = await called(command, env=environment(tmp_path, ENVIRONMENT="staging", SECRET_KEY="too short"))
    assert_refused(finished, "SECRET_KEY", "32")
    assert "too short" not in finished.output


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_server_that_cannot_start_ends_with_a_status_that_says_so(
    tmp_path: Path, workers: str
) -> None:
    await asyncio.to_thread((tmp_path / "tradepost.db").write_text, "Dear Sir or Madam, " * 100)
    with serving(environment(tmp_path), "--workers", workers) as server:
        assert await server.ended() == STARTUP_FAILURE
        assert "not a database" in server.output


@pytest.mark.parametrize(
    "command", [("serve", "--demo", "--workers", "2", "--port"), ("worker", "--metrics-port")]
)
async def test_a_taken_port_is_said_before_anything_else_is_done(
    tmp_path: Path, command: tuple[str, ...]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        finished = await tradepost(*command, port, env=environment(tmp_path))
        assert_refused(finished, f":{port}", "already in use")
    assert not (tmp_path / "tradepost.db").exists()


def test_an_address_that_is_not_ours_is_refused() -> None:
    # From the block that is for documentation (RFC 5737): no machine has it.
    with pytest.raises(click.ClickException, match=r"Cannot listen on 192\.0\.2\.1:80: "):
        refuse_taken_port("192.0.2.1", 80)


class TestSeed:
    async def test_production_is_never_filled(self, tmp_path: Path) -> None:
        env = environment(tmp_path, RATE_LIMIT_ENABLED="true", **PRODUCTION)
        assert (await called("migrate", env=env)).status == 0
        for more in ([], ["--append"]):
            refused = await called("seed", "--users", "1", "--items", "1", *more, env=env)
            assert_refused(refused, "Production is never filled")

    async def test_a_database_that_was_not_migrated_is_named(self, tmp_path: Path) -> None:
        env = environment(tmp_path, **PRODUCTION | {"ENVIRONMENT": "staging"})
        assert_refused(await called("seed", env=env), "tradepost migrate")

    @pytest.mark.parametrize(("option", "value"), [("--users", "0"), ("--items", "-1"), ("--seed", "many")])
    async def test_sizes_that_make_no_sense_are_usage_errors(
        self, option: str, value: str, tmp_path: Path
    ) -> None:
        finished = await called("seed", option, value, env=environment(tmp_path))
        assert finished.status == 2
        assert option in finished.output


class TestCreateAdmin:
    @pytest.mark.parametrize(
        ("email", "password", "words"),
        [
            ("nobody", "Secret123", ["email"]),
            ("boss@example.com", "Short1", ["password", "at least 8 characters"]),
            ("boss@example.com", "only small letters", ["uppercase letter", "digit"]),
            ("nobody", "x", ["email", "password"]),
        ],
    )
    async def test_what_is_wrong_is_said_and_the_password_is_not(
        self, email: str, password: str, words: list[str], tmp_path: Path
    ) -> None:
        finished = await called("create-admin", email, "--password", password, env=environment(tmp_path))
        assert_refused(finished, *words)
        assert f" {password}" not in finished.output

    @pytest.mark.parametrize("engine", ENGINES)
    async def test_a_taken_address_is_refused(
        self, engine: str, tmp_path: Path, postgres: PostgresServer
    ) -> None:
        url = (
            await postgres.create_database("taken")
            if engine == "postgresql"
            else f"sqlite:///{tmp_path}/x.db"
        )
        async with opened(settings_for(url, tmp_path)) as resources:
            await prepare_database(resources)
        env = environment(tmp_path, url)
        finished = await called("create-admin", "ADMIN@example.com", "--password", "Secret123", env=env)
        assert_refused(finished, "admin@example.com has an account already")

    async def test_two_passwords_that_differ_are_asked_for_again(self, tmp_path: Path) -> None:
        typed = "Secret123\nSecret124\n"
        finished = await called("create-admin", "a@example.com", env=environment(tmp_path), typed=typed)
        assert finished.status == 1
        assert "do not match" in finished.output
        assert "is an admin now" not in finished.output

    async def test_a_database_that_was_not_migrated_is_named(self, tmp_path: Path) -> None:
        env = environment(tmp_path, **PRODUCTION, RATE_LIMIT_ENABLED="true")
        finished = await called("create-admin", "a@example.com", "--password", "Secret123", env=env)
        assert_refused(finished, "tradepost migrate")


@pytest.mark.parametrize(
    "arguments",
    [["migrate"], ["seed", "--items", "1"], ["create-admin", "a@example.com", "--password", "Secret123"]],
    ids=lambda arguments: arguments[0],
)
class TestWithoutADatabase:
    async def test_that_is_running(self, arguments: list[str], tmp_path: Path) -> None:
        url = "postgresql://me:hidden@127.0.0.1:1/nowhere"
        finished = await called(*arguments, env=environment(tmp_path, url))
        assert_refused(finished, "Database is not available", "127.0.0.1")
        assert "hidden" not in finished.output

    async def test_that_exists(self, arguments: list[str], tmp_path: Path, postgres: PostgresServer) -> None:
        finished = await called(*arguments, env=environment(tmp_path, postgres.url("nowhere")))
        assert_refused(finished, "Database is not available", '"nowhere" does not exist')

    async def test_that_is_one(self, arguments: list[str], tmp_path: Path) -> None:
        await asyncio.to_thread((tmp_path / "letter.db").write_text, "Dear Sir or Madam, " * 100)
        finished = await called(*arguments, env=environment(tmp_path, f"sqlite:///{tmp_path}/letter.db"))
        assert_refused(finished, "not a database")

    async def test_that_can_be_opened(self, arguments: list[str], tmp_path: Path) -> None:
        (tmp_path / "directory.db").mkdir()
        finished = await called(*arguments, env=environment(tmp_path, f"sqlite:///{tmp_path}/directory.db"))
        assert_refused(finished, "unable to open database file")
