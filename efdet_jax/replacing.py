"""Writing a file that others read at any moment."""

import os
import pathlib
import socket


def replace_text(path: pathlib.Path, text: str) -> None:
    """Gives a file a new text; a reader, or a crash, never meets half of one.

    Several processes, of several machines that see the folder, may do so at once: the
    last one's text stays.
    """
    temporary = path.with_name(f".{path.name}.{socket.gethostname()}.{os.getpid()}")
    try:
        temporary.write_text(text)
        temporary.replace(path)
    except OSError:
        # Half a text takes room, of which there is too little.
        temporary.unlink(missing_ok=True)
        raise
