"""The size that an image file states, read without decoding it."""

import re
import struct
from collections.abc import Callable
from typing import NamedTuple

Size = tuple[int, int]
"""Height and width, pixels."""

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_JPEG_FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""Markers of the segment that states the size; the three left out mean other things."""
_JPEG_BARE = {0x01, *range(0xD0, 0xD8)}
"""Markers without a segment."""
_JPEG_MARKER = re.compile(rb"\xff([^\x00\xff])")
_MOST_SEGMENTS = 4096
"""Of a JPEG before its size; cameras write dozens."""

_TIFF_MARKS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_TIFF_WIDTH, _TIFF_HEIGHT, _TIFF_TURN = 256, 257, 274
_MOST_FIELDS = 2**16
_TIFF_NUMBERS = {1: "B", 3: "H", 4: "I", 16: "Q"}
"""Unsigned integers by the type of a tag."""


def stated_size(encoded: bytes) -> Size | None:
    """Returns the height and width that an image file states.

    Args:
      encoded: a JPEG, PNG, BMP, GIF, TIFF or WebP, or its first part.

    Returns:
      None for any other format, and where no size larger than nothing is stated.

    Source: the formats' specifications; of what these leave open, what libjpeg,
      libtiff and OpenCV make of it.
    """
    for mark, read in _READERS:
        if encoded.startswith(mark):
            try:
                height, width = read(encoded)
            # What is too short to state its size, or garbled before it.
            except (struct.error, KeyError, OverflowError, ValueError):
                return None
            return (height, width) if height > 0 and width > 0 else None
    return None


def unturned(encoded: bytes) -> bytes:
    """Returns an image file that does not ask for a rotation, if it is a TIFF.

    OpenCV obeys a TIFF's tag whatever it is told.

    Args:
      encoded: an image that states a size.
    """
    if not encoded.startswith(_TIFF_MARKS):
        return encoded
    field = _tiff_fields(encoded).get(_TIFF_TURN)
    if field is None:
        return encoded
    changed = bytearray(encoded)
    struct.pack_into(field.form, changed, field.place, 1)
    return bytes(changed)


def _png(encoded: bytes) -> Size:
    if encoded[12:16] != b"IHDR":
        raise ValueError("its first chunk is another")
    width, height = struct.unpack_from(">II", encoded, 16)
    return height, width


def _jpeg(encoded: bytes) -> Size:
    at = 2
    for _ in range(_MOST_SEGMENTS):
        found = _JPEG_MARKER.search(encoded, at)
        if found is None:
            break
        (marker,), at = found[1], found.end()
        if marker in _JPEG_FRAMES:
            height, width = struct.unpack_from(">HH", encoded, at + 3)
            return height, width
        if marker not in _JPEG_BARE:
            at += struct.unpack_from(">H", encoded, at)[0]
    raise ValueError("states no size")


def _bmp(encoded: bytes) -> Size:
    (length,) = struct.unpack_from("<I", encoded, 14)
    width, height = struct.unpack_from("<HH" if length == 12 else "<ii", encoded, 18)
    # One whose rows go down has a negative height.
    return abs(height), width


def _gif(encoded: bytes) -> Size:
    width, height = struct.unpack_from("<HH", encoded, 6)
    return height, width


def _webp(encoded: bytes) -> Size:
    if encoded[8:12] != b"WEBP":
        raise ValueError("is another RIFF file")
    match encoded[12:16]:
        case b"VP8X":
            low = struct.unpack_from("<HBHB", encoded, 24)
            return 1 + low[2] + (low[3] << 16), 1 + low[0] + (low[1] << 16)
        case b"VP8L":
            (bits,) = struct.unpack_from("<I", encoded, 21)
            return 1 + (bits >> 14 & 0x3FFF), 1 + (bits & 0x3FFF)
        case b"VP8 ":
            width, height = struct.unpack_from("<HH", encoded, 26)
            return height & 0x3FFF, width & 0x3FFF
    raise ValueError("its first chunk is another")


def _tiff(encoded: bytes) -> Size:
    fields = _tiff_fields(encoded)
    height, width = (
        struct.unpack_from(fields[tag].form, encoded, fields[tag].place)[0]
        for tag in (_TIFF_HEIGHT, _TIFF_WIDTH)
    )
    return height, width


class _Field(NamedTuple):
    """Where a number of a TIFF is, and how it is written."""

    form: str
    place: int


def _tiff_fields(encoded: bytes) -> dict[int, _Field]:
    """Returns the numbers of the first picture by tag; of two with one, the first."""
    order = "<" if encoded.startswith(b"II") else ">"
    (version,) = struct.unpack_from(f"{order}H", encoded, 2)
    # The one with 64 bits has wider counts and offsets.
    start, offset, count, length, value = (
        (8, "Q", "Q", 20, 12) if version == 43 else (4, "I", "H", 12, 8)
    )
    (at,) = struct.unpack_from(f"{order}{offset}", encoded, start)
    (number,) = struct.unpack_from(f"{order}{count}", encoded, at)
    at += struct.calcsize(count)
    fields: dict[int, _Field] = {}
    end = min(at + min(number, _MOST_FIELDS) * length, len(encoded) - length + 1)
    for place in range(at, end, length):
        tag, kind = struct.unpack_from(f"{order}HH", encoded, place)
        if kind in _TIFF_NUMBERS:
            field = _Field(f"{order}{_TIFF_NUMBERS[kind]}", place + value)
            fields.setdefault(tag, field)
    return fields


_READERS: tuple[tuple[bytes, Callable[[bytes], Size]], ...] = (
    (b"\xff\xd8", _jpeg),
    (PNG_SIGNATURE, _png),
    (b"BM", _bmp),
    (b"GIF87a", _gif),
    (b"GIF89a", _gif),
    (b"RIFF", _webp),
    *((mark, _tiff) for mark in _TIFF_MARKS),
)
"""The first bytes of a format, and what reads its size."""
