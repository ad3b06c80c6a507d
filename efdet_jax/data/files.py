"""Decoding image files, for the data sets that keep them as files or as bytes."""

import pathlib
import struct

import cv2
import numpy as np
from jaxtyping import UInt8

from efdet_jax.errors import UsageError

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_JPEG_SIGNATURE = b"\xff\xd8"
_JPEG_FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""Markers of the header that states the size; the three left out mean other things."""


def read_bytes(path: pathlib.Path) -> bytes:
    """Reads a file of a data set.

    Raises:
      UsageError: It is missing or cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(
            f"{path}: cannot be read ({error.strerror}); check the folder of the data"
            " set in the config"
        ) from error


def read_image(path: pathlib.Path) -> UInt8[np.ndarray, "h w 3"]:
    """Decodes an image file to RGB, as `decode_image` does.

    Raises:
      UsageError: It is missing or is no image.
    """
    return decode_image(read_bytes(path), name=str(path))


def decode_image(encoded: bytes, *, name: str) -> UInt8[np.ndarray, "h w 3"]:
    """Decodes an image to RGB in the orientation in which its pixels are stored.

    Annotations are in stored pixels: COCO and VOC hold photos whose EXIF tag asks for a
    rotation, and a decoder that obeys it moves the image away from under its boxes.

    Args:
      encoded: The bytes of a JPEG, PNG or other format that OpenCV knows.
      name: What to call the image in an error.

    Raises:
      UsageError: The bytes are no image.
    """
    flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
    # OpenCV raises on no bytes and returns None on wrong ones.
    image = cv2.imdecode(np.frombuffer(encoded, np.uint8), flags) if encoded else None
    if image is None:
        raise UsageError(
            f"{name}: is no image that can be decoded ({len(encoded)} bytes);"
            " replace it or remove it from the data set"
        )
    return image


def image_size(encoded: bytes, *, name: str) -> tuple[int, int]:
    """Finds the height and width of what `decode_image` would return.

    JPEG and PNG state them in their first bytes, a hundred times faster to read than
    the image; any other format is decoded.

    Raises:
      UsageError: The bytes are no image.
    """
    if encoded.startswith(_PNG_SIGNATURE) and len(encoded) >= 24:
        width, height = struct.unpack(">II", encoded[16:24])
        return height, width
    if encoded.startswith(_JPEG_SIGNATURE):
        at = 2
        while at + 9 <= len(encoded) and encoded[at] == 0xFF:
            marker, length = struct.unpack(">BH", encoded[at + 1 : at + 4])
            if marker in _JPEG_FRAMES:
                height, width = struct.unpack(">HH", encoded[at + 5 : at + 9])
                return height, width
            at += 2 + length
    height, width, _ = decode_image(encoded, name=name).shape
    return height, width
