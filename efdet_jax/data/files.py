"""Reading and decoding image files, for data sets that keep them as files or bytes."""

import os
import pathlib
import reprlib

import cv2
import numpy as np
from etils import epath
from jaxtyping import UInt8

from efdet_jax.data.headers import PNG_SIGNATURE, stated_size, unturned
from efdet_jax.errors import UsageError
from efdet_jax.regular import read_regular

MOST_PIXELS = 2**28
"""Of an image; the largest phone cameras have 200 million. Each takes three bytes."""
MOST_BYTES = 2**33
"""Of any file of a data set."""
_MOST_SCANS = 100
"""Of a JPEG. Each goes over all of its pixels, and takes ten bytes to write."""
_MOST_CHUNKS = 2**20
"""Of a PNG; encoders put some kilobytes into each."""
_JPEG_SIGNATURE = b"\xff\xd8"
_JPEG_SCAN, _JPEG_END = b"\xff\xda", b"\xff\xd9"


def read_bytes(path: epath.Path) -> bytes:
    """Reads a file of a data set.

    Raises:
      UsageError: It is missing or cannot be read, is no regular file, or too large.
    """
    try:
        is_remote = "://" in os.fspath(path)
        return path.read_bytes() if is_remote else read_regular(path, most=MOST_BYTES)
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
        raise UsageError(f"{where}: {reprlib.repr(name)} is no file name; correct it")
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
      encoded: The bytes of a JPEG, PNG, BMP, GIF, TIFF or WebP.
      name: What to call the image in an error.
      upright: Whether to turn it as its EXIF tag asks, for an image that has no
        annotations.

    Raises:
      UsageError: The bytes are no image, or a part of one, or state a size that is too
        large; then nothing has been decoded.
    """
    size = image_size(encoded, name=name)
    if encoded.startswith(_JPEG_SIGNATURE):
        _check_jpeg(encoded, name)
    if encoded.startswith(PNG_SIGNATURE):
        _check_png(encoded, name)
    flags = cv2.IMREAD_COLOR_RGB | (0 if upright else cv2.IMREAD_IGNORE_ORIENTATION)
    stored = encoded if upright else unturned(encoded)
    # It raises on some wrong bytes and returns None on others.
    try:
        image = cv2.imdecode(np.frombuffer(stored, np.uint8), flags)
    except cv2.error:
        image = None
    if image is None:
        raise _no_image(encoded, name)
    # Turned by a quarter, it has its sides the other way round.
    sizes = (size, size[::-1]) if upright else (size,)
    if image.shape[:2] not in sizes:
        raise UsageError(
            f"{name}: states {size[0]} x {size[1]} pixels (height x width), but holds"
            f" {image.shape[0]} x {image.shape[1]}; replace it or leave it out"
        )
    return image


def _no_image(encoded: bytes, name: str) -> UsageError:
    return UsageError(
        f"{name}: is no image that can be decoded ({len(encoded)} bytes), which JPEG,"
        " PNG, BMP, GIF, TIFF and WebP can; replace it or leave it out"
    )


def _check_jpeg(jpeg: bytes, name: str) -> None:
    # OpenCV would fill the rest with grey, and say nothing.
    if _is_cut(jpeg):
        raise UsageError(
            f"{name}: is a JPEG without its end ({len(jpeg)} bytes); copy the file"
            " again or leave it out"
        )
    if (scans := jpeg.count(_JPEG_SCAN)) > _MOST_SCANS:
        raise UsageError(
            f"{name}: is a JPEG of {scans} scans, more than {_MOST_SCANS}; save it"
            " again or leave it out"
        )


def _is_cut(jpeg: bytes) -> bool:
    """Says whether the last picture of a JPEG has no end; a preview comes earlier.

    Neither marker can be met within the picture, where 0xFF is followed by 0.
    """
    return jpeg.rfind(_JPEG_END) < jpeg.rfind(_JPEG_SCAN)


def _check_png(png: bytes, name: str) -> None:
    # OpenCV takes the memory that a chunk says it has, up to four gigabytes.
    at = len(PNG_SIGNATURE)
    for _ in range(_MOST_CHUNKS):
        head = png[at : at + 8]
        if len(head) < 8:
            return
        at += 8 + int.from_bytes(head[:4])
        if at > len(png):
            raise UsageError(
                f"{name}: is a PNG without its end ({len(png)} bytes); copy the file"
                " again or leave it out"
            )
        if head[4:] == b"IEND":
            return
        at += 4  # The chunk's checksum.
    raise UsageError(
        f"{name}: is a PNG of more than {_MOST_CHUNKS:,} chunks; save it again or leave"
        " it out"
    )


def stated_side(number: float) -> int:
    """Returns a height or width that a data set states, 0 if it can be none."""
    return int(number) if 1 <= number < 2**31 else 0


def image_size(encoded: bytes, *, name: str) -> tuple[int, int]:
    """Finds the height and width of what `decode_image` would return.

    They are read from the header, a hundred times faster than the image.

    Raises:
      UsageError: The bytes are no image, or one of more than `MOST_PIXELS` pixels.
    """
    size = stated_size(encoded)
    if size is None:
        raise _no_image(encoded, name)
    height, width = size
    if height * width > MOST_PIXELS:
        raise UsageError(
            f"{name}: states {height} x {width} pixels (height x width), more than the"
            f" {MOST_PIXELS:,} that are decoded; cut it into smaller images"
        )
    return size
