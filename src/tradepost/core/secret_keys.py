"""The keys of this service: ``SECRET_KEY``, which signs, and those that still count beside it.

A key is exchanged in three steps, with no moment at which a replica refuses what another has signed: every replica is told of
the next key (``SECRET_KEYS_OLD``), then each is given it as ``SECRET_KEY`` with the old one beside it, and at last the old one
is taken away. Whatever is signed, sealed or derived asks here for a key of its own purpose, so that nothing made for one can
serve another.
"""

import hmac
from typing import Final

_HASH: Final = "sha256"


class DerivedKeys:
    """The keys of one purpose, the one in force first; ``size`` is how many bytes of a MAC are kept."""

    def __init__(self, keys: tuple[bytes, ...], size: int) -> None:
        self.all = keys
        self.newest = keys[0]
        self._size = size

    def mac(self, content: bytes) -> bytes:
        """Return the MAC of ``content`` under the key in force."""
        return hmac.digest(self.newest, content, _HASH)[: self._size]

    def macs(self, content: bytes) -> list[bytes]:
        """Return the MACs of ``content`` under each key that counts, that of the one in force first."""
        return [hmac.digest(key, content, _HASH)[: self._size] for key in self.all]

    def hold(self, content: bytes, mac: bytes) -> bool:
        """Tell whether ``mac`` is that of ``content`` under any of the keys."""
        return any(hmac.compare_digest(mac, known) for known in self.macs(content))


class SecretKeys:
    """``SECRET_KEY``, and after it those of ``SECRET_KEYS_OLD``."""

    def __init__(self, newest: str, *others: str) -> None:
        self.all = (newest, *others)

    def derived(self, purpose: bytes, *, size: int = 32) -> DerivedKeys:
        """Return the keys of a purpose, each the MAC of its name under one of the keys."""
        return DerivedKeys(tuple(hmac.digest(key.encode(), purpose, _HASH) for key in self.all), size)
