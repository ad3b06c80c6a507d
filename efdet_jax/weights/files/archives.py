"""Taking published archives apart, without trusting what they say of paths."""

import contextlib
import pathlib
import shutil
import tarfile
import tempfile
from collections.abc import Iterator

from efdet_jax.errors import UsageError

LARGEST = 4 * 2**30
"""Bytes; D7x with its averages and momenta has 0.9 GB."""


@contextlib.contextmanager
def unpacked(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Gives a temporary folder with the files of a tar archive, compressed or not.

    Raises:
      UsageError: A member is a link or a device, lies outside the archive, or they are
        larger than `LARGEST` together.
      Exception: The archive is damaged.
    """
    with (
        tempfile.TemporaryDirectory() as folder,
        tarfile.open(path) as archive,
    ):
        size = 0
        for member in archive:
            name = pathlib.PurePosixPath(member.name)
            if name.is_absolute() or ".." in name.parts:
                raise _refused(path, member, "leads out of the archive")
            if member.isdir():
                continue
            source = archive.extractfile(member) if member.isreg() else None
            if source is None:
                raise _refused(path, member, "is no regular file")
            size += member.size
            if size > LARGEST:
                raise _refused(path, member, f"makes it larger than {LARGEST} bytes")
            target = pathlib.Path(folder, name)
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("xb") as sink:
                shutil.copyfileobj(source, sink)
        yield pathlib.Path(folder)


def _refused(path: pathlib.Path, member: tarfile.TarInfo, reason: str) -> UsageError:
    return UsageError(
        f"{path}: its member {member.name[:100]!r} {reason}: unpack by hand what you"
        " trust, and give that"
    )
