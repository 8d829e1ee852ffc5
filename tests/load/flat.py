"""How the cost of a question grows with the number of items: its time and its processor time, on one connection.

``make bench-flat ARGS='--items 1000000 --users 10000 [--sqlite]'`` fills a database and asks; ``--url`` asks one that is
filled already. Each question goes through the whole application but the socket, and its values rotate: a single
hard-coded one would hide what the others cost.
"""

import argparse
import asyncio
import itertools
import os
import statistics
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import Row, text

from tests.load.database import clean_environment, filled_database
from tradepost.core.database.engines import Database
from tradepost.core.resources import Resources
from tradepost.core.settings.settings import Settings
from tradepost.items.counting import ItemCounting
from tradepost.main import create_app

API = "/api/v1"
SECRET = "a key of thirty-two bytes for a bench"
LIMIT = 20
SORTS = ("-created_at", "price", "title")
EVERY_SORT = ("-created_at", "created_at", "price", "-price", "title", "-title", "-views", "views")
DEEP = 45_000 * LIMIT
"""So many items are before a page far down, where there are as many."""


@dataclass(frozen=True)
class Case:
    """A question with its values: each round asks with the next of ``queries``.

    A query's ``after`` is no parameter: it asks by cursor for the page after so many items.
    """

    name: str
    path: str
    queries: list[dict[str, Any]]
    staff: bool = False


async def _values(database: Database, statement: str) -> list[Row[Any]]:
    async with database.read() as db:
        return list((await db.execute(text(statement))).all())


COUNTED = """
    SELECT key, n FROM item_counts WHERE dimension = '{dimension}' AND status = 'active' AND n > 0 ORDER BY n DESC, key
"""


