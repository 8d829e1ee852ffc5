"""The parameters of a variant, and content negotiation: few steps of size, so that variants are found again in caches."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from tradepost.media.pictures import Fit, Format, Size


class Step(IntEnum):
    """A side that variants may have, in pixels: few sizes are kept, and found again in caches."""

    TINY = 64
    SMALL = 128
    MEDIUM = 256
    LARGE = 512
    HUGE = 1024
    GIANT = 2048


OPEN_SIDE: Final = 4096
"""Pixels that the other side may have where a request names only one."""
CONTENT_TYPES: Final[dict[Format, str]] = {"jpeg": "image/jpeg", "webp": "image/webp", "avif": "image/avif"}
EXTENSIONS: Final[dict[Format, str]] = {"jpeg": "jpg", "webp": "webp", "avif": "avif"}


@dataclass(frozen=True, slots=True)
class Recipe:
    """The parameters of one variant: the sides of its box, if any, how the picture is fitted, and the format."""

    width: Step | None
    height: Step | None
    fit: Fit
    format: Format

    @property
    def box(self) -> Size:
        """The box that the picture is fitted into."""
        if self.width is None and self.height is None:
            return Step.GIANT, Step.GIANT
        return self.width or OPEN_SIDE, self.height or OPEN_SIDE

    @property
    def shape(self) -> Fit:
        """The way it is fitted: ``contain`` without both sides, as there is nothing to cover."""
        return self.fit if self.width and self.height else "contain"

    @property
    def name(self) -> str:
        """The identity of the variant among those of its picture; at most 32 characters."""
        return f"{self.width or 0:d}x{self.height or 0:d}-{self.shape}.{self.format}"


def wanted_format(accept: str) -> Format:
    """Return the best format that an ``Accept`` header takes (RFC 9110, section 12.5.1); JPEG if it is silent.

    AVIF and WebP count only where they are named: ``image/*`` is said by clients that know neither.
    """
    weights: dict[str, float] = {}
    for part in accept.split(","):
        name, *parameters = (piece.strip().lower() for piece in part.split(";"))
        weights[name] = _weight(parameters)
    jpeg = next((weights[name] for name in ("image/jpeg", "image/*", "*/*") if name in weights), 0.0)
    offered: list[tuple[float, Format]] = [
        (weights.get("image/avif", 0.0), "avif"),
        (weights.get("image/webp", 0.0), "webp"),
        (jpeg, "jpeg"),
    ]
    weight, best = max(offered, key=lambda offer: offer[0])
    return best if weight > 0 else "jpeg"


def _weight(parameters: list[str]) -> float:
    for parameter in parameters:
        if parameter.startswith("q="):
            try:
                weight = float(parameter[2:])
            except ValueError:
                return 0.0
            # A comparison that NaN fails.
            return weight if 0 <= weight <= 1 else 0.0
    return 1.0
