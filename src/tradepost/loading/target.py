"""The host of a run: whether it wants one, what there is to ask for, and how many requests it says that it answered."""

import asyncio
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from tradepost.loading.client import Answer, Client, Host, NoAnswer
from tradepost.loading.journeys import API

PATIENCE: Final = 10.0
"""Seconds for each answer before and after a run."""
PAGES: Final = 5
"""Pages of a hundred whose ids a run asks for."""
_COUNT: Final = re.compile(r"^tradepost_http_requests_total\{.*\} ([0-9.e+]+)", re.MULTILINE)


class Refused(Exception):
    """The host is not one that a run may be sent to, or lacks what the run asks for; the text says why."""


@dataclass(frozen=True, slots=True)
class Target:
    """What a run asks for, and the host's count of answers before it; None without metrics."""

    service: str
    version: str
    environment: str
    item_ids: tuple[int, ...]
    event_ids: tuple[int, ...]
    tags: tuple[str, ...]
    counted: int | None


class _Asker:
    """Asks one thing after the other."""

    def __init__(self, host: Host, client: Client, shown: str) -> None:
        self._host = host
        self._client = client
        self._shown = f"{shown}\r\n" if shown else ""

    async def get(self, path: str, *, shows: bool = True) -> Answer:
        shown = self._shown if shows else ""
        request = f"GET {self._host.prefix}{path} HTTP/1.1\r\nHost: {self._host.authority}\r\n{shown}\r\n"
        try:
            return await self._client.send(request.encode())
        except NoAnswer as reason:
            raise Refused(f"no answer from {self._host.authority}: {reason}") from reason

    async def json(self, path: str) -> Any:
        # As a stranger: the owner of the credentials may see drafts that others do not.
        answer = await self.get(path, shows=False)
        try:
            return json.loads(answer.body) if answer.status == 200 else None  # noqa: PLR2004
        except ValueError:
            return None

    async def counted(self) -> int | None:
        """Return how many requests the host has answered, all its processes together; None if it does not say."""
        answer = await self.get("/metrics", shows=False)
        found = _COUNT.findall(answer.body.decode("utf-8", "replace"))
        return round(sum(map(float, found))) if answer.status == 200 else None  # noqa: PLR2004


async def survey(url: str, *, person: str, is_key: bool, wants: Sequence[str]) -> Target:
    """Look at a host before a run; raises ``Refused``.

    It must say that it is a Tradepost in ``local`` or ``staging``; anywhere else a load test's key must open it: one whose
    answers name no limit.
    """
    host = Host.of(url)
    client = Client(host, most=1, timeout=PATIENCE)
    try:
        asker = _Asker(host, client, person)
        said = await asker.json("/")
        if not isinstance(said, dict) or said.get("service") != "Tradepost":
            raise Refused(f"{host.authority} does not say that it is a Tradepost")
        environment = str(said.get("environment"))
        if person:
            await _check_person(asker, is_key=is_key, must_lift=environment not in {"local", "staging"})
        elif environment not in {"local", "staging"}:
            raise Refused(f"{host.authority} is in {environment}: show a load test's API key (--key)")
        item_ids, tags = await _items(asker)
        events = (await asker.json(f"{API}/events/?limit=100&total=false") or {}).get("events", ())
        found = {"items": item_ids, "tags": tags, "events": events}
        for name in wants:
            if not found[name]:
                raise Refused(f"there are no {name} to ask for; make some: tradepost seed")
        return Target(
            "Tradepost",
            str(said.get("version")),
            environment,
            tuple(item_ids),
            tuple(event["id"] for event in events),
            tuple(tags),
            await asker.counted(),
        )
    finally:
        client.close()


async def _check_person(asker: _Asker, *, is_key: bool, must_lift: bool) -> None:
    answer = await asker.get(f"{API}/users/me")
    if answer.status != 200:  # noqa: PLR2004
        raise Refused(f"the credentials do not hold: {answer.status}")
    if must_lift and not (is_key and answer.is_unlimited):
        raise Refused("this is no local or staging host, and the key is no load test's")


async def _items(asker: _Asker) -> tuple[list[int], list[str]]:
    ids: list[int] = []
    tags: set[str] = set()
    path = f"{API}/items/?limit=100&total=false"
    cursor = ""
    for _ in range(PAGES):
        page = await asker.json(path + cursor) or {}
        for item in page.get("items", ()):
            ids.append(item["id"])
            tags.update(item["tags"])
        if not page.get("next_cursor"):
            break
        cursor = f"&cursor={page['next_cursor']}"
    return ids, sorted(tags)[:100]


async def count_after(url: str, *, before: int) -> int | None:
    """Return how many requests the host has answered since it was looked at; the look itself was one of them."""
    host = Host.of(url)
    client = Client(host, most=1, timeout=PATIENCE)
    try:
        # What was cut off or given up is counted when the server has seen that.
        await asyncio.sleep(0.5)
        now = await _Asker(host, client, "").counted()
    finally:
        client.close()
    return None if now is None else now - before - 1
