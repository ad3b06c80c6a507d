import struct

import cv2
import numpy as np
import pytest

from efdet_jax.data.files import decode_image, image_size, read_image
from efdet_jax.errors import UsageError

PIXELS = np.random.default_rng(0).integers(0, 255, (20, 31, 3), dtype=np.uint8)


def encode(extension: str, image=PIXELS) -> bytes:
    return cv2.imencode(extension, image[..., ::-1])[1].tobytes()


def with_exif_orientation(jpeg: bytes, orientation: int) -> bytes:
    entry = struct.pack("<HHII", 0x0112, 3, 1, orientation)
    tiff = b"II*\0" + struct.pack("<IH", 8, 1) + entry + struct.pack("<I", 0)
    segment = b"Exif\0\0" + tiff
    return (
        jpeg[:2]
        + b"\xff\xe1"
        + struct.pack(">H", len(segment) + 2)
        + segment
        + jpeg[2:]
    )


def test_channels_come_in_the_order_red_green_blue(tmp_path):
    path = tmp_path / "image.png"
    path.write_bytes(encode(".png"))
    np.testing.assert_array_equal(read_image(path), PIXELS)


def test_grey_and_16_bit_and_transparent_images_become_rgb_bytes():
    grey = cv2.imencode(".png", PIXELS[..., 0])[1].tobytes()
    deep = cv2.imencode(".png", PIXELS.astype(np.uint16) * 257)[1].tobytes()
    clear = cv2.imencode(".png", cv2.cvtColor(PIXELS, cv2.COLOR_RGB2BGRA))[1].tobytes()
    for encoded in (grey, deep, clear):
        image = decode_image(encoded, name="test")
        assert image.shape == PIXELS.shape
        assert image.dtype == np.uint8


def test_an_exif_rotation_does_not_move_the_image_from_under_its_boxes():
    jpeg = encode(".jpg")
    turned = with_exif_orientation(jpeg, 6)
    obeyed = cv2.imdecode(np.frombuffer(turned, np.uint8), cv2.IMREAD_COLOR)
    assert obeyed.shape == (31, 20, 3)  # The tag is one that OpenCV would obey.
    np.testing.assert_array_equal(
        decode_image(turned, name="test"), decode_image(jpeg, name="test")
    )
    assert image_size(turned, name="test") == (20, 31)


@pytest.mark.parametrize("extension", [".jpg", ".png", ".bmp", ".webp"])
def test_image_size_is_that_of_the_decoded_image(extension):
    assert image_size(encode(extension), name="test") == (20, 31)


def test_image_size_of_real_photos_is_that_of_the_decoded_image(shared):
    photos = sorted((shared / "data" / "photos").glob("*.jpg"))
    assert photos
    for path in photos:
        size = image_size(path.read_bytes(), name=path.name)
        assert size == read_image(path).shape[:2]


@pytest.mark.parametrize(
    "content", [b"", b"text", b"\xff\xd8\xff", encode(".png")[:30]]
)
def test_a_damaged_image_is_named(tmp_path, content):
    path = tmp_path / "damaged.jpg"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=r"damaged\.jpg: is no image"):
        read_image(path)


def test_a_missing_image_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"absent\.jpg: cannot be read"):
        read_image(tmp_path / "absent.jpg")
