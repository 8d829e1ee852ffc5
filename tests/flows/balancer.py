"""The least that a load balancer is: it asks servers whether they are ready, and passes connections on to those that are."""

import asyncio
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Final

import httpx

from tests.flows.live import connecting

LOOK: Final = 0.1
"""Seconds between two looks at ``/readyz``: a fraction of the time for which a server drains."""
_PIECE: Final = 64 * 1024


class Balancer:
    """Passes each connection on to the next server that is ready; one that refuses it is passed over."""

    def __init__(self, ports: Sequence[int]) -> None:
        self._ports = list(ports)
        self._ready: list[int] = []
        self._turn = 0

    async def look(self) -> None:
        """Keep up with who is ready, until cancelled."""
        async with connecting(timeout=2.0) as client:
            while True:
                self._ready = [port for port in self._ports if await self._is_ready(client, port)]
                await asyncio.sleep(LOOK)

    async def _is_ready(self, client: httpx.AsyncClient, port: int) -> bool:
        with suppress(httpx.TransportError):
            # A connection of its own: the next one is taken by nobody once the server's socket is gone.
            answer = await client.get(f"http://127.0.0.1:{port}/readyz", headers={"Connection": "close"})
            return answer.status_code == 200
        return False

    async def pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Join a client's connection with one to a server, until either side ends."""
        for _ in self._ports:
            self._turn += 1
            candidates = self._ready or self._ports
            port = candidates[self._turn % len(candidates)]
            with suppress(OSError):
                there, back = await asyncio.open_connection("127.0.0.1", port)
                await asyncio.gather(_copy(reader, back), _copy(there, writer))
                return
        writer.close()


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while piece := await source.read(_PIECE):
            target.write(piece)
            await target.drain()
    target.close()


@contextmanager
def balanced(ports: Sequence[int]) -> Iterator[str]:
    """Balance before servers on these ports for the length of the block, in the loop that runs, and return the address."""
    balancer = Balancer(ports)
    listener = socket.create_server(("127.0.0.1", 0))

    async def serve() -> None:
        async with await asyncio.start_server(balancer.pass_on, sock=listener):
            await balancer.look()

    task = asyncio.get_running_loop().create_task(serve())
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        task.cancel()
