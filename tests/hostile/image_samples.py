"""Small images of every format and kind that is decoded."""

import io

import cv2
import numpy as np
from PIL import Image

HEIGHT, WIDTH = 24, 37


def samples() -> dict[str, bytes]:
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    smooth = cv2.GaussianBlur(noise, (0, 0), 3)
    deep = smooth.astype(np.uint16) * 257
    clear = np.dstack([smooth, noise[..., :1]])
    picture = Image.fromarray(smooth)
    frames = [Image.fromarray(np.roll(smooth, shift, 1)) for shift in (5, 9)]
    moving = {"save_all": True, "append_images": frames, "duration": 50}
    return {
        "jpeg": _cv2(".jpg", smooth),
        "jpeg progressive": _cv2(".jpg", smooth, cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
        "jpeg restarts": _cv2(".jpg", noise, cv2.IMWRITE_JPEG_RST_INTERVAL, 2),
        "jpeg grey": _cv2(".jpg", smooth[..., 0]),
        "jpeg cmyk": _pillow("jpeg", picture.convert("CMYK")),
        "jpeg exif": _pillow("jpeg", picture, exif=_turned()),
        "png": _cv2(".png", smooth),
        "png grey": _cv2(".png", noise[..., 0]),
        "png deep": _cv2(".png", deep),
        "png clear": _cv2(".png", clear),
        "png palette": _pillow("png", picture.quantize(9)),
        "png bits": _pillow("png", picture.convert("1")),
        "png moving": _pillow("png", picture, **moving),
        "bmp": _cv2(".bmp", smooth),
        "bmp palette": _pillow("bmp", picture.quantize(9)),
        "bmp bits": _pillow("bmp", picture.convert("1")),
        "webp": _cv2(".webp", smooth, cv2.IMWRITE_WEBP_QUALITY, 50),
        "webp lossless": _pillow("webp", picture, lossless=True),
        "webp clear": _pillow("webp", Image.fromarray(clear)),
        "webp moving": _pillow("webp", picture, **moving),
        "gif": _pillow("gif", picture),
        "gif moving": _pillow("gif", picture, **moving),
        "tiff": _cv2(".tiff", smooth),
        "tiff deep": _cv2(".tiff", deep),
        "tiff plain": _pillow("tiff", picture),
        "tiff palette": _pillow("tiff", picture.quantize(9)),
        "tiff bits": _pillow("tiff", picture.convert("1"), compression="group4"),
        "tiff jpeg": _pillow("tiff", picture, compression="jpeg"),
        "tiff deflate": _pillow("tiff", picture, compression="tiff_adobe_deflate"),
        "tiff big": _pillow("tiff", picture, big_tiff=True),
        "tiff pages": _pillow("tiff", picture, save_all=True, append_images=frames),
    }


def _turned():
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


def _cv2(extension, image, *options):
    return cv2.imencode(extension, image, options)[1].tobytes()


def _pillow(kind, image, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()
