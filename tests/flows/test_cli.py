"""What an operator does from a shell, on both databases."""

import asyncio
import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
import pytest_asyncio
from sqlalchemy import select

from tests.clock import MovableClock
from tests.conftest import Template, settings_for, world_on
from tests.faults.stoppable import stoppable_postgres
from tests.flows.command_line import called
from tests.flows.live import API, environment, eventually, serving, tradepost
from tradepost.accounts.models import User
from tradepost.bootstrap import opened
from tradepost.core.audit.models import AuditLine
from tradepost.core.database import revisions


@pytest_asyncio.fixture
async def url(template: Template) -> str:
    """A database without a table."""
    return await template.empty()


@pytest.fixture
def env(url: str, tmp_path: Path) -> dict[str, str]:
    return environment(tmp_path, url)


async def test_migrating_says_whether_there_was_anything_to_do(env: dict[str, str]) -> None:
    first = await called("migrate", env=env)
    assert (first.status, first.output) == (0, f"Migrated to {revisions.head()}\n")
    second = await called("migrate", env=env)
    assert (second.status, second.output) == (0, f"At {revisions.head()} already\n")


async def test_a_database_that_is_away_is_waited_for_as_long_as_one_says(tmp_path: Path) -> None:
    with stoppable_postgres() as postgres:
        env = environment(tmp_path, postgres.url())
        given_up = await called("migrate", "--wait", "0.4", env=env)
        assert given_up.status == 1
        assert "trying again for 0 seconds" in given_up.output
        assert given_up.output.splitlines()[-1].startswith("Error: Database is not available: ")
        at_once = await called("migrate", env=env)
        assert (at_once.status, len(at_once.output.splitlines())) == (1, 1)
        waiting = asyncio.create_task(called("migrate", "--wait", "60", env=env))
        await asyncio.sleep(0.5)
        await asyncio.to_thread(postgres.start)
        migrated = await waiting
        assert migrated.status == 0, migrated.output
        assert migrated.output.endswith(f"Migrated to {revisions.head()}\n")


async def test_a_directory_that_cannot_be_made_is_told_in_a_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    env = environment(tmp_path, f"sqlite:///{tmp_path}/file/x.db")
    for command in ("migrate", "migrate --wait 60", "seed", "serve --port 0"):
        # A server's handlers of signals want a process of their own.
        refused = await (tradepost if "serve" in command else called)(*command.split(), env=env)
        assert refused.status == 1
        (line,) = refused.output.splitlines()
        assert line.startswith(f"Error: The database's directory {tmp_path}/file cannot be made: ")


async def test_an_admin_that_is_made_can_log_in_and_administer(
    url: str, env: dict[str, str], tmp_path: Path
) -> None:
    # The schema is there afterwards too: in `local` no command asks for another one first.
    made = await called("create-admin", " Boss@Example.com", env=env, typed="Secret123\nSecret123\n")
    assert made.status == 0
    assert made.output.endswith("boss@example.com is an admin now\n")
    assert "Secret123" not in made.output
    async with world_on(url, tmp_path) as world, world.caller() as client:
        form = {"username": "boss@example.com", "password": "Secret123"}
        token = (await client.post(f"{API}/auth/login", data=form)).json()["access_token"]
        me = await client.get(f"{API}/users/", headers={"Authorization": f"Bearer {token}"})
        assert [user["role"] for user in me.json()["users"]] == ["admin", "admin"]


async def test_a_command_reads_the_time_from_the_clock_it_is_given(
    url: str, env: dict[str, str], tmp_path: Path
) -> None:
    clock = MovableClock(stopped_at=datetime(2030, 2, 3, tzinfo=UTC))
    assert (await called("migrate", env=env, clock=clock)).status == 0
    async with opened(settings_for(url, tmp_path)) as resources, resources.database.read() as db:
        (admin,) = await db.scalars(select(User))
        assert admin.created_at == clock.now()


async def test_seeding_fills_an_empty_database_and_adds_to_a_full_one_when_told_to(
    url: str, env: dict[str, str], tmp_path: Path
) -> None:
    sizes = ("--seed", "7", "--users", "5", "--items", "40")
    first = await called("seed", *sizes, env=env)
    assert first.status == 0, first.output
    assert "5 users, 40 items" in first.output
    refused = await called("seed", *sizes, env=env)
    assert refused.status == 1
    assert "--append adds to them" in refused.output
    added = await called("seed", *sizes, "--append", env=env)
    assert added.status == 0, added.output
    assert "5 users, 40 items, 1 events, 0 tags, 0 categories" in added.output

    async with world_on(url, tmp_path) as world, world.caller() as client:
        # Everybody can log in, those that were added as well.
        forms = [{"username": f"user{number}@example.com", "password": "Tradepost1"} for number in (1, 10)]
        answers = [await client.post(f"{API}/auth/login", data=form) for form in forms]
        assert [answer.status_code for answer in answers] == [200, 200]
        token = answers[1].json()["access_token"]
        mine = {"title": "The next one", "price": 1}
        made = await client.post(f"{API}/items/", json=mine, headers={"Authorization": f"Bearer {token}"})
        assert made.status_code == 201
        assert made.json()["id"] == 81


