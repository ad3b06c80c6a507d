"""Image files that were made to do harm: refused in a line, before they do."""

import io
import os
import socket
import struct
import zlib

import cv2
import numpy as np
import pytest
from etils import epath
from hostile.bounded import fuzzed, in_time
from hostile.image_samples import samples
from PIL import Image

from efdet_jax.data import files
from efdet_jax.data.coco import Coco
from efdet_jax.data.files import decode_image, image_size, read_bytes
from efdet_jax.errors import UsageError

SAMPLES = samples()


def png(height, width):
    def chunk(kind, content):
        checked = kind + content
        return (
            struct.pack(">I", len(content))
            + checked
            + struct.pack(">I", zlib.crc32(checked))
        )

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(bytes(1000)))
    return b"\x89PNG\r\n\x1a\n" + header + pixels + chunk(b"IEND", b"")


def jpeg(height, width):
    whole = bytearray(SAMPLES["jpeg"])
    struct.pack_into(">HH", whole, whole.index(b"\xff\xc0") + 5, height, width)
    return bytes(whole)


def bmp(height, width):
    whole = bytearray(SAMPLES["bmp"])
    struct.pack_into("<ii", whole, 18, width, height)
    return bytes(whole)


def gif(height, width):
    whole = bytearray(SAMPLES["gif"])
    struct.pack_into("<HH", whole, 6, width, height)
    return bytes(whole)


def tiff(height, width):
    file = io.BytesIO()
    tags = {256: width, 257: height}
    Image.new("RGB", (5, 4)).save(file, "tiff")
    whole = bytearray(file.getvalue())
    (at,) = struct.unpack_from("<I", whole, 4)
    (count,) = struct.unpack_from("<H", whole, at)
    for place in range(at + 2, at + 2 + 12 * count, 12):
        (tag,) = struct.unpack_from("<H", whole, place)
        if tag in tags:
            struct.pack_into("<HII", whole, place + 2, 4, 1, tags[tag])
    return bytes(whole)


def webp(height, width):
    whole = bytearray(SAMPLES["webp moving"])
    assert whole[12:16] == b"VP8X"
    whole[24:27] = (width - 1).to_bytes(3, "little")
    whole[27:30] = (height - 1).to_bytes(3, "little")
    return bytes(whole)


BOMBS = [png, jpeg, bmp, gif, tiff, webp]


@pytest.mark.parametrize("bomb", BOMBS, ids=[bomb.__name__ for bomb in BOMBS])
@pytest.mark.parametrize("read", [decode_image, image_size])
def test_a_size_that_would_fill_memory_is_refused_from_the_header(
    bomb, read, monkeypatch
):
    monkeypatch.delattr(files.cv2, "imdecode")
    with pytest.raises(UsageError) as caught:
        read(bomb(50_000, 49_999), name="bomb")
    assert str(caught.value).startswith(
        "bomb: states 50000 x 49999 pixels (height x width), more than the 268,435,456"
    )


@pytest.mark.parametrize(("height", "width"), [(1, 65535), (65535, 1)])
@pytest.mark.parametrize("extension", [".png", ".bmp", ".tiff", ".gif", ".jpg"])
def test_the_longest_strips_are_images(extension, height, width):
    if extension == ".jpg":
        height, width = min(height, 65500), min(width, 65500)  # libjpeg's own limit
    strip = np.full((height, width, 3), 255, np.uint8)
    encoded = cv2.imencode(extension, strip)[1].tobytes()
    assert image_size(encoded, name="strip") == (height, width)
    assert decode_image(encoded, name="strip").shape == (height, width, 3)


