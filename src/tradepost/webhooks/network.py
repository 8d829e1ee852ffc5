"""Protection against server-side request forgery: names are resolved off the loop, every address is checked, and only a
checked address is dialled.

The checked address is the one that is connected to, so a name that resolves to another address a moment later (DNS
rebinding) gains nothing. The certificate and ``Host`` still use the name.
"""

import asyncio
import socket
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address
from typing import Any, Final
from weakref import WeakValueDictionary

import httpcore2
from typing_extensions import override

from tradepost.webhooks.targets import Address, TargetRules, UnacceptableTarget

RESOLVER_THREADS: Final = 16
"""Concurrent lookups. The system's resolver may hang for half a minute and cannot be cancelled."""
LOOKUPS_PER_SITE: Final = 4
"""Concurrent lookups below the same two last labels: a slow name server can serve any number of names."""
MOST_ADDRESSES: Final = 4
"""Addresses of one name that are tried."""
NOT_PUBLIC: Final = "The host has no public address"
"""The same for names that do not exist and names of internal hosts, or it would reveal which names exist inside."""

Lookup = Callable[[str, int], Sequence[str]]


def system_lookup(host: str, port: int) -> Sequence[str]:
    """Return the addresses of a name from the system's resolver; blocks."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]


class Resolver:
    """Resolves names in threads of its own, so that hanging lookups take no thread from anything else.

    Lookups of one name are single flight, and a site has a limit, so that a slow name server occupies few threads.
    """

    def __init__(self, lookup: Lookup = system_lookup) -> None:
        self._lookup = lookup
        self._threads = ThreadPoolExecutor(RESOLVER_THREADS, thread_name_prefix="resolver")
        self._lookups: dict[tuple[str, int], asyncio.Future[Sequence[str]]] = {}
        # An entry lives as long as a lookup holds it or waits for it.
        self._sites: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    async def find(self, host: str, port: int) -> list[Address]:
        """Return the addresses of a name, or the address itself; ``UnacceptableTarget`` when there are none."""
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
        # Only an address that is not public has a zone, as in `fe80::1%eth0`.
        return list(dict.fromkeys(ip_address(address.partition("%")[0]) for address in found))

    async def _begun(self, key: tuple[str, int]) -> asyncio.Future[Sequence[str]]:
        """Return a lookup, begun when the site's limit allows; it holds its place until the thread ends."""
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
            # Retrieved, or the loop would complain about an exception that no caller awaited.
            done.exception()

    def close(self) -> None:
        """Let the threads end; a hanging one ends with its lookup."""
        self._threads.shutdown(wait=False, cancel_futures=True)


class PublicNetwork(httpcore2.AsyncNetworkBackend):
    """Opens connections for ``httpcore2``, only to addresses that the rules allow."""

    def __init__(self, rules: TargetRules, resolver: Resolver) -> None:
        self._rules = rules
        self._resolver = resolver
        self._dialler = httpcore2.AnyIOBackend()

    @override
    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Connect to a name or an address, within ``timeout`` seconds in all."""
        try:
            async with asyncio.timeout(timeout):
                addresses = await self._resolver.find(host, port)
                self._judge(addresses)
                addresses = addresses[:MOST_ADDRESSES]
                share = None if timeout is None else timeout / len(addresses)
                return await self._dial(addresses, port, share, local_address)
        except TimeoutError as error:
            raise httpcore2.ConnectTimeout from error

    def _judge(self, addresses: Sequence[Address]) -> None:
        """Refuse a name unless every one of its addresses is public."""
        try:
            for address in addresses:
                self._rules.check(address)
        except UnacceptableTarget:
            raise UnacceptableTarget(NOT_PUBLIC) from None
        if not addresses:
            raise UnacceptableTarget(NOT_PUBLIC)

    async def _dial(
        self, addresses: Sequence[Address], port: int, share: float | None, local_address: str | None
    ) -> httpcore2.AsyncNetworkStream:
        # Each address has a share of the time: an unreachable one, such as IPv6 without a route, leaves time for the next.
        for address in addresses[:-1]:
            try:
                return await self._dialler.connect_tcp(str(address), port, share, local_address)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout):
                continue
        return await self._dialler.connect_tcp(str(addresses[-1]), port, None, local_address)

    @override
    async def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[Any] | None = None
    ) -> httpcore2.AsyncNetworkStream:
        """Refuse: no public receiver is behind a file."""
        raise UnacceptableTarget(NOT_PUBLIC)

    @override
    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
