"""Photos and videos of people: which files there are, reading and writing them."""

import contextlib
import glob
import os
import pathlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import cv2
import numpy as np
from jaxtyping import UInt8

from efdet_jax.data.files import decode_image
from efdet_jax.errors import UsageError

# OpenCV reads this when it first meets a video. FFmpeg would print what it thinks of a
# damaged one, which is said here in one line.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")

VIDEOS = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm", ".wmv")
PHOTOS = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
"""How the names of files end that are looked for in a folder."""
_VIDEO = ".mp4"
"""The format in which they are written."""
_USUAL_RATE = 25.0
"""Frames per second where a video does not say."""

Photo = UInt8[np.ndarray, "h w 3"]


def is_video(path: pathlib.Path) -> bool:
    """Says whether a file is called like a video."""
    return path.suffix.lower() in VIDEOS


def listed(word: str) -> list[pathlib.Path]:
    """Returns the files that a word of a command line means, in order of name.

    Args:
      word: a file; a folder, of which its photos and videos are taken, not those of
        folders in it; or a pattern such as "photos/*.jpg", ** for folders of any depth.

    Raises:
      UsageError: there is none.
    """
    path = pathlib.Path(word)
    if path.is_dir():
        files = _media(path.iterdir())
        if not files:
            raise UsageError(
                f"{word} is a folder without photos and videos: name one that has some,"
                f" or a pattern such as '{word}/*/*.jpg'"
            )
        return files
    if path.exists():
        return [path]
    if not glob.has_magic(word):
        raise UsageError(f"{word} does not exist: name a photo, a video or a folder")
    files = _media(map(pathlib.Path, glob.iglob(word, recursive=True)))
    if not files:
        raise UsageError(f"{word} matches no photo and no video: check the pattern")
    return files


def _media(paths: Iterator[pathlib.Path]) -> list[pathlib.Path]:
    endings = (*PHOTOS, *VIDEOS)
    return sorted(p for p in paths if p.suffix.lower() in endings and p.is_file())


def read_photo(path: pathlib.Path) -> Photo:
    """Returns a photo in RGB, turned as its EXIF tag asks.

    Raises:
      UsageError: it is no image, or cut short.
    """
    try:
        encoded = path.read_bytes()
    except OSError as error:
        raise UsageError(
            f"{path}: cannot be read ({error.strerror}): name a photo or a video"
        ) from error
    return decode_image(encoded, name=str(path), upright=True)


def copy_name(name: str) -> str:
    """Returns what to call the annotated copy of a photo or video.

    Its own name if that is of a format that is written here, else with one more ending.
    """
    if is_video(pathlib.Path(name)):
        return name if name.lower().endswith(_VIDEO) else f"{name}{_VIDEO}"
    return name if cv2.haveImageWriter(name) else f"{name}.png"


def write_photo(path: pathlib.Path, photo: Photo) -> None:
    """Writes a photo in the format that its name says.

    Raises:
      UsageError: it cannot be written.
    """
    try:
        is_written = cv2.imwrite(str(path), photo[:, :, ::-1])
    except cv2.error:
        is_written = False
    if not is_written:
        raise UsageError(f"{path} cannot be written: make room, or use another --out")


class Video(NamedTuple):
    """A video that can be read."""

    rate: float
    """Frames per second."""
    num_frames: int
    """As the file says, which may be wrong; 0 if it does not say."""
    frames: Iterator[Photo]
    """RGB, turned as the file asks."""


@contextlib.contextmanager
def opened_video(path: pathlib.Path) -> Iterator[Video]:
    """Opens a video for reading.

    Raises:
      UsageError: it has no frame that can be decoded.
    """
    capture = cv2.VideoCapture(str(path))
    try:
        is_read, first = capture.read()
        if not is_read:
            raise UsageError(
                f"{path}: is no video that can be decoded: convert it to H.264 in .mp4"
            )
        rate = capture.get(cv2.CAP_PROP_FPS)
        yield Video(
            rate if 0 < rate < 1000 else _USUAL_RATE,
            max(0, int(capture.get(cv2.CAP_PROP_FRAME_COUNT))),
            _frames(capture, first),
        )
    finally:
        capture.release()


def _frames(capture: Any, first: Photo) -> Iterator[Photo]:
    is_read, frame = True, first
    while is_read:
        yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
        is_read, frame = capture.read()


class VideoFile:
    """A video that is written frame by frame."""

    def __init__(self, path: pathlib.Path, *, rate: float):
        """Opens nothing yet: the first frame says the size.

        Args:
          path: of the file, an .mp4.
          rate: frames per second.
        """
        self._path = path
        self._rate = rate
        self._writer: Any = None

    def add(self, frame: Photo) -> None:
        """Writes a frame, RGB, of the first one's size.

        Raises:
          UsageError: the file cannot be written.
        """
        if self._writer is None:
            height, width = frame.shape[:2]
            code = cv2.VideoWriter.fourcc(*"mp4v")
            self._writer = cv2.VideoWriter(
                str(self._path), code, self._rate, (width, height)
            )
            if not self._writer.isOpened():
                raise UsageError(
                    f"{self._path} cannot be written: make room, or use another --out"
                )
        self._writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))

    def close(self) -> None:
        """Ends the file."""
        if self._writer is not None:
            self._writer.release()
