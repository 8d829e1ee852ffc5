"""Secrets and signatures by Standard Webhooks (standardwebhooks.com, version 1).

No secret is stored. Each is derived from ``SECRET_KEY``, the webhook's id and a nonce, so that a stolen copy of the
database cannot sign; another ``SECRET_KEY`` means other secrets, and those of ``SECRET_KEYS_OLD`` sign as well.
"""

import base64
import hmac
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from tradepost.core.secret_keys import SecretKeys

PREFIX: Final = "whsec_"
_PURPOSE: Final = b"tradepost webhook secrets 1"
"""Separates these keys from others that are derived from ``SECRET_KEY``."""


class Signer:
    """Derives the secrets of webhooks and signs with them."""

    def __init__(self, keys: SecretKeys) -> None:
        self._keys = keys.derived(_PURPOSE)

    def secret(self, webhook_id: int, nonce: str) -> str:
        """Return a secret as its owner sees it: ``whsec_`` and base 64."""
        return PREFIX + base64.b64encode(self._keys.mac(_about(webhook_id, nonce))).decode()

    def headers(
        self, webhook_id: int, nonces: Sequence[str], *, message_id: str, now: datetime, body: bytes
    ) -> dict[str, str]:
        """Return the three headers of a request that is sent ``now``, with a signature for each nonce under each key.

        A receiver has the secret that it was shown, under the key of that day.
        """
        timestamp = str(int(now.timestamp()))
        content = b".".join((message_id.encode(), timestamp.encode(), body))
        signatures = (
            base64.b64encode(hmac.digest(secret, content, "sha256")).decode()
            for nonce in nonces
            for secret in self._keys.macs(_about(webhook_id, nonce))
        )
        return {
            "webhook-id": message_id,
            "webhook-timestamp": timestamp,
            "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
        }


def _about(webhook_id: int, nonce: str) -> bytes:
    return f"{webhook_id}.{nonce}".encode()
