"""Writing a file that others read at any moment."""

import os
import pathlib
import socket


def replace_text(path: pathlib.Path, text: str) -> None:
    """Gives a file a new text; see `replace_bytes`."""
    replace_bytes(path, text.encode())


def replace_bytes(path: pathlib.Path, content: bytes) -> None:
    """Gives a file a new content; a reader, or a crash, never meets half of one.

    Several processes, of several machines that see the folder, may do so at once: the
    last one's stays. A link in the place of the file is replaced; where it led to stays
    as it is.
    """
    temporary = path.with_name(f".{path.name}.{socket.gethostname()}.{os.getpid()}")
    # What a process that crashed has left, or a link.
    temporary.unlink(missing_ok=True)
    with temporary.open("xb") as file:
        file.write(content)
    temporary.replace(path)
