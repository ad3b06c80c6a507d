"""Reading and decoding image files, for data sets that keep them as files or bytes."""

import pathlib
import struct

import cv2
import numpy as np
from etils import epath
from jaxtyping import UInt8

from efdet_jax.errors import UsageError

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_JPEG_SIGNATURE = b"\xff\xd8"
_JPEG_SCAN, _JPEG_END = b"\xff\xda", b"\xff\xd9"
_JPEG_FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""Markers of the header that states the size; the three left out mean other things."""


def read_bytes(path: epath.Path) -> bytes:
    """Reads a file of a data set.

    Raises:
      UsageError: It is missing or cannot be read.
    """
    try:
        return path.read_bytes()
    # A path may hold what no file system can: a zero byte is a ValueError.
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(
            f"{path}: cannot be read ({reason}); check the folder of the data set in"
            " the config"
        ) from error


def read_text(path: epath.Path) -> str:
    """Reads a text file of a data set, in UTF-8 with or without a mark of its order.

    Raises:
      UsageError: It is missing, cannot be read or is no text.
    """
    try:
        return read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{path}: is no UTF-8 text ({error.reason} at byte {error.start}); save it"
            " as UTF-8"
        ) from error


def path_inside(folder: epath.Path, name: object, *, where: str) -> epath.Path:
    """Returns the path of a file that a data set names, which must lie in its folder.

    A data set comes from others: what it names must not make us read files elsewhere.
    Links are followed: only who can write to the folder can make them.

    Args:
      folder: where the data set's files are.
      name: what the data set calls the file; Windows' separators will do.
      where: what named it, for an error.

    Raises:
      UsageError: it is no name, absolute, or has parts like "..".
    """
    if not isinstance(name, str) or not name.strip() or "\0" in name:
        raise UsageError(f"{where}: {name!r} is no file name; correct it")
    if not is_inside(name):
        raise UsageError(
            f"{where}: {name!r} leads out of the folder {folder}; name files relative"
            " to the folder and inside of it"
        )
    return folder.joinpath(*pathlib.PureWindowsPath(name).parts)


def is_inside(name: str) -> bool:
    """Says whether a path, with anybody's separators, stays in the folder it is of."""
    windows = pathlib.PureWindowsPath(name)
    return not (windows.drive or windows.root or ".." in windows.parts)


def decode_image(
    encoded: bytes, *, name: str, upright: bool = False
) -> UInt8[np.ndarray, "h w 3"]:
    """Decodes an image to RGB in the orientation in which its pixels are stored.

    Annotations are in stored pixels: COCO and VOC hold photos whose EXIF tag asks for a
    rotation, and a decoder that obeys it moves the image away from under its boxes.

    Args:
      encoded: The bytes of a JPEG, PNG or other format that OpenCV knows.
      name: What to call the image in an error.
      upright: Whether to turn it as its EXIF tag asks, for an image that has no
        annotations.

    Raises:
      UsageError: The bytes are no image, or a part of one.
    """
    # OpenCV would fill the rest of a JPEG with grey, and say nothing.
    if encoded.startswith(_JPEG_SIGNATURE) and _is_cut(encoded):
        raise UsageError(
            f"{name}: is a JPEG without its end ({len(encoded)} bytes); copy the file"
            " again or leave it out"
        )
    flags = cv2.IMREAD_COLOR_RGB | (0 if upright else cv2.IMREAD_IGNORE_ORIENTATION)
    # It raises on no bytes and on too many pixels, and returns None on wrong ones.
    try:
        image = cv2.imdecode(np.frombuffer(encoded, np.uint8), flags)
    except cv2.error:
        image = None
    if image is None:
        raise UsageError(
            f"{name}: is no image that can be decoded ({len(encoded)} bytes);"
            " replace it or leave it out"
        )
    return image


def _is_cut(jpeg: bytes) -> bool:
    """Says whether the last picture of a JPEG has no end; a preview comes earlier.

    Neither marker can be met within the picture, where 0xFF is followed by 0.
    """
    return jpeg.rfind(_JPEG_END) < jpeg.rfind(_JPEG_SCAN)


def stated_side(number: float) -> int:
    """Returns a height or width that a data set states, 0 if it can be none."""
    return int(number) if 1 <= number < 2**31 else 0


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
