"""Making the host's memory cheap for a program that frees gigabytes every step."""

import os
import sys
from collections.abc import Sequence

_TUNABLES = "GLIBC_TUNABLES"
_SETTINGS = {
    "hugetlb": 1,  # pages of 2 MB
    # What was freed stays for the next step, and whichever thread asks may have it.
    "mmap_max": 0,
    "trim_threshold": 2**40,
    "arena_max": 1,
    "top_pad": 2**26,
}


def keep_memory(command: Sequence[str]) -> None:
    """Starts the program again with a glibc that keeps its memory, once, on Linux.

    XLA's CPU client returns its buffers to the system after every step and takes them
    anew in the next. In pages of 4 KB the kernel spends as long on that as the
    convolutions take; and on a virtual machine, whose host takes back what is free, new
    pages of any size are slow. glibc reads these settings only when a process starts,
    so call this before anything is loaded. A GLIBC_TUNABLES that the user set is left
    alone.

    Args:
      command: the command line to run again: `sys.orig_argv`.
    """
    if sys.platform != "linux" or _TUNABLES in os.environ:
        return
    tunables = ":".join(f"glibc.malloc.{k}={v}" for k, v in _SETTINGS.items())
    os.execve(sys.executable, list(command), os.environ | {_TUNABLES: tunables})
