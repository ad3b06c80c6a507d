"""Reading files that others have put where we read them."""

import errno
import os
import stat
from typing import BinaryIO


def open_regular(path: str | os.PathLike[str], *, most: int) -> BinaryIO:
    """Opens a file for reading.

    Args:
      path: of it; links are followed.
      most: how many bytes it may have.

    Raises:
      OSError: it cannot be read, has more bytes, or is a pipe, a device or another
        thing whose end may never come.
      ValueError: no file can have that path.
    """
    # Opening a pipe would wait until somebody writes to it.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "it is no regular file")
        if status.st_size > most:
            raise OSError(errno.EFBIG, f"it has more than {most:,} bytes")
    except OSError:
        os.close(descriptor)
        raise
    return open(descriptor, "rb")


def read_regular(path: str | os.PathLike[str], *, most: int) -> bytes:
    """Returns the bytes of a file; see `open_regular`."""
    with open_regular(path, most=most) as file:
        return file.read(os.fstat(file.fileno()).st_size)