@pytest.mark.parametrize("template", ["sqlite"], indirect=True)
async def test_the_openapi_document_is_the_one_that_is_served(
    url: str, env: dict[str, str], tmp_path: Path
) -> None:
    printed = await called("openapi", env=env | {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nowhere"})
    assert printed.status == 0
    document = json.loads(printed.output)
    assert document["openapi"].startswith("3.1")
    assert f"{API}/items/{{item_id}}" in document["paths"]
    written = await called("openapi", "--output", str(tmp_path / "openapi.json"), env=env)
    assert (written.status, written.output) == (0, "")
    assert json.loads((tmp_path / "openapi.json").read_text("utf-8")) == document
    # No key was made for that.
    assert not (tmp_path / "secret_key").exists()
    async with world_on(url, tmp_path) as world, world.caller() as client:
        assert (await client.get(f"{API}/openapi.json")).json() == document


async def test_accounts_are_seen_and_mended(url: str, env: dict[str, str], tmp_path: Path) -> None:
    await called("create-admin", "boss@example.com", env=env, typed="Secret123\nSecret123\n")

    async def users(*arguments: str, typed: str = "") -> tuple[int, str]:
        finished = await called("users", *arguments, env=env, typed=typed)
        return finished.status, finished.output

    status, listed = await users("list")
    assert status == 0
    lines = [line.split("\t") for line in listed.splitlines()]
    assert [line[1:4] for line in lines] == [
        ["admin@example.com", "admin", "active"],
        ["boss@example.com", "admin", "active"],
    ]
    number = lines[1][0]
    shown = (await users("show", " BOSS@example.com "))[1]
    assert shown == (await users("show", number))[1]
    assert "role      admin" in shown
    assert "argon2" not in shown
    assert await users("set-role", number, "moderator") == (0, "boss@example.com: moderator\n")
    assert await users("deactivate", "boss@example.com") == (0, "boss@example.com is switched off\n")
    assert await users("activate", "boss@example.com") == (0, "boss@example.com is switched on\n")
    assert "verified  no" not in shown
    assert await users("set-verified", number, "no") == (0, "boss@example.com is not proved\n")
    shown = (await users("show", number))[1]
    assert "verified  no" in shown
    assert "totp      off" in shown
    assert (await users("set-verified", number, "maybe"))[0] == 2
    assert await users("set-verified", number, "yes") == (0, "boss@example.com is proved\n")
    assert (await users("set-password", number, "--password", "weak"))[0] == 1
    status, _ = await users("set-password", number, typed="Another123\nAnother123\n")
    assert status == 0
    for refused in (
        ("show", "nobody@example.com"),
        ("show", "9" * 30),
        ("set-role", "admin@example.com", "user"),
        ("remove-totp", number),
    ):
        status, said = await users(*refused)
        assert (status, said.count("\n")) == (1, 1), said
    async with world_on(url, tmp_path) as world, world.caller() as client:
        for password, expected in (("Secret123", 401), ("Another123", 200)):
            form = {"username": "boss@example.com", "password": password}
            assert (await client.post(f"{API}/auth/login", data=form)).status_code == expected
        async with world.database.read() as db:
            lines_of = (
                select(AuditLine.action).where(AuditLine.target_id == int(number)).order_by(AuditLine.id)
            )
            actions = list(await db.scalars(lines_of))
    assert actions[:7] == [
        *("user.created", "user.role_changed", "user.deactivated", "user.activated"),
        *("email.unverified", "email.verified", "password.set"),
    ]


async def test_every_command_explains_itself(tmp_path: Path) -> None:
    overview = await called("--help", env=environment(tmp_path))
    assert overview.status == 0
    for name in ("serve", "migrate", "seed", "create-admin", "users", "openapi"):
        assert name in overview.output
        explained = await called(name, "-h", env=environment(tmp_path))
        assert explained.status == 0
        assert explained.output.startswith("Usage: ")
    assert "0." in (await called("--version", env=environment(tmp_path))).output


async def test_a_server_takes_a_port_of_the_systems_choice(tmp_path: Path) -> None:
    with serving(environment(tmp_path, LOG_LEVEL="INFO"), "--port", "0") as server:

        async def found() -> bool:
            return re.search(r"Uvicorn running on http://127\.0\.0\.1:[1-9]", server.output) is not None

        await eventually(found)