@pytest.mark.parametrize("name", SAMPLES)
def test_the_header_says_what_pillow_and_the_pixels_say(name):
    encoded = SAMPLES[name]
    with Image.open(io.BytesIO(encoded)) as opened:
        width, height = opened.size
    assert image_size(encoded, name=name) == (height, width)
    image = decode_image(encoded, name=name)
    assert (image.dtype, image.shape) == (np.uint8, (height, width, 3))


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("big", [False, True])
def test_a_tiff_that_asks_for_a_rotation_is_not_turned(turn, big):
    pixels = np.random.default_rng(0).integers(0, 256, (24, 37, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "tiff", tiffinfo={274: turn}, big_tiff=big)
    np.testing.assert_array_equal(decode_image(file.getvalue(), name="t"), pixels)


@pytest.mark.parametrize("size", [(0, 5), (5, 0)])
@pytest.mark.parametrize("bomb", BOMBS[:-1], ids=[b.__name__ for b in BOMBS[:-1]])
def test_a_size_of_nothing_is_no_image(bomb, size):
    for read in (decode_image, image_size):
        with pytest.raises(UsageError, match="no image"):
            read(bomb(*size), name="test")


@pytest.mark.parametrize(
    "encoded",
    [
        b"\xff\xd8" + b"\xff\xe0\0\x02" * 10**6,
        b"\xff\xd8" + b"\xff\xe0\0\0" * 10**6,
        b"\xff\xd8" + b"\xff\xd0" * 10**6,
        b"\xff\xd8" + b"\xff" * 10**7,
        b"\xff\xd8" + bytes(10**7),
        b"II*\0\x08\0\0\0\xff\xff" + b"\0\x01\x03\0" * 10**6,
        b"II*\0" + b"\xff" * 100,
        b"II+\0\x08\0\0\0" + struct.pack("<QQ", 16, 2**64 - 1) + bytes(10**6),
    ],
)
def test_a_header_without_end_comes_to_one(encoded):
    with in_time(5), pytest.raises(UsageError, match="no image"):
        image_size(encoded, name="test")


def test_a_jpeg_of_many_scans_is_refused():
    """Each goes over all pixels again: a few kilobytes would take minutes."""
    whole = SAMPLES["jpeg progressive"]
    last = whole[whole.rindex(b"\xff\xda") : -2]
    many = whole[:-2] + last * 1000 + whole[-2:]
    with in_time(5), pytest.raises(UsageError, match=r"is a JPEG of 10\d\d scans"):
        decode_image(many, name="test")


@pytest.mark.parametrize("kind", [b"PLTE", b"IEND"])
def test_a_png_s_chunk_that_says_it_is_larger_than_the_file_is_refused(kind):
    png = SAMPLES["png palette"]
    place = png.index(kind) - 4
    claimed = png[:place] + (2**32 - 1).to_bytes(4) + png[place + 4 :]
    with in_time(1), pytest.raises(UsageError, match="name: is a PNG without its end"):
        decode_image(claimed, name="name")


def test_a_png_of_very_many_chunks_is_refused():
    png = SAMPLES["png palette"]
    empty = bytes(4) + b"tEXt" + zlib.crc32(b"tEXt").to_bytes(4)
    place = png.index(b"PLTE") - 4
    with in_time(), pytest.raises(UsageError, match="more than 1,048,576 chunks"):
        decode_image(png[:place] + empty * 2**20 + png[place:], name="name")


@pytest.mark.parametrize("other", [".ppm", ".hdr", ".pfm", ".ras"])
def test_formats_of_which_the_header_is_not_read_are_not_decoded(other):
    image = np.full((8, 8, 3), 0.5, np.float32)
    if other not in (".hdr", ".pfm"):
        image = np.full((8, 8, 3), 9, np.uint8)
    encoded = cv2.imencode(other, image)[1].tobytes()
    with pytest.raises(UsageError, match="JPEG, PNG, BMP, GIF, TIFF and WebP"):
        decode_image(encoded, name="test")


def test_a_header_and_pixels_that_contradict_each_other_are_refused(monkeypatch):
    monkeypatch.setattr(files, "stated_size", lambda encoded: (3, 4))
    with pytest.raises(UsageError, match=r"states 3 x 4 .* but holds 24 x 37"):
        decode_image(SAMPLES["png"], name="test")


def make_pipe(path):
    os.mkfifo(path)


def make_socket(path):
    os.chdir(path.parent)  # its name may not be long
    socket.socket(socket.AF_UNIX).bind(path.name)


ODD = {
    "pipe": make_pipe,
    "socket": make_socket,
    "folder": lambda path: path.mkdir(),
    "device": lambda path: path.symlink_to("/dev/zero"),
    "terminal": lambda path: path.symlink_to("/dev/tty"),
    "loop": lambda path: path.symlink_to(path),
    "nothing": lambda path: path.symlink_to("absent"),
    "huge": lambda path: (path.touch(), os.truncate(path, 2**40)),
}


@pytest.mark.parametrize("odd", ODD)
def test_what_is_no_plain_file_is_refused_at_once(odd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ODD[odd](tmp_path / "a.png")
    with in_time(), pytest.raises(UsageError, match=r"a\.png: cannot be read \("):
        read_bytes(epath.Path(tmp_path) / "a.png")


def test_a_pipe_in_place_of_an_image_or_of_annotations_is_refused(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    (tmp_path / "boxes.json").write_text(
        '{"images": [{"id": 1, "file_name": "a.png"}], "annotations": [],'
        ' "categories": [{"id": 1, "name": "cat"}]}'
    )
    with in_time(), pytest.raises(UsageError, match="no regular file"):
        Coco(tmp_path / "boxes.json", tmp_path)
    os.mkfifo(tmp_path / "other.json")
    with in_time(), pytest.raises(UsageError, match="no regular file"):
        Coco(tmp_path / "other.json", tmp_path)


def test_a_link_to_an_image_elsewhere_is_followed(tmp_path):
    (tmp_path / "elsewhere").write_bytes(SAMPLES["png"])
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a.png").symlink_to(tmp_path / "elsewhere")
    assert read_bytes(epath.Path(tmp_path) / "folder" / "a.png") == SAMPLES["png"]


def test_damaged_images_are_decoded_or_refused_within_bounds(tmp_path):
    counted = fuzzed("images.py", tmp_path, 0, 1500)
    decoded, refused = (int(part.split()[0]) for part in counted.split(","))
    assert decoded > 100
    assert refused > 100
