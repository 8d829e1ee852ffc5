"""Content codings (RFC 9110, sections 8.4 and 12.5.3): which one a client takes, and how bytes are put into it."""

import gzip
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import brotli  # type: ignore[import-untyped]
import zstandard

CODINGS: Final[Mapping[str, Callable[[bytes], bytes]]] = {
    "br": lambda body: brotli.compress(body, quality=9),
    "zstd": lambda body: zstandard.compress(body, 12),
    "gzip": lambda body: gzip.compress(body, 6, mtime=0),
}
"""How static content is compressed, the best first. Made once for many requests, so it may take its time."""
IDENTITY: Final = "identity"


def accepted_coding(accept_encoding: str, available: Sequence[str]) -> str:
    """Return the coding of ``available`` that the client likes best, ours first among equals; ``identity`` if none.

    ``gzip;q=0`` refuses it, ``*`` stands for every coding that is not named. A header that cannot be read asks for nothing.
    """
    weights = {
        name: weight
        for part in accept_encoding.lower().split(",")
        for name, weight in [_weighted(part)]
        if name
    }
    others = weights.get("*", 0.0)
    best = max(available, key=lambda name: weights.get(name, others), default=IDENTITY)
    weight = weights.get(best, others)
    return best if weight > 0 and weight >= weights.get(IDENTITY, 0.0) else IDENTITY


def _weighted(part: str) -> tuple[str, float]:
    name, *parameters = (piece.strip() for piece in part.split(";"))
    for parameter in parameters:
        key, _, value = parameter.partition("=")
        if key.strip() == "q":
            try:
                weight = float(value)
            except ValueError:
                return "", 0.0
            return name, weight if 0 <= weight <= 1 else 0.0
    return name, 1.0
