"""Each kind of fault on a real server: what clients saw is what the log says."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
import pytest_asyncio

from tests.flows.live import LiveServer, environment, eventually, join, log_in, serving
from tests.uploading import png
from tradepost.core.batching.read_coalescer import MOST_REST
from tradepost.injection.draws import drawn

FAULTS: Final = "/admin/faults"
LOG: Final = f"{FAULTS}/log"
ITEMS: Final = "/items/"
NUMBER: Final = 20


@pytest_asyncio.fixture(scope="module")
async def server(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LiveServer]:
    """A server on each engine, on which faults are on; nobody waits long for a connection."""
    directory = tmp_path_factory.mktemp("data")
    with serving(
        environment(directory, database_url, FAULTS_ENABLED="true", DB_POOL_TIMEOUT="0.3")
    ) as started:
        await started.ready()
        yield started


async def newest(api: httpx.AsyncClient) -> int:
    """Return the number of the last line of the log."""
    lines = (await api.get(LOG, params={"limit": 1})).json()["faults"]
    return int(lines[0]["id"]) if lines else 0


async def struck(api: httpx.AsyncClient, after: int, **selection: str) -> list[dict[str, Any]]:
    """Return the lines of the log after one, oldest first."""
    answer = await api.get(LOG, params={**({"after_id": after} if after else {}), **selection})
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["faults"]
    assert answer.json()["total"] == len(found)
    return found[::-1]


async def sent(api: httpx.AsyncClient, fault: str, number: int = NUMBER) -> list[httpx.Response | str]:
    """Send requests with a fault, one after the other; of one without an answer, the name of what was raised."""
    answers: list[httpx.Response | str] = []
    for index in range(number):
        headers = {"X-Fault": fault, "X-Request-ID": f"r{index}"}
        try:
            answers.append(await api.get(ITEMS, headers=headers))
        except httpx.TransportError as error:
            answers.append(type(error).__name__)
    return answers


def hit(seed: int, probability: float, index: int = 0) -> list[str]:
    """Return the ids of the requests of ``sent`` that a fault with this seed strikes."""
    return [f"r{n}" for n in range(NUMBER) if drawn(seed, n + 1, index)[0] < probability]


async def test_a_status(api: httpx.AsyncClient) -> None:
    before = await newest(api)
    answers = await sent(api, "status=503;p=0.4;seed=11")
    refused = [
        answer for answer in answers if isinstance(answer, httpx.Response) and answer.status_code == 503
    ]
    assert 0 < len(refused) < NUMBER
    lines = await struck(api, before, kind="status")
    # What the client saw, what the log says, and what the seed foretold.
    assert [line["request_id"] for line in lines] == [answer.headers["X-Request-ID"] for answer in refused]
    assert [line["request_id"] for line in lines] == hit(11, 0.4)
    assert refused[0].json()["error_code"] == "HTTP_503"
    assert refused[0].headers["Retry-After"] == "1"
    assert lines[0]["details"] == "503"
    assert lines[0]["path"] == "/api/v1/items/"
    assert lines[0]["name"] is None


async def test_the_same_seed_gives_the_same_sequence_again(api: httpx.AsyncClient) -> None:
    seen = []
    for _ in range(2):
        answers = await sent(api, "status=500;p=0.5;seed=3")
        seen.append([answer.status_code for answer in answers if isinstance(answer, httpx.Response)])
        assert (await api.delete(FAULTS)).status_code == 200
    assert seen[0] == seen[1]
    assert set(seen[0]) == {200, 500}


async def test_a_delay_with_spread(api: httpx.AsyncClient) -> None:
    before = await newest(api)
    answers = await sent(api, "delay=60ms;spread=20ms;p=0.5;seed=5")
    lines = await struck(api, before, kind="delay")
    assert [line["request_id"] for line in lines] == hit(5, 0.5)
    amounts = {line["request_id"]: float(line["details"].removesuffix("ms")) for line in lines}
    assert all(40 <= amount <= 80 for amount in amounts.values())
    assert len(set(amounts.values())) > 1
    for index, answer in enumerate(answers):
        assert isinstance(answer, httpx.Response)
        took = float(answer.headers["X-Process-Time"]) * 1000
        assert took >= amounts.get(f"r{index}", 0) - 1


async def test_a_dropped_connection(api: httpx.AsyncClient) -> None:
    before = await newest(api)
    answers = await sent(api, "drop;p=0.4;seed=9")
    dropped = [f"r{index}" for index, answer in enumerate(answers) if isinstance(answer, str)]
    assert dropped == hit(9, 0.4)
    assert [line["request_id"] for line in await struck(api, before, kind="drop")] == dropped


@pytest.mark.parametrize("size", ["", "=100B", "=1MB"])
async def test_a_truncated_body(api: httpx.AsyncClient, size: str) -> None:
    before = await newest(api)
    answers = await sent(api, f"truncate{size};p=0.5;seed=2")
    cut = [f"r{index}" for index, answer in enumerate(answers) if isinstance(answer, str)]
    assert cut == hit(2, 0.5)
    assert [line["request_id"] for line in await struck(api, before, kind="truncate")] == cut


async def test_how_much_of_a_truncated_body_comes(server: LiveServer) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"GET /api/v1/items/ HTTP/1.1\r\nHost: x\r\nX-Fault: truncate=10B\r\n\r\n")
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    assert head.startswith(b"HTTP/1.1 200")
    assert len(body) == 10


async def test_a_slow_body_comes_whole(api: httpx.AsyncClient) -> None:
    plain = (await api.get(ITEMS)).json()
    before = await newest(api)
    answers = await sent(api, "slow-body=30ms", number=3)
    assert [answer.json() for answer in answers if isinstance(answer, httpx.Response)] == [plain] * 3
    assert len(await struck(api, before, kind="slow-body")) == 3


async def test_a_slow_database(api: httpx.AsyncClient) -> None:
    before = await newest(api)
    for path in (ITEMS, "/categories/", "/tags/"):
        headers = {"X-Fault": "slow-db=40ms", "Server-Timing": "1"}
        answer = await api.get(path, headers=headers)
        assert answer.status_code == 200
        spent = dict(part.split(";dur=") for part in answer.headers["Server-Timing"].split(", "))
        assert float(spent["db"]) >= 39
    lines = await struck(api, before, kind="slow-db")
    assert [line["path"] for line in lines] == ["/api/v1/items/", "/api/v1/categories/", "/api/v1/tags/"]
    assert all(line["details"].endswith("x 40ms") for line in lines)


async def test_writes_are_slow_too(server: LiveServer, api: httpx.AsyncClient) -> None:
    before = await newest(api)
    seller = await join(api, "slow@example.com")
    async with server.client(seller.token) as client:
        answer = await client.put(
            "/users/me", json={"first_name": "Eve"}, headers={"X-Fault": "slow-db=30ms"}
        )
        assert answer.status_code == 200
        assert float(answer.headers["X-Process-Time"]) >= 0.03
    assert [line["method"] for line in await struck(api, before, kind="slow-db")] == ["PUT"]


async def test_an_exhausted_pool(api: httpx.AsyncClient) -> None:
    # A lane that rests with a session from before would answer with it.
    await asyncio.sleep(MOST_REST + 0.1)
    before = await newest(api)
    answers = await sent(api, "pool=600ms", number=3)
    codes = [answer.json()["error_code"] for answer in answers if isinstance(answer, httpx.Response)]
    assert codes == ["DATABASE_ERROR"] * 3

    async def answers_again() -> bool:
        return (await api.get(ITEMS)).status_code == 200

    await eventually(answers_again)
    assert len(await struck(api, before, kind="pool")) == 3


async def test_a_storage_that_fails(server: LiveServer, api: httpx.AsyncClient) -> None:
    before = await newest(api)
    seller = await join(api, "storing@example.com")
    async with server.client(seller.token) as client:
        fault = {"name": "disk", "faults": "storage=30s"}
        assert (await api.put(FAULTS, json=fault)).status_code == 200
        picture = {"file": ("a.png", png(), "image/png")}

        async def fails() -> bool:
            return (await client.post("/upload/avatar/", files=picture)).status_code == 503

        await eventually(fails)
        answers = [await client.post("/upload/avatar/", files=picture) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [503] * 3
        ids = {answer.headers["X-Request-ID"] for answer in answers}
        lines = await struck(api, before, kind="storage")
        assert len([1 for line in lines if line["request_id"] in ids and line["details"] == "put"]) == 3


async def test_mail_that_fails_is_sent_later(server: LiveServer, api: httpx.AsyncClient) -> None:
    before = await newest(api)
    assert (await api.get(ITEMS, headers={"X-Fault": "mail=1s"})).status_code == 200
    await join(api, "mailed@example.com")
    tokens = await log_in(api, "admin@example.com", "changethis")
    async with server.client(tokens["access_token"]) as admin:

        async def failed() -> bool:
            return bool(await struck(api, before, kind="mail"))

        await eventually(failed)
        listed = (await admin.get("/admin/messages/", params={"channel": "email"})).json()["messages"]
        assert any("on purpose" in (message["error"] or "") for message in listed) or not listed


async def test_a_stalled_loop_and_a_burnt_processor(api: httpx.AsyncClient) -> None:
    before = await newest(api)
    answers = await sent(api, "stall=30ms, cpu=30ms", number=4)
    for answer in answers:
        assert isinstance(answer, httpx.Response)
        assert float(answer.headers["X-Process-Time"]) >= 0.03
    lines = await struck(api, before)
    assert sorted(line["kind"] for line in lines) == ["cpu"] * 4 + ["stall"] * 4


async def test_troubles_are_as_many_in_the_log_as_the_client_made(
    server: LiveServer, api: httpx.AsyncClient
) -> None:
    """By request for those that a request begins; of mail, as many as attempts that failed."""
    before, failed = await newest(api), await failed_mails(server)
    asked = {"stall=1ms": "stall", "cpu=1ms": "cpu", "memory=1MB;for=10ms": "memory"}
    for number, fault in enumerate([*asked] * 5):
        answer = await api.get(ITEMS, headers={"X-Fault": fault, "X-Request-ID": f"trouble-{number}"})
        assert answer.status_code == 200
    lines = await struck(api, before)
    made = [(f"trouble-{number}", kind) for number, kind in enumerate([*asked.values()] * 5)]
    assert sorted((line["request_id"], line["kind"]) for line in lines) == sorted(made)
    assert (await api.get(ITEMS, headers={"X-Fault": "mail=2s"})).status_code == 200
    for number in range(3):
        await join(api, f"counted{number}@example.com")

    async def all_failed() -> bool:
        return len(await struck(api, before, kind="mail")) >= 3

    await eventually(all_failed)

    async def are_equal() -> bool:
        return await failed_mails(server) - failed == len(await struck(api, before, kind="mail"))

    await eventually(are_equal)


async def failed_mails(server: LiveServer) -> int:
    """Return how many attempts to send an e-mail have failed, as the metrics count them."""
    text = (await server.answers("/metrics")).text
    found = re.search(r'^tradepost_messages_total{channel="mail",outcome="retry"} (\S+)$', text, re.MULTILINE)
    return int(float(found[1])) if found else 0


async def test_memory_is_there_for_a_while(server: LiveServer, api: httpx.AsyncClient) -> None:
    before = await newest(api)

    def resident() -> int:
        status = Path(f"/proc/{server.pid}/status").read_text(encoding="ascii")
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))

    at_first = resident()
    await sent(api, "memory=100MB;for=1s", number=2)

    async def is_held() -> bool:
        return resident() > at_first + 150_000

    await eventually(is_held)

    async def is_free() -> bool:
        return resident() < at_first + 50_000

    await eventually(is_free)
    # Past the bound nothing is taken, and nothing is said to be.
    await sent(api, "memory=512MB;for=100ms", number=1)
    await sent(api, "memory=512MB;for=100ms", number=1)
    assert 3 <= len(await struck(api, before, kind="memory")) <= 4


async def test_a_process_that_is_not_ready(server: LiveServer, api: httpx.AsyncClient) -> None:
    before = await newest(api)
    await sent(api, "unready=1s", number=1)
    answer = await server.answers("/readyz", 503)
    assert answer.json()["checks"]["faults"]["status"] == "failed"
    await server.ready()
    assert len(await struck(api, before, kind="unready")) == 1


async def test_a_clock_that_is_wrong(server: LiveServer, api: httpx.AsyncClient) -> None:
    before = await newest(api)
    seller = await join(api, "late@example.com")
    async with server.client(seller.token) as client:
        item = {"title": "Clock", "price": 1}
        right = (await client.post(ITEMS, json=item)).json()["created_at"]
        await sent(api, "skew=-86400s;for=10s", number=1)
        wrong = (await client.post(ITEMS, json=item)).json()["created_at"]
        assert wrong < right
        await sent(api, "skew=0s;for=1s", number=1)
        assert (await client.post(ITEMS, json=item)).json()["created_at"] > right
    assert len(await struck(api, before, kind="skew")) == 2


async def test_several_at_once_in_their_order(api: httpx.AsyncClient) -> None:
    before = await newest(api)
    await sent(api, "delay=1ms, status=418, drop", number=2)
    # The status ends it: nothing is dropped any more.
    assert [line["kind"] for line in await struck(api, before)] == ["delay", "status"] * 2


async def test_probes_and_the_faults_themselves_are_spared(
    server: LiveServer, api: httpx.AsyncClient
) -> None:
    assert (await api.put(FAULTS, json={"name": "all", "faults": "drop"})).status_code == 200
    with pytest.raises(httpx.TransportError):
        await api.get(ITEMS)
    for path in ("/livez", "/readyz", "/metrics"):
        await server.answers(path)
    listed = (await api.get(FAULTS)).json()
    assert [fault["name"] for fault in listed["faults"]] == ["all"]
    assert (await api.delete(f"{FAULTS}/all")).status_code == 200
    assert (await api.get(ITEMS)).status_code == 200
    assert (await api.delete(f"{FAULTS}/all")).json()["error_code"] == "FAULT_NOT_FOUND"


async def test_what_cannot_be_read_is_said(api: httpx.AsyncClient) -> None:
    answer = await api.get(ITEMS, headers={"X-Fault": "explode"})
    assert answer.status_code == 400
    assert "`explode` is none of delay, status" in answer.json()["detail"]
    for body, field in (
        ({"name": "a", "faults": "delay"}, "faults"),
        ({"name": "A b", "faults": "drop"}, "name"),
        ({"name": "a", "faults": "drop", "share": 0}, "share"),
        ({"name": "a", "faults": "drop", "on_seconds": 1}, ""),
        ({"name": "a", "faults": "drop", "other": 1}, "other"),
    ):
        refused = await api.put(FAULTS, json=body)
        assert refused.status_code == 422, body
        assert field in json.dumps(refused.json()["errors"][0]["location"])
    assert (await api.get(LOG, params={"kind": "explode"})).status_code == 422


async def test_a_share_of_some_requests_at_some_times(api: httpx.AsyncClient) -> None:
    before = await newest(api)
    some = {
        "name": "some",
        "faults": "status=500;seed=4",
        "share": 0.5,
        "path": "/api/v1/items/",
        "method": "GET",
    }
    assert (await api.put(FAULTS, json=some)).json()["is_on"]
    answers = [(await api.get(ITEMS)).status_code for _ in range(NUMBER)]
    expected = [500 if drawn(4, n + 1, 0)[0] < 0.5 else 200 for n in range(NUMBER)]
    assert answers == expected
    assert (await api.get("/tags/")).status_code == 200
    lines = await struck(api, before, name="some")
    assert [line["place"] for line in lines] == [n + 1 for n in range(NUMBER) if expected[n] == 500]
    # Put again, it begins anew; later, it is not on yet; for another machine, it is not for this one.
    for change in ({"starts_at": "2999-01-01T00:00:00Z"}, {"replica": "elsewhere"}):
        await api.put(FAULTS, json=some | {"share": 1} | change)
        assert (await api.get(ITEMS)).status_code == 200
    here = (await api.get(FAULTS)).json()["replica"]
    for replica in (here, here.rpartition(":")[0]):
        await api.put(FAULTS, json=some | {"share": 1, "replica": replica})
        assert (await api.get(ITEMS)).status_code == 500


async def test_a_trouble_that_comes_again_and_again(server: LiveServer, api: httpx.AsyncClient) -> None:
    before = await newest(api)
    pulses = {"name": "pulse", "faults": "cpu=10ms", "period": 0.5, "seconds": 30}
    assert (await api.put(FAULTS, json=pulses)).status_code == 200

    async def came_twice() -> bool:
        return len(await struck(api, before, name="pulse")) >= 2

    # No request is needed for it.
    await eventually(came_twice)
    assert {line["request_id"] for line in await struck(api, before, name="pulse")} == {None}
