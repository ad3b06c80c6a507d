"""The memory that a compiled program takes of each device, and what a device has."""

import os
from typing import Any, NamedTuple

import jax

from efdet_jax.errors import UsageError


class Footprint(NamedTuple):
    """Bytes on each device, as XLA plans them before anything runs."""

    arguments: int
    outputs: int
    """Without those that take the place of arguments given away."""
    temporaries: int
    """Everything in between; one block, which is there as long as the program runs."""

    @property
    def total(self) -> int:
        """What must be free for the program to run."""
        return self.arguments + self.outputs + self.temporaries


def footprint(compiled: jax.stages.Compiled) -> Footprint:
    """Returns what a program takes."""
    found: Any = compiled.memory_analysis()
    return Footprint(
        arguments=found.argument_size_in_bytes,
        outputs=found.output_size_in_bytes - found.alias_size_in_bytes,
        temporaries=found.temp_size_in_bytes,
    )


def device_memory() -> int:
    """Returns the bytes of one device: its own, or its share of the host's memory.

    Raises:
      UsageError: the device does not say.
    """
    device = jax.local_devices()[0]
    if device.platform == "cpu":
        pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        return pages // jax.local_device_count()
    if limit := (device.memory_stats() or {}).get("bytes_limit"):
        return limit
    raise UsageError(
        f"--memory_gb is missing, and {device.device_kind} does not say how much it "
        "has: give its memory in units of 10^9 bytes"
    )
