"""The docs' receiver works as it stands: it believes Tradepost and nobody else."""

import asyncio
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from tests.architecture.refresh_docs import DOCS
from tests.flows.live import environment, eventually, join, reserved_port, serving


@asynccontextmanager
async def example(secret: str, port: int, log: Path) -> AsyncIterator[None]:
    """Run the docs' receiver on a port."""
    page = await asyncio.to_thread((DOCS / "notifications.md").read_text, "utf-8")
    found = re.search(r"<!-- receiver -->\n```python\n(.*?)```", page, re.DOTALL)
    assert found is not None, "the page on notifications has no receiver"
    assert "9000" in found[1]
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", found[1].replace("9000", str(port))),
            env={"WEBHOOK_SECRET": secret},
            stdout=output,
            stderr=output,
        )
    try:
        yield
    finally:
        process.kill()
        await process.wait()


async def test_the_receiver_of_the_docs(tmp_path: Path) -> None:
    env = environment(tmp_path, WEBHOOK_ALLOW_PRIVATE="true")
    log = tmp_path / "receiver.log"
    with reserved_port() as port, serving(env) as server:
        await server.ready()
        url = f"http://127.0.0.1:{port}/"
        async with server.client() as client:
            client.headers["Authorization"] = f"Bearer {(await join(client, 'ada@example.com')).token}"
            made = (await client.post("/webhooks/", json={"url": url, "event_types": ["*"]})).json()
            async with example(made["secret"], port, log), httpx.AsyncClient() as stranger:

                async def listens() -> bool:
                    try:
                        forged = {"webhook-id": "1", "webhook-timestamp": "1", "webhook-signature": "v1,x"}
                        answer = await stranger.post(url, headers=forged, content=b"{}")
                    except httpx.TransportError:
                        return False
                    return answer.status_code == 401

                await eventually(listens)
                await client.post("/items/", json={"title": "Difference engine", "price": 1})

                async def delivered() -> bool:
                    page = await client.get(f"/webhooks/{made['id']}/deliveries/?state=delivered")
                    return bool(page.json()["total"] == 1)

                await eventually(delivered)
    said = log.read_text(encoding="utf-8")
    assert '"type":"items.created"' in said
    assert "Difference engine" in said
