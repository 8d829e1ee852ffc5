"""Conversion of colours to sRGB, with Little CMS through Pillow: what screens expect of numbers without a profile.

Variants and turned pictures carry no profile, so their numbers are converted. Whether a profile asks for that is decided by
what it does to colours, never by its name: a linear profile may be called "sRGB", and numbers kept without it are far too
dark for good.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Final

from PIL import Image, ImageCms

from tradepost.media.containers.icc import GREY, PRINT, RGB, Profile

TOLERANCE: Final = 2
"""How far, of 255, any channel of any colour may be moved by a profile that is taken for sRGB's; nobody sees that."""

_MODES: Final = {GREY: "L", RGB: "RGB", PRINT: "CMYK"}
_EXPLAINED: Final = {1: (GREY, RGB), 3: (RGB,), 4: (PRINT,)}
"""Spaces of profiles that can speak of a picture with so many channels."""
_NEUTRAL: Final = 2
"""How far, of 255, the channels of a converted grey may differ for it to stay grey."""
_QUICK: Final = ImageCms.Flags.NOWHITEONWHITEFIXUP
"""White stays the white that the profile says, as in browsers."""
_EXACT: Final = ImageCms.Flags.NOOPTIMIZE | _QUICK
"""Slow, and right for dark greys too, which the shortcuts of Little CMS make half as bright: for few colours."""
_STEPS: Final = (0, 16, 48, 96, 144, 192, 224, 240, 255)


@dataclass(frozen=True, slots=True)
class Conversion:
    """A way from the numbers of one kind of picture to sRGB."""

    profile: ImageCms.ImageCmsProfile
    space: bytes

    def apply(self, image: Image.Image) -> Image.Image:
        """Return an image (L, LA, RGB, RGBA, CMYK) in sRGB, the same one where possible."""
        if image.mode in {"L", "LA"}:
            return self._grey(image)
        output = "RGB" if image.mode == "CMYK" else image.mode
        transform = _transform(self.profile, image.mode, output)
        return transform.apply(image) if output != image.mode else transform.apply_in_place(image)

    def _grey(self, image: Image.Image) -> Image.Image:
        """Convert each of the 256 greys once."""
        channels = self.greys()
        if all(max(grey) - min(grey) <= _NEUTRAL for grey in zip(*channels, strict=True)):
            table = channels[1]
            return image.point([*table, *range(256)] if image.mode == "LA" else table)
        grey = image.getchannel(0)
        bands = [grey.point(table) for table in channels]
        if image.mode == "LA":
            return Image.merge("RGBA", (*bands, image.getchannel(1)))
        return Image.merge("RGB", bands)

    def greys(self) -> Sequence[Sequence[int]]:
        """Return red, green and blue of all 256 greys."""
        ramp = Image.frombytes("L", (256, 1), bytes(range(256)))
        mode = _MODES[self.space]
        shown = _transform(self.profile, mode, "RGB", flags=_EXACT).apply(ramp.convert(mode))
        return [list(channel.tobytes()) for channel in shown.split()]

    def moves(self) -> bool:
        """Whether any colour is moved by more than the tolerance."""
        if self.space == PRINT:
            _transform(self.profile, "CMYK", "RGB", flags=_EXACT)  # Fails for a profile that cannot be used.
            return True
        if self.space == GREY:
            return any(
                abs(value - grey) > TOLERANCE for table in self.greys() for grey, value in enumerate(table)
            )
        colours = bytes(value for colour in product(_STEPS, repeat=3) for value in colour)
        colours += bytes(value for grey in range(256) for value in (grey,) * 3)
        image = Image.frombytes("RGB", (len(colours) // 3, 1), colours)
        shown = _transform(self.profile, "RGB", "RGB", flags=_EXACT).apply(image).tobytes()
        return any(abs(before - after) > TOLERANCE for before, after in zip(colours, shown, strict=True))


def conversion_of(profile: Profile | None, *, channels: int) -> Conversion | None:
    """Return how a picture with so many channels becomes sRGB; None where its numbers are sRGB's, or are taken for them.

    They are where there is no profile, where it cannot be used or speaks of another kind of picture (as in browsers), and
    where it moves no colour by more than ``TOLERANCE``.
    """
    if profile is None or profile.space not in _EXPLAINED[channels]:
        return None
    try:
        conversion = Conversion(ImageCms.ImageCmsProfile(io.BytesIO(profile.data)), profile.space)
        return conversion if conversion.moves() else None
    except Exception:  # noqa: BLE001 - whatever Little CMS finds wrong with it, the picture is good without it
        return None


def _transform(
    profile: ImageCms.ImageCmsProfile, given: str, wanted: str, *, flags: ImageCms.Flags = _QUICK
) -> ImageCms.ImageCmsTransform:
    # Relative: black is left as dark as a profile says, as browsers leave it.
    return ImageCms.ImageCmsTransform(
        profile,
        ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")),
        given,
        wanted,
        intent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        flags=flags,
    )
