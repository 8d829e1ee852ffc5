"""The way out to receivers: names are looked up off the loop, every address is judged, and only judged ones are dialled.

What was judged is what is connected to, so a name that resolves to something else a moment later gains nothing. The name
itself still is what the certificate is checked against and what ``Host`` says.
"""

import asyncio
import socket
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address
from typing import Any, Final
from weakref import WeakValueDictionary

import httpcore
from typing_extensions import override

from tradepost.webhooks.targets import Address, TargetRules, UnacceptableTarget

RESOLVER_THREADS: Final = 16
"""Names looked up at once. The system's resolver may hang for half a minute, and can be told neither when nor to stop."""
LOOKUPS_PER_SITE: Final = 4
"""Of these, names below the same two last labels: whoever has a slow name server has any number of names in it."""
MOST_ADDRESSES: Final = 4
"""How many addresses of one name are tried."""
NOT_PUBLIC: Final = "The host has no public address"
"""Said of names that do not exist and of those that lead inside alike, or it would tell which names exist inside."""

Lookup = Callable[[str, int], Sequence[str]]


def system_lookup(host: str, port: int) -> Sequence[str]:
    """Return the addresses of a name as the machine knows them; blocks."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]


class Resolver:
    """Looks names up in threads of its own: however many hang, nothing else that needs a thread waits for them.

    Who asks for a name that is being looked up waits for that lookup, so one name takes up one thread, and one site
    takes up a few of them.
    """

    def __init__(self, lookup: Lookup = system_lookup) -> None:
        self._lookup = lookup
        self._threads = ThreadPoolExecutor(RESOLVER_THREADS, thread_name_prefix="resolver")
        self._lookups: dict[tuple[str, int], asyncio.Future[Sequence[str]]] = {}
        # Each is there as long as a lookup holds it or waits for it.
        self._sites: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    async def find(self, host: str, port: int) -> list[Address]:
        """Return the addresses of a name, or of a text that is one; ``UnacceptableTarget`` when there are none."""
        try:
            return [ip_address(host)]
        except ValueError:
            pass
        key = (host, port)
        lookup = self._lookups.get(key) or await self._begun(key)
        try:
            found = await asyncio.shield(lookup)
        except (OSError, UnicodeError):
            raise UnacceptableTarget(NOT_PUBLIC) from None
        # A zone, as in `fe80::1%eth0`, is only ever that of an address that is not public.
        return list(dict.fromkeys(ip_address(address.partition("%")[0]) for address in found))

    async def _begun(self, key: tuple[str, int]) -> asyncio.Future[Sequence[str]]:
        """Return a lookup, begun as soon as the site has room; it has until the thread ends, not until its caller left."""
        host, port = key
        name = ".".join(host.split(".")[-2:])
        site = self._sites.get(name)
        if site is None:
            site = self._sites[name] = asyncio.Semaphore(LOOKUPS_PER_SITE)
        await site.acquire()
        if (lookup := self._lookups.get(key)) is not None:
            site.release()
            return lookup
        lookup = asyncio.get_running_loop().run_in_executor(self._threads, self._lookup, host, port)
        self._lookups[key] = lookup
        lookup.add_done_callback(lambda done: self._forget(key, done, site))
        return lookup

    def _forget(
        self, key: tuple[str, int], done: asyncio.Future[Sequence[str]], site: asyncio.Semaphore
    ) -> None:
        site.release()
        del self._lookups[key]
        if not done.cancelled():
            # Looked at, or the loop would complain when nobody had waited to the end.
            done.exception()

    def close(self) -> None:
        """Let the threads end; those that hang end when the system's resolver does."""
        self._threads.shutdown(wait=False, cancel_futures=True)


class PublicNetwork(httpcore.AsyncNetworkBackend):
    """Opens connections for ``httpcore``, only to addresses that the rules allow."""

    def __init__(self, rules: TargetRules, resolver: Resolver) -> None:
        self._rules = rules
        self._resolver = resolver
        self._dialler = httpcore.AnyIOBackend()

    @override
    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to a name or an address, within ``timeout`` seconds in all."""
        try:
            async with asyncio.timeout(timeout):
                addresses = await self._resolver.find(host, port)
                self._judge(addresses)
                addresses = addresses[:MOST_ADDRESSES]
                share = None if timeout is None else timeout / len(addresses)
                return await self._dial(addresses, port, share, local_address)
        except TimeoutError as error:
            raise httpcore.ConnectTimeout from error

    def _judge(self, addresses: Sequence[Address]) -> None:
        """Refuse a name all of whose addresses are not public, and one of which a single one is not."""
        try:
            for address in addresses:
                self._rules.check(address)
        except UnacceptableTarget:
            raise UnacceptableTarget(NOT_PUBLIC) from None
        if not addresses:
            raise UnacceptableTarget(NOT_PUBLIC)

    async def _dial(
        self, addresses: Sequence[Address], port: int, share: float | None, local_address: str | None
    ) -> httpcore.AsyncNetworkStream:
        # One that never answers, such as of a version of IP that leads nowhere here, leaves time for the next.
        for address in addresses[:-1]:
            try:
                return await self._dialler.connect_tcp(str(address), port, share, local_address)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue
        return await self._dialler.connect_tcp(str(addresses[-1]), port, None, local_address)

    @override
    async def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[Any] | None = None
    ) -> httpcore.AsyncNetworkStream:
        """Refuse: nothing public is behind a file."""
        raise UnacceptableTarget(NOT_PUBLIC)

    @override
    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
