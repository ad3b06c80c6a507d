"""Taking published archives apart, without trusting what they say of paths."""

import contextlib
import gzip
import io
import pathlib
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from typing import Any

from efdet_jax.errors import UsageError

_GZIP = b"\x1f\x8b"
_MOST_MEMBERS = 10_000
"""A checkpoint has four files, its archive seldom more than a hundred."""
_MOST_BETWEEN = 2**20
"""Bytes from one member's end to the next one's beginning."""

_Plain = gzip.GzipFile | io.BufferedReader


class _Rationed:
    """A file of which only so much can be read.

    What stands before a member can be as long as one likes, compressed to nothing, and
    `tarfile` keeps it in memory.
    """

    def __init__(self, file: _Plain):
        self._file = file
        self.left = 0

    def read(self, size: int) -> bytes:
        self.left -= size
        if self.left < 0:
            raise tarfile.ReadError("one of its headers is too long")
        return self._file.read(size)

    def seek(self, place: int) -> int:
        return self._file.seek(place)

    def tell(self) -> int:
        return self._file.tell()


@contextlib.contextmanager
def unpacked(path: pathlib.Path, *, most: int) -> Iterator[pathlib.Path]:
    """Gives a temporary folder with the files of a tar archive, gzipped or not.

    Args:
      path: of the archive.
      most: how many bytes its files may have together.

    Raises:
      UsageError: A member is a link or a device, lies outside the archive, or they are
        too large or too many together.
      Exception: The archive is damaged.
    """
    with tempfile.TemporaryDirectory() as folder, _plain(path) as plain:
        # Reading needs three methods of a file, though all are asked for.
        file: Any = _Rationed(plain)
        file.left = _MOST_BETWEEN
        size = 0
        with tarfile.open(fileobj=file, mode="r:") as archive:
            for count, member in enumerate(archive):
                name = pathlib.PurePosixPath(member.name)
                if name.is_absolute() or ".." in name.parts:
                    raise _refused(path, member, "leads out of the archive")
                size += member.size
                if size > most:
                    raise _refused(path, member, f"makes it larger than {most} bytes")
                if count == _MOST_MEMBERS:
                    raise _refused(path, member, f"is one more than {_MOST_MEMBERS}")
                file.left = member.size + _MOST_BETWEEN
                if not member.isdir():
                    _copy(archive, member, pathlib.Path(folder, name), path)
                file.left = _MOST_BETWEEN
        yield pathlib.Path(folder)


def _plain(path: pathlib.Path) -> _Plain:
    """Opens an archive, to be read as it was before it was compressed."""
    with path.open("rb") as file:
        is_compressed = file.read(2) == _GZIP
    return gzip.open(path) if is_compressed else path.open("rb")


def _copy(
    archive: tarfile.TarFile,
    member: tarfile.TarInfo,
    target: pathlib.Path,
    path: pathlib.Path,
) -> None:
    source = archive.extractfile(member) if member.isreg() else None
    if source is None:
        raise _refused(path, member, "is no regular file")
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("xb") as sink:
        shutil.copyfileobj(source, sink)


def _refused(path: pathlib.Path, member: tarfile.TarInfo, reason: str) -> UsageError:
    return UsageError(
        f"{path}: its member {member.name[:100]!r} {reason}: unpack by hand what you"
        " trust, and give that"
    )
