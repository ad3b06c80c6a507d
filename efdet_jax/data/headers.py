"""The size that an image file states, read without decoding it."""

import re
import struct
from collections.abc import Callable

Size = tuple[int, int]
"""Height and width, pixels."""

_JPEG_FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""Markers of the segment that states the size; the three left out mean other things."""
_JPEG_BARE = {0x01, *range(0xD0, 0xD8)}
"""Markers without a segment."""
_JPEG_MARKER = re.compile(rb"\xff([^\x00\xff])")
_MOST_SEGMENTS = 4096
"""Of a JPEG before its size; cameras write dozens."""

_TIFF_WIDTH, _TIFF_HEIGHT = 256, 257
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
    order = "<" if encoded.startswith(b"II") else ">"
    (version,) = struct.unpack_from(f"{order}H", encoded, 2)
    # The one with 64 bits has wider counts and offsets.
    start, counts, entry, value = (
        (8, "Q", 20, 12) if version == 43 else (4, "H", 12, 8)
    )
    (at,) = struct.unpack_from(f"{order}{'Q' if version == 43 else 'I'}", encoded, start)
    (count,) = struct.unpack_from(f"{order}{counts}", encoded, at)
    at += struct.calcsize(counts)
    sizes: dict[int, int] = {}
    for place in range(at, min(at + count * entry, len(encoded)), entry):
        tag, kind = struct.unpack_from(f"{order}HH", encoded, place)
        if tag in (_TIFF_WIDTH, _TIFF_HEIGHT):
            number = f"{order}{_TIFF_NUMBERS[kind]}"
            # Of a tag that comes twice, the first counts.
            sizes.setdefault(tag, *struct.unpack_from(number, encoded, place + value))
    return sizes[_TIFF_HEIGHT], sizes[_TIFF_WIDTH]


_READERS: tuple[tuple[bytes, Callable[[bytes], Size]], ...] = (
    (b"\xff\xd8", _jpeg),
    (b"\x89PNG\r\n\x1a\n", _png),
    (b"BM", _bmp),
    (b"GIF87a", _gif),
    (b"GIF89a", _gif),
    (b"RIFF", _webp),
    (b"II*\0", _tiff),
    (b"MM\0*", _tiff),
    (b"II+\0", _tiff),
    (b"MM\0+", _tiff),
)
"""The first bytes of a format, and what reads its size."""
