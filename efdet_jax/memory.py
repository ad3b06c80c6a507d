"""Making the host's memory cheap for a program that frees gigabytes every step."""

import os
import sys
from collections.abc import Sequence

_TUNABLES = "GLIBC_TUNABLES"


def use_huge_pages(command: Sequence[str]) -> None:
    """Starts the program again with glibc asking for huge pages, once, on Linux.

    XLA's CPU client returns its buffers to the system after every step and takes them
    anew in the next; in pages of 4 KB the kernel spends as long on that as the
    convolutions take. glibc reads this setting only when a process starts, so call this
    before anything is loaded. A GLIBC_TUNABLES that the user set is left alone.

    Args:
      command: the command line to run again: `sys.orig_argv`.
    """
    if sys.platform != "linux" or _TUNABLES in os.environ:
        return
    environment = os.environ | {_TUNABLES: "glibc.malloc.hugetlb=1"}
    os.execve(sys.executable, list(command), environment)