async def cases(database: Database) -> list[Case]:
    """Return every question, with values from the database: the common, the middling and the rare."""
    kept = {
        dimension: await _values(database, COUNTED.format(dimension=dimension))
        for dimension in ("tag", "category", "owner")
    }
    tags = [row.key for row in kept["tag"]]
    third = max(1, len(tags) // 3)
    groups = {"common": tags[:10], "middling": tags[third : third + 60 : 6], "rare": tags[-10:]}
    found: list[Case] = [
        Case(
            "read one",
            "/items/{id}",
            [
                {"id": row[0]}
                for row in await _values(database, "SELECT id FROM items WHERE status = 'active' LIMIT 50")
            ],
        ),
    ]

    def ask(
        name: str,
        *queries: dict[str, Any],
        staff: bool = False,
        sorts: tuple[str, ...] = SORTS,
        exact: bool = True,
    ) -> None:
        for sort in sorts:
            found.append(
                Case(
                    f"{name}, {sort}",
                    "/items/",
                    [{**query, "sort": sort, "total": "false"} for query in queries],
                    staff,
                )
            )
        if exact:
            found.append(Case(f"{name}, exact total", "/items/", list(queries), staff))

    ask("list", {}, sorts=EVERY_SORT)
    ((active,),) = await _values(
        database, "SELECT sum(n) FROM item_counts WHERE dimension = 'all' AND status = 'active'"
    )
    deep = min(DEEP, int(active) * 9 // 10)
    ask(
        "page far down",
        *({"after": deep - 5_000 * place} for place in range(5)),
        sorts=EVERY_SORT,
        exact=False,
    )
    for name, group in groups.items():
        ask(f"{name} tag", *({"tag": tag} for tag in group))
    for (one, first), (other, second) in itertools.combinations_with_replacement(groups.items(), 2):
        pairs = [{"tag": [a, b]} for a, b in zip(first, reversed(second), strict=False) if a != b]
        ask(f"{one} and {other} tag", *pairs, sorts=("-created_at", "price"))
    ask("category", *({"category": row.key} for row in kept["category"][::8]))
    roots = await _values(database, "SELECT id FROM categories WHERE parent_id IS NULL")
    ask("category with descendants", *({"category": row.id} for row in roots))
    ask("owner with many", *({"owner_id": row.key} for row in kept["owner"][:10]))
    ask("owner", *({"owner_id": row.key} for row in kept["owner"][100:1000:90]))
    ask("status", {"status_filter": "draft"}, {"status_filter": "inactive"}, staff=True)
    ask("everything, for staff", {}, staff=True)
    ask("narrow price range", *({"min_price": low, "max_price": low + 1} for low in range(5, 500, 50)))
    ask("wide price range", *({"min_price": low, "max_price": low + 500} for low in range(1, 50, 10)))
    ask(
        "tag and price range",
        *({"tag": tag, "min_price": 10, "max_price": 60} for tag in tags[:40:4]),
        sorts=("-created_at", "price"),
    )
    ask(
        "tag and category",
        *({"tag": tag, "category": row.id} for tag, row in zip(tags[:40:4], roots, strict=False)),
        sorts=("-created_at", "price"),
    )
    found += [
        Case("tags by name", "/tags/", [{}]),
        Case("tags by number of items", "/tags/", [{"sort": "-items_count"}]),
        Case("tree with counts", "/categories/", [{"tree": "true", "counts": "true"}]),
        Case("popular", "/items/popular", [{}]),
    ]
    return found + await searches(database)


async def searches(database: Database) -> list[Case]:
    """Return the questions of search, whose words are common, middling and rare."""
    texts = await _values(
        database,
        "SELECT title || ' ' || description AS words FROM item_texts "
        "WHERE item_id % 97 = 0 ORDER BY item_id DESC LIMIT 5000",
    )
    seen = Counter(
        word for row in texts for word in set(row.words.split()) if word.isascii() and len(word) > 2
    )
    words = [word for word, _ in seen.most_common()]
    share = {word: number / len(texts) for word, number in seen.items()}
    groups = {
        "common": words[:40:4],
        "middling": [word for word in words if share[word] < 0.03][:40:4],
        "rare": [word for word in reversed(words) if word.isalpha()][:10],
    }
    typos = [word[0] + word[2:] for word in groups["middling"] if len(word) > 5]
    pairs = [f"{a} {b}" for a, b in zip(groups["common"], reversed(groups["common"]), strict=True) if a != b]
    phrases = [" ".join(row.words.split()[at : at + 2]) for at, row in enumerate(texts[:10])]
    asked = {f"{name} word": group for name, group in groups.items()} | {
        "typo": typos,
        "two common words": pairs,
        "common and middling word": [
            f"{a} {b}" for a, b in zip(groups["common"], groups["middling"], strict=True)
        ],
        "two middling words": [f"{a} {b}" for a, b in itertools.pairwise(groups["middling"])],
        "common and rare word": [f"{a} {b}" for a, b in zip(groups["common"], groups["rare"], strict=False)],
        "phrase": [f'"{phrase}"' for phrase in phrases],
        "phrase of common words": [
            f'"{row.words.split()[-2]} {row.words.split()[-1]}"'
            for row in texts[100:110]
            if row.words.isascii()
        ],
        "exclusion": [f"{a} -{b}" for a, b in itertools.pairwise(groups["common"])],
        "one letter": list("sabcmptdlw"),
        "two letters": [word[:2] for word in groups["common"]],
        "three letters": [word[:3] for word in groups["middling"]],
        "nothing": ["qqxxqq", "zzyyxx"],
    }
    tags = [row.key for row in await _values(database, COUNTED.format(dimension="tag"))]
    categories = [row.key for row in await _values(database, COUNTED.format(dimension="category"))]
    owners = [row.key for row in await _values(database, COUNTED.format(dimension="owner"))]
    filters: dict[str, list[dict[str, Any]]] = {
        "common tag": [{"tag": tag} for tag in tags[:10]],
        "rare tag": [{"tag": tag} for tag in tags[-10:]],
        "category": [{"category": key} for key in categories[:40:4]],
        "owner": [{"owner_id": key} for key in owners[:10]],
        "narrow price range": [{"min_price": low, "max_price": low + 1} for low in range(5, 500, 50)],
        "wide price range": [{"min_price": low, "max_price": low + 300} for low in range(11, 111, 10)],
    }
    extras: dict[str, dict[str, Any]] = {
        "": {"total": "false"},
        ", total": {"total": "exact"},
        ", facets": {"facets": "category,tag,price", "total": "exact"},
    }
    found = [
        Case(f"search {name}{extra}", "/items/search/", [{"q": word, **more} for word in given])
        for name, given in asked.items()
        for extra, more in extras.items()
        if given
    ]
    found += [
        Case(
            f"search {name} word, {kind}{extra}",
            "/items/search/",
            [{"q": word, **one, **more} for word, one in zip(groups[name], itertools.cycle(given))],
        )
        for name in ("common", "middling")
        for kind, given in filters.items()
        for extra, more in extras.items()
    ]
    found += [
        Case(
            f"list by {name} word, {sort}{extra}",
            "/items/",
            [{"q": word, "sort": sort, "total": total} for word in group],
        )
        for name, group in groups.items()
        for sort, extra, total in (
            ("-created_at", "", "false"),
            ("price", "", "false"),
            ("-created_at", ", total", "exact"),
        )
    ]
    return [
        *found,
        Case(
            "search common word, by price",
            "/items/search/",
            [{"q": word, "sort": "price"} for word in groups["common"]],
        ),
    ]


async def measure(url: str, rounds: int, only: str) -> None:
    """Ask every question, and print of each its name, and the median time, and the median and the most of processor time, server and database together, in milliseconds."""
    with tempfile.TemporaryDirectory() as directory:
        settings = Settings.load(
            DATABASE_URL=url,
            DATA_DIR=Path(directory),
            SECRET_KEY=SECRET,
            RATE_LIMIT_ENABLED=False,
            LOG_LEVEL="ERROR",
            # A machine that is busy with other work is slow, and is no fault of a question.
            DB_STATEMENT_TIMEOUT=60,
            REQUEST_TIMEOUT=60,
        )
        app = create_app(settings, dispatches=False)
        async with app.router.lifespan_context(app) as state:
            assert state is not None

            async def with_state(scope: Any, receive: Any, send: Any) -> None:
                scope["state"] = dict(state)
                await app(scope, receive, send)

            resources: Resources = state["resources"]
            transport = httpx.ASGITransport(with_state)
            async with httpx.AsyncClient(transport=transport, base_url="http://bench", timeout=120) as client:
                login = {
                    "username": settings.FIRST_SUPERUSER,
                    "password": settings.FIRST_SUPERUSER_PASSWORD.get_secret_value(),
                }
                token = (await client.post(f"{API}/auth/login", data=login)).json()["access_token"]
                # What was seeded into PostgreSQL is told by differences that nothing has folded yet.
                await ItemCounting(resources.database).fold()
                for case in await cases(resources.database):
                    if only not in case.name or not case.queries:
                        continue
                    headers = {"Authorization": f"Bearer {token}"} if case.staff else {}
                    asked = await _with_cursors(client, case)
                    times = await _times(client, asked, rounds, headers, resources.database)
                    took, worked = zip(*times, strict=True)
                    row = (statistics.median(took), statistics.median(worked), max(worked))
                    sys.stdout.write(f"| {case.name} | " + " | ".join(f"{one:.1f}" for one in row) + " |\n")
                    sys.stdout.flush()


async def _backends(database: Database) -> list[Path]:
    """Return where Linux keeps account of the processor time of the connections to PostgreSQL."""
    if database.is_sqlite:
        return []
    mine = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'tradepost'"
    return [Path(f"/proc/{row.pid}/schedstat") for row in await _values(database, mine)]


def _spent(backends: list[Path]) -> dict[Path | None, float]:
    """Return the processor time of the server and of each backend so far, in milliseconds; a backend may have ended."""
    spent: dict[Path | None, float] = {None: time.process_time() * 1e3}
    for path in backends:
        with suppress(FileNotFoundError, ProcessLookupError):
            spent[path] = int(path.read_text().split()[0]) / 1e6
    return spent


async def _with_cursors(client: httpx.AsyncClient, case: Case) -> Case:
    """Return the question with cursors for the places that it asks for."""
    queries = []
    for query in case.queries:
        if "after" not in query:
            return case
        rest = {name: value for name, value in query.items() if name != "after"}
        near = {**rest, "skip": max(0, query["after"] - LIMIT), "limit": LIMIT, "fields": "id"}
        answer = await client.get(API + case.path, params=near)
        queries.append({**rest, "cursor": answer.json()["next_cursor"]})
    return replace(case, queries=queries)


async def _times(
    client: httpx.AsyncClient, case: Case, rounds: int, headers: dict[str, str], database: Database
) -> list[tuple[float, float]]:
    """Return for each round what it took, and what of that was work of a processor, in milliseconds."""
    times = []
    backends: list[Path] = []
    for query in itertools.islice(itertools.cycle(case.queries), max(rounds, len(case.queries)) + 2):
        params = {name: value for name, value in query.items() if name != "id"}
        if case.path.endswith(("s/", "h/")) and "tree" not in query:
            params = {"limit": LIMIT, **params}
        began, spent = time.perf_counter(), _spent(backends)
        answer = await client.get(API + case.path.format(**query), params=params, headers=headers)
        took, after = (time.perf_counter() - began) * 1000, _spent(backends)
        times.append((took, sum(after[one] - spent[one] for one in after.keys() & spent.keys())))
        if answer.status_code != 200:
            raise SystemExit(f"{case.name}: {answer.status_code} {answer.text[:200]}")
        if len(times) == 2:
            backends = await _backends(database)
    # The first two make connections and statements.
    return times[2:]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.load.flat", description=__doc__)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--users", type=int, default=1_000)
    parser.add_argument("--sqlite", action="store_true")
    parser.add_argument("--url", help="a database that is filled already")
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--only", default="", help="the questions whose names contain this")
    given = parser.parse_args()
    with ExitStack() as stack:
        url = (
            given.url
            or stack.enter_context(
                filled_database(
                    items=given.items, users=given.users, secret=SECRET, durable=False, sqlite=given.sqlite
                )
            ).url
        )
        for name in set(os.environ) - set(clean_environment()):
            del os.environ[name]
        sys.stdout.write("| question | median ms | of that CPU | most CPU |\n|---|---|---|---|\n")
        asyncio.run(measure(url, given.rounds, given.only))


if __name__ == "__main__":
    main()
