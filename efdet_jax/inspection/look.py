"""What an image file is, beside its pixels."""

import hashlib
import io
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from efdet_jax.data.headers import PNG_SIGNATURE

UPRIGHT = 1
_ORIENTATION_TAG = 0x0112

_KINDS = {
    "1": "grey",
    "L": "grey",
    "LA": "grey with alpha",
    "PA": "with alpha",
    "RGBA": "with alpha",
    "CMYK": "CMYK",
    "YCCK": "CMYK",
    "I;16": "16-bit grey",
    "I;16B": "16-bit grey",
    "I": "16-bit grey",
    "F": "float",
}
"""Pillow's modes that are not eight-bit colour; a palette is as good as that."""


class Look(NamedTuple):
    """What there is to say of an image file."""

    kind: str
    """What it is other than eight-bit colour; empty if nothing."""
    orientation: int
    """EXIF's: how a viewer would turn it; `UPRIGHT` if not at all."""
    digest: bytes
    """Of the pixels: images with the same are the same."""


def look(encoded: bytes, image: UInt8[np.ndarray, "h w 3"]) -> Look:
    """Looks at a file and at what it was decoded to.

    Args:
      encoded: the file; nothing if the image was drawn.
      image: its pixels.
    """
    digest = hashlib.blake2b(image.tobytes(), digest_size=16)
    digest.update(str(image.shape).encode())
    kind, orientation = _header(encoded)
    return Look(kind, orientation, digest.digest())


def _header(encoded: bytes) -> tuple[str, int]:
    """Returns the kind and the orientation, as far as Pillow can tell."""
    try:
        # It reads the header alone, and refuses what would be too large to decode.
        with Image.open(io.BytesIO(encoded)) as opened:
            orientation = opened.getexif().get(_ORIENTATION_TAG, UPRIGHT)
            kind = _KINDS.get(opened.mode, "")
            # It reads colour of sixteen bits as eight.
            if not kind and _is_deep_png(encoded):
                kind = "16-bit colour"
            return kind, orientation if isinstance(orientation, int) else UPRIGHT
    # A damaged tag may raise anything; the pixels were fine.
    except Exception:
        return "", UPRIGHT


def _is_deep_png(encoded: bytes) -> bool:
    return encoded.startswith(PNG_SIGNATURE) and encoded[24:25] == b"\x10"
