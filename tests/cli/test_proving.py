"""``tradepost tokens`` and ``tradepost reset``, while servers run on the database."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from sqlalchemy import make_url

from tests import preloaded
from tests.conftest import Template
from tests.flows.command_line import called
from tests.flows.live import environment, eventually, join, log_in, serving, tradepost
from tests.servers import PostgresServer
from tradepost.core.database import kept_state

WORD = "Quixotically"


async def ran(env: dict[str, str], *arguments: str) -> str:
    finished = await tradepost(*arguments, env=env)
    assert finished.status == 0, finished.output
    return finished.output


async def test_back_to_what_was_kept_while_a_server_runs(database_url: str, tmp_path: Path) -> None:
    env = environment(tmp_path, database_url)
    await ran(env, "seed", "--users", "12", "--items", "300", "--events", "5")
    nothing = await tradepost("reset", env=env)
    assert nothing.status == 1
    assert "keep one: tradepost reset --keep" in nothing.output
    with serving(env) as server:
        await server.ready()
        tokens = (await ran(env, "tokens", "--users", "10")).split()
        assert len(set(tokens)) == 10
        assert "kept in" in await ran(env, "reset", "--keep")
        async with server.client() as client:
            await _answers(client)
            before = await _state(client)
            mine = {"Authorization": f"Bearer {tokens[0]}"}

            async def offers_and_finds() -> bool:
                return await _made(client, mine) in await _found(client)

            for _ in range(2):
                # A server on a busy machine may see a moment later that all is as it was.
                await eventually(offers_and_finds)
                assert await _state(client) != before
                assert "put back in" in await ran(env, "reset")
                # The server connects again by itself.
                await _answers(client)
                assert await _state(client) == before
                assert await _found(client) == []
                # People of before are logged in still.
                for token in tokens:
                    me = await client.get("/users/me", headers={"Authorization": f"Bearer {token}"})
                    assert me.status_code == 200
        assert "Traceback" not in server.output


async def _answers(client: httpx.AsyncClient) -> None:
    async def answers() -> bool:
        return (await client.get("/items/", params={"limit": 1})).status_code == 200

    await eventually(answers)


async def _state(client: httpx.AsyncClient) -> Any:
    return (await client.get("/items/", params={"limit": 100, "total": "false"})).json()["items"]


async def _made(client: httpx.AsyncClient, mine: dict[str, str]) -> int:
    """Offer an item with a word that no other has, which search knows by its beginning, too."""
    offered = await client.post("/items/", json={"title": f"{WORD} lamp", "price": 3}, headers=mine)
    assert offered.status_code == 201, offered.text
    number: int = offered.json()["id"]
    return number


async def _found(client: httpx.AsyncClient) -> list[int]:
    found = await client.get("/items/search/", params={"q": WORD[:8]})
    assert found.status_code == 200, found.text
    return [item["id"] for item in found.json()]


@pytest.mark.parametrize("hosts", ["one", "two"])
async def test_hosts_and_options_of_the_address_hold(
    postgres: PostgresServer, tmp_path: Path, hosts: str
) -> None:
    url = make_url(await postgres.create_database(f"addressed_{hosts}"))
    place = f"{url.host}:{url.port}"
    secret = f":{url.password}" if url.password else ""
    places = place if hosts == "one" else f"{place},{place}"
    address = f"postgresql://{url.username}{secret}@{places}/{url.database}?sslmode=disable"
    env = environment(tmp_path, address)
    await ran(env, "migrate")
    await ran(env, "reset", "--keep")
    await ran(env, "reset")


@pytest.mark.parametrize(
    ("name", "kept"),
    [("märkte_" * 7, f"{'märkte_' * 6}m_seeded"), ("m" * 63, f"{'m' * 50}_seeded")],
    ids=["many bytes", "long"],
)
async def test_names_of_all_lengths_are_kept_and_put_back(
    postgres: PostgresServer, tmp_path: Path, name: str, kept: str
) -> None:
    url = await postgres.create_database(name)
    env = environment(tmp_path, url)
    await ran(env, "migrate")
    await ran(env, "reset", "--keep")
    await ran(env, "reset")
    server = await asyncpg.connect(url)
    found = await server.fetch("SELECT datname FROM pg_database WHERE datname LIKE $1", f"{name[:20]}%")
    await server.close()
    assert {row["datname"] for row in found} == {name, kept}


async def test_another_versions_state_is_not_put_back(template: Template, tmp_path: Path) -> None:
    url = await template.copy()
    env = environment(tmp_path, url)
    await ran(env, "reset", "--keep")
    kept = Path(f"{url.removeprefix('sqlite:///')}.seeded")
    if template.engine == "sqlite":
        await asyncio.to_thread(kept.write_bytes, b"no database at all" * 300)
        refused = await tradepost("reset", env=env)
        assert refused.status == 1
        assert "keep one" in refused.output


async def test_databases_that_are_no_copies_are_left_alone(
    postgres: PostgresServer, template: Template, tmp_path: Path
) -> None:
    if template.engine == "sqlite":
        pytest.skip("there are no databases beside one")
    url = await template.copy()
    name, env = url.rpartition("/")[2].partition("?")[0], environment(tmp_path, url)
    server = await asyncpg.connect(await postgres.create_database(f"{name}_beside"))
    try:
        for word, command in (("seeded", ["reset", "--keep"]), ("seeded", ["reset"])):
            await server.execute(f"CREATE DATABASE {name}_{word}")
            refused = await tradepost(*command, env=env)
            assert refused.status == 1
            assert f"{name}_{word} is no copy" in refused.output
            await server.execute(f"DROP DATABASE {name}_{word}")
        await ran(env, "reset", "--keep")
        for word in ("old", "new"):
            await server.execute(f"CREATE DATABASE {name}_{word}")
            refused = await tradepost("reset", env=env)
            assert refused.status == 1
            assert f"{name}_{word} is no copy" in refused.output
            await server.execute(f"DROP DATABASE {name}_{word}")
        # Of one that died while nobody was let in.
        await server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        await ran(env, "reset", "--keep")
        # Two at once go in turn.
        both = await asyncio.gather(*(tradepost("reset", env=env) for _ in range(2)))
        assert [one.status for one in both] == [0, 0], both
        # Of one that died half-way: the database has another name.
        mark = f"made by tradepost reset beside {name}"
        await server.execute(f"COMMENT ON DATABASE {name} IS '{mark}'")
        await server.execute(f"ALTER DATABASE {name} RENAME TO {name}_old")
        await ran(env, "reset")
        found = await server.fetch(
            "SELECT datname, shobj_description(oid, 'pg_database') AS mark FROM pg_database WHERE datname LIKE $1",
            f"{name}%",
        )
        assert {row["datname"]: row["mark"] for row in found} == {
            name: None,
            f"{name}_beside": None,
            f"{name}_seeded": mark,
        }
    finally:
        await server.close()


async def test_who_puts_nothing_back_lets_in_whom_a_killed_one_kept_out(
    postgres: PostgresServer, template: Template, tmp_path: Path
) -> None:
    if template.engine == "sqlite":
        pytest.skip("nobody is kept out of a file")
    url = await template.copy()
    name, env = url.rpartition("/")[2].partition("?")[0], environment(tmp_path, url)
    server = await asyncpg.connect(await postgres.create_database(f"{name}_beside"))

    async def is_open() -> bool:
        query = "SELECT datallowconn FROM pg_database WHERE datname = $1"
        return await server.fetchval(query, name) is True

    async def refused(because: str) -> None:
        nothing = await tradepost("reset", env=env)
        assert nothing.status == 1
        assert because in nothing.output
        assert await is_open()
        # No copy of the past: under another name it might be dropped as one.
        query = "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = $1"
        assert await server.fetchval(query, name) is None

    try:
        await server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        await refused("keep one")
        await ran(env, "reset", "--keep")
        kept = await asyncpg.connect(postgres.url(f"{name}_seeded"))
        await kept.execute("UPDATE alembic_version SET version_num = '0001'")
        await kept.close()
        await server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        await refused("another version's schema")
        # Killed between the two changes of names.
        mark = f"made by tradepost reset beside {name}"
        await server.execute(f"COMMENT ON DATABASE {name} IS '{mark}'")
        await server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        await server.execute(f"ALTER DATABASE {name} RENAME TO {name}_old")
        await refused("another version's schema")
        await server.execute(f"COMMENT ON DATABASE {name} IS '{mark}'")
        await server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        await server.execute(f"ALTER DATABASE {name} RENAME TO {name}_old")
        await ran(env, "reset", "--keep")
        assert await is_open()
        await ran(env, "reset")
    finally:
        await server.close()


@pytest.mark.parametrize("command", [["reset"], ["reset", "--keep"]], ids=" ".join)
async def test_a_copy_whose_maker_was_killed_is_dropped_by_the_next(
    postgres: PostgresServer,
    template: Template,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: list[str],
) -> None:
    if template.engine == "sqlite":
        pytest.skip("there are no databases beside one")
    url = await template.copy()
    name, env = url.rpartition("/")[2].partition("?")[0], environment(tmp_path, url)
    await ran(env, "reset", "--keep")
    # What somebody else made looks like it, and is nobody else's.
    others = {f"{name}_half", f"{name}_half_0123456789abcdef"}
    server = await asyncpg.connect(await postgres.create_database(f"{name}_beside"))
    holder = await asyncpg.connect(postgres.url(f"{name}_beside"))

    async def beside() -> set[str]:
        found = await server.fetch("SELECT datname FROM pg_database WHERE datname LIKE $1", f"{name}\\_%")
        return {row["datname"] for row in found} - {f"{name}_beside", *others}

    async def makes() -> list[Any]:
        query = "SELECT wait_event_type FROM pg_stat_activity WHERE query LIKE $1 AND state = 'active'"
        return [row[0] for row in await server.fetch(query, f'CREATE DATABASE "{name}%')]

    async def waits() -> bool:
        return await makes() == ["Lock"]

    async def has_ended() -> bool:
        return await makes() == []

    try:
        for other in others:
            await server.execute(f"CREATE DATABASE {other}")
        async with holder.transaction():
            # No copy of it can be begun meanwhile.
            mark = f"made by tradepost reset beside {name}"
            await holder.execute(f"COMMENT ON DATABASE {name}_seeded IS '{mark}'")
            with (tmp_path / "output").open("w") as output:
                process = preloaded.start(["reset"], env=env, output=output.fileno())
            await eventually(waits)
            process.kill()
            # Whoever comes meanwhile waits for the server, which makes it all the same.
            monkeypatch.setattr(kept_state, "PATIENCE", 0.2)
            refused = await called("reset", env=env)
            assert (refused.status, "just now" in refused.output) == (1, True), refused.output
        await eventually(has_ended)
        (half,) = await beside() - {f"{name}_seeded"}
        assert half.startswith(f"{name}_half_")
        await ran(env, *command)
        assert await beside() == {f"{name}_seeded"}
        for other in others:
            await server.execute(f"DROP DATABASE {other}")
    finally:
        await holder.close()
        await server.close()


async def test_a_writer_that_does_not_end_is_waited_for_in_vain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    env = environment(tmp_path)
    await ran(env, "reset", "--keep")
    monkeypatch.setattr(kept_state, "PATIENCE", 0.1)
    with closing(sqlite3.connect(tmp_path / "tradepost.db")) as other:
        other.execute("BEGIN IMMEDIATE")
        refused = await called("reset", env=env)
        assert (refused.status, "does not end" in refused.output) == (1, True), refused.output
        other.rollback()
    assert (await called("reset", env=env)).status == 0


async def test_production_is_left_alone(tmp_path: Path) -> None:
    safe = {"ENVIRONMENT": "production", "SECRET_KEY": "k" * 40, "FIRST_SUPERUSER_PASSWORD": "Uncommon1"}
    for command in (["tokens"], ["reset"], ["reset", "--keep"]):
        refused = await tradepost(*command, env=environment(tmp_path, **safe, RATE_LIMIT_ENABLED="true"))
        assert refused.status == 1
        assert "in local and staging alone" in refused.output


async def test_two_that_keep_at_once(template: Template, tmp_path: Path) -> None:
    """One of them does it, or one after the other; what is kept is whole."""
    env = environment(tmp_path, await template.copy())
    both = await asyncio.gather(*(tradepost("reset", "--keep", env=env) for _ in range(3)))
    assert 0 in {one.status for one in both}
    # Whoever had connected already is thrown out by the first.
    told = ("just now", "Database is not available")
    refused = [one.output for one in both if one.status]
    assert all(any(words in output for words in told) for output in refused), refused
    await ran(env, "reset")


@pytest.mark.parametrize("number", ["10", "1000"])
async def test_too_few_people(tmp_path: Path, number: str) -> None:
    env = environment(tmp_path)
    await ran(env, "seed", "--users", "3", "--items", "0", "--events", "0")
    refused = await tradepost("tokens", "--users", number, env=env)
    assert refused.status == 1
    assert f"--append --users {number}" in refused.output


async def test_made_up_people_are_found_however_many_others_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    env = environment(tmp_path)
    await ran(env, "seed", "--users", "7", "--items", "0", "--events", "0")
    with serving(env) as server:
        await server.ready()
        async with server.client() as client:
            for number in range(3):
                await join(client, f"real{number}@example.com")
    await ran(env, "seed", "--append", "--users", "2", "--items", "0", "--events", "0")
    # Two at a time: the first page has none but the admin and one more.
    monkeypatch.setattr("tradepost.cli.proving.CHUNK", 2)
    found = await called("tokens", "--users", "8", env=env)
    assert (found.status, len(set(found.output.split()))) == (0, 8), found.output


async def test_a_token_is_that_of_somebody_made_up(tmp_path: Path) -> None:
    env = environment(tmp_path)
    await ran(env, "seed", "--users", "6", "--items", "0", "--events", "0")
    (token,) = (await ran(env, "tokens", "--users", "1")).split()
    with serving(env) as server:
        await server.ready()
        async with server.client(token) as client:
            me = (await client.get("/users/me")).json()
            assert me["email"].startswith("user")
            assert me["role"] == "user"
            admin = await log_in(client, "admin@example.com", "changethis")
        async with server.client(admin["access_token"]) as client:
            lines = (await client.get("/audit", params={"action": "auth.login"})).json()["lines"]
            assert [line["actor_kind"] for line in lines] == ["person", "system"]
