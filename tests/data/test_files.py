import struct

import cv2
import numpy as np
import pytest
from etils import epath

from efdet_jax.data.files import (
    decode_image,
    image_size,
    path_inside,
    read_bytes,
    read_text,
)
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


def test_channels_come_in_the_order_red_green_blue():
    np.testing.assert_array_equal(decode_image(encode(".png"), name="test"), PIXELS)


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
        encoded = path.read_bytes()
        size = image_size(encoded, name=path.name)
        assert size == decode_image(encoded, name=path.name).shape[:2]


@pytest.mark.parametrize(
    "content", [b"", b"text", b"\xff\xd8\xff", encode(".png")[:30]]
)
def test_a_damaged_image_is_named(content):
    with pytest.raises(UsageError, match=r"damaged\.jpg: is no image"):
        decode_image(content, name="damaged.jpg")


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9, 0.99])
def test_a_jpeg_that_was_cut_is_named_not_filled_with_grey(share):
    whole = encode(".jpg", np.tile(PIXELS, (4, 4, 1)))
    decode_image(whole, name="whole.jpg")
    with pytest.raises(UsageError, match=r"cut\.jpg: is a JPEG without its end"):
        decode_image(whole[: int(share * len(whole))], name="cut.jpg")


def test_what_follows_the_end_of_a_jpeg_is_left_alone():
    decode_image(encode(".jpg") + b"\0" * 100 + b"notes", name="test")


@pytest.mark.parametrize(
    "name", ["/a.jpg", "../a.jpg", "b/../../a.jpg", "C:\\a.jpg", "\\\\host\\a.jpg", ""]
)
def test_no_name_leads_out_of_the_folder(tmp_path, name):
    with pytest.raises(UsageError, match=r"list\.txt: .*(leads out|no file name)"):
        path_inside(epath.Path(tmp_path), name, where="list.txt")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"absent\.jpg: cannot be read"):
        read_bytes(epath.Path(tmp_path) / "absent.jpg")


def test_a_text_that_is_none_is_named(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"caf\xe9")
    with pytest.raises(UsageError, match=r"a\.txt: is no UTF-8 .* at byte 3"):
        read_text(epath.Path(tmp_path) / "a.txt")
