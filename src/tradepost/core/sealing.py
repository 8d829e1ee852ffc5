"""Sealing: small secrets that must be read again are kept encrypted (AES-256-GCM) under a key derived from ``SECRET_KEY``.

A stolen copy of the database alone opens none of them. What a seal is ``about`` is bound to it: a row's sealed secret that is
copied into another row does not open there.
"""

import base64
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tradepost.core.clock import Clock
from tradepost.core.secret_keys import DerivedKeys

_NONCE: Final = 12


class Seals:
    """Seals with the key in force, and opens what any of the keys has sealed."""

    def __init__(self, keys: DerivedKeys, clock: Clock) -> None:
        self._ciphers = [AESGCM(key) for key in keys.all]
        self._clock = clock

    def seal(self, secret: bytes, *, about: str) -> str:
        """Return ``secret`` sealed, as text."""
        nonce = base64.urlsafe_b64decode(self._clock.token(_NONCE))
        sealed = self._ciphers[0].encrypt(nonce, secret, about.encode())
        return base64.urlsafe_b64encode(nonce + sealed).decode()

    def open(self, sealed: str, *, about: str) -> bytes | None:
        """Return what was sealed; None when it was under a key that counts no more, or about something else."""
        try:
            raw = base64.urlsafe_b64decode(sealed)
        except ValueError:
            return None
        for cipher in self._ciphers:
            try:
                return cipher.decrypt(raw[:_NONCE], raw[_NONCE:], about.encode())
            except (InvalidTag, ValueError):
                continue
        return None
