"""The database's address: everyday forms get the async driver, libpq's options reach it, the rest is refused."""

from typing import Any

import pytest

from tradepost.core.settings.database_url import async_url, options_left_out


def keywords(address: str) -> dict[str, Any]:
    """Return what the driver is called with."""
    url = async_url(address)
    _, found = url.get_dialect()().create_connect_args(url)
    return dict(found)


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
def test_everyday_forms_get_the_async_driver(given: str, used: str) -> None:
    assert async_url(given).render_as_string(hide_password=False) == used
    assert options_left_out(given) == []


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ("mysql://u:hunter2@h/d", "scheme mysql"),
        ("postgresql+psycopg://u:hunter2@h/d", r"postgresql\+psycopg"),
        ("hunter2", "cannot be read"),
        ("postgresql://u:p@h:hunter2/d", "cannot be read"),
        ("sqlite://", "in memory"),
        ("sqlite:///", "in memory"),
        ("sqlite:///:memory:", "in memory"),
        ("sqlite:///file::memory:", "in memory"),
        ("sqlite:///file:x?mode=memory&uri=true", "no options"),
        ("sqlite://x.db", "three slashes"),
        ("postgresql://u:hunter2@h/d?pgbouncer=true&schema=x", "pgbouncer, schema"),
        ("postgresql://h/d?user=u&password=hunter2", "password, user"),
        ("postgresql://u@h/d?sslmode=yes", "sslmode"),
        ("postgresql://u@h/d?ssl=true", "sslmode"),
        ("postgresql://u:hunter2@a:x,b/d", "cannot be read"),
        ("postgresql://u:hunter2@a,/d", "cannot be read"),
        ("postgresql://u:hunter2@a,b c/d", "cannot be read"),
        ("postgresql://u:hunter2@/d?host=a&host=b", "names its hosts"),
        ("postgresql://u@a,b/d?target_session_attrs=master", "target_session_attrs"),
    ],
)
def test_addresses_that_are_refused(given: str, word: str) -> None:
    with pytest.raises(ValueError, match=word) as caught:
        async_url(given)
    assert "hunter2" not in str(caught.value)


def test_options_of_libpq_reach_the_driver_in_a_dsn() -> None:
    assert keywords(
        "postgresql://u:p@h:6000/d?ssl=prefer&sslrootcert=/etc/ca%20x.pem&application_name=shop"
        "&options=-csearch_path%3Dshop&application_name=store"
    ) == {
        "user": "u",
        "password": "p",
        "host": "h",
        "port": 6000,
        "database": "d",
        "dsn": "postgresql://?sslrootcert=%2Fetc%2Fca+x.pem&application_name=store"
        "&options=-csearch_path%3Dshop&sslmode=prefer",
    }


def test_sockets_and_several_hosts() -> None:
    assert keywords("postgresql://u@/d?host=/run/postgresql")["host"] == "/run/postgresql"
    found = keywords("postgresql://u@/d?host=a:1&host=b:2")
    assert (found["host"], found["port"]) == (["a", "b"], [1, 2])


@pytest.mark.parametrize(
    ("hosts", "names", "ports"),
    [
        ("a,b", ["a", "b"], [5432, 5432]),
        ("a:1,b:2", ["a", "b"], [1, 2]),
        ("[::1]:1,[::2],c", ["::1", "::2", "c"], [1, 5432, 5432]),
    ],
)
def test_several_hosts_by_commas_as_libpq_takes_them(hosts: str, names: list[str], ports: list[int]) -> None:
    found = keywords(f"postgresql://u:p,q@{hosts}/d?sslmode=disable")
    assert (found["host"], found["port"], found["database"]) == (names, ports, "d")
    assert (found["user"], found["password"]) == ("u", "p,q")


def test_of_several_hosts_the_one_that_takes_writes_is_wanted() -> None:
    assert keywords("postgresql://u@a,b/d")["dsn"] == "postgresql://?target_session_attrs=primary"
    for address in ("postgresql://u@a,b/d", "postgresql://u@h/d"):
        found = keywords(f"{address}?target_session_attrs=any")
        assert found["dsn"] == "postgresql://?target_session_attrs=any"
    assert "dsn" not in keywords("postgresql://u@h/d")


def test_options_without_a_counterpart_are_left_out() -> None:
    address = "postgresql://u@h/d?sslmode=require&connect_timeout=9&channel_binding=require"
    assert options_left_out(address) == ["channel_binding", "connect_timeout"]
    assert dict(async_url(address).query) == {"dsn": "postgresql://?sslmode=require"}
